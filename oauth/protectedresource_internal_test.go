package oauth

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

func TestResourceMetadataIsLookedForWhereTheSpecificationPutsIt(t *testing.T) {
	const at = "https://api.test/.well-known/oauth-protected-resource"
	for resource, want := range map[string]string{
		"https://api.test":            at,
		"https://api.test/":           at,
		"https://api.test/mcp":        at + "/mcp",
		"https://api.test/mcp/":       at + "/mcp/",
		"https://api.test/%74%2F1":    at + "/%74%2F1",
		"https://api.test/a?tenant=1": at + "/a?tenant=1",
		"https://api.test?tenant=1":   at + "?tenant=1",
		"http://127.0.0.1:8080/a":     "http://127.0.0.1:8080/.well-known/oauth-protected-resource/a",
	} {
		u, err := url.Parse(resource)
		if err != nil {
			t.Fatal(err)
		}
		path, _, _ := strings.Cut(want, "?")
		all := []string{want, path, strings.TrimSuffix(path, "/"), at}
		if strings.HasPrefix(resource, "http://") {
			all[3] = "http://127.0.0.1:8080/.well-known/oauth-protected-resource"
		}
		if got := resourceMetadataURLs(u, nil); !slices.Equal(got, slices.Compact(all)) {
			t.Errorf("%s: got %v; want %v", resource, got, slices.Compact(all))
		}
	}
}

func TestChallengeLeadsToMetadataOnTheSameOriginOnly(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "api.test", Path: "/mcp"}
	const root = "https://api.test/.well-known/oauth-protected-resource"
	const wellKnown = root + "/mcp"
	for announced, taken := range map[string]bool{
		"https://api.test/meta":       true,
		"https://API.test/meta?a=b":   true,
		wellKnown:                     false, // once is enough
		"":                            false,
		"/meta":                       false,
		"https://evil.test/meta":      false,
		"https://api.test:444/meta":   false,
		"http://api.test/meta":        false,
		"http://127.0.0.1:9000/meta":  false,
		"https://u:p@api.test/meta":   false,
		"https://api.test/meta#x":     false,
		"https://api.test.evil.test/": false,
	} {
		got := resourceMetadataURLs(u, http.Header{"Www-Authenticate": {`Bearer resource_metadata="` + announced + `"`}})
		want := []string{wellKnown, root}
		if taken {
			want = []string{announced, wellKnown, root}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: asked at %v; want %v", announced, got, want)
		}
	}
	got := resourceMetadataURLs(u, http.Header{"Www-Authenticate": {`Bearer resource_metadata="` + root + `"`}})
	if !slices.Equal(got, []string{root, wellKnown}) {
		t.Errorf("the root announced: asked at %v", got)
	}
}

const (
	apiOrigin    = "https://api.test"
	apiWellKnown = apiOrigin + "/.well-known/oauth-protected-resource"
)

// resourceNames are what metadata may and may not be about: the URL asked for, the resource
// found, where its metadata is, and whether that is good.
var resourceNames = []struct {
	asked, found, address string
	want                  bool
}{
	{apiOrigin + "/mcp", apiOrigin + "/mcp", apiWellKnown + "/mcp", true},
	{apiOrigin + "/mcp", apiOrigin + "/mcp", apiWellKnown, true},
	{apiOrigin + "/mcp", apiOrigin + "/mcp", apiOrigin + "/meta", true},
	{apiOrigin + "/mcp", "https://API.test/mcp", apiWellKnown + "/mcp", true}, // one origin, however it is spelled
	{"https://API.test:443/mcp", apiOrigin + "/mcp", apiWellKnown + "/mcp", true},
	{"https://api.test:443/mcp", apiOrigin, apiWellKnown, true},
	{"https://bücher.test/mcp", "https://xn--bcher-kva.test/mcp", "https://xn--bcher-kva.test/.well-known/oauth-protected-resource/mcp", true},
	{apiOrigin + "/mcp", apiOrigin, apiWellKnown, true},
	{apiOrigin + "/mcp", apiOrigin + "/", apiWellKnown, true},
	{apiOrigin + "/mcp", "https://API.test", apiWellKnown, true},
	{apiOrigin, apiOrigin + "/", apiWellKnown, true},
	{apiOrigin + "/", apiOrigin, apiWellKnown, true},
	{apiOrigin + "/a/mcp", apiOrigin + "/a", apiWellKnown + "/a", true},
	{apiOrigin + "/a/mcp", apiOrigin + "/a/", apiWellKnown + "/a/", true},
	{apiOrigin + "/a/mcp?x=1", apiOrigin + "/a", apiWellKnown + "/a", true},
	{apiOrigin + "/mcp?x=1", apiOrigin + "/mcp?x=1", apiWellKnown + "/mcp?x=1", true},
	{apiOrigin + "/mcp?x=1", apiOrigin + "/mcp", apiWellKnown + "/mcp", true}, // a query chooses among what one resource has
	{apiOrigin + "/mcp/?x=1", apiOrigin + "/mcp/", apiWellKnown + "/mcp/", true},
	{apiOrigin + "?x=1", apiOrigin, apiWellKnown, true},

	{apiOrigin + "/mcp", apiOrigin + "/MCP", apiWellKnown + "/mcp", false}, // paths are as they are spelled
	{apiOrigin + "/mcp", apiOrigin + "/%6dcp", apiWellKnown + "/mcp", false},
	{apiOrigin + "/mcp", "http://api.test:443/mcp", apiWellKnown + "/mcp", false},
	{apiOrigin + "/mcp", "https://bücher.test/mcp", apiWellKnown + "/mcp", false},
	{apiOrigin + "/mcp", apiOrigin, apiWellKnown + "/mcp", false}, // not its own address
	{apiOrigin + "/mcp", apiOrigin, apiOrigin + "/meta", false},
	{apiOrigin + "/a/mcp", apiOrigin + "/a", apiWellKnown, false},
	{apiOrigin + "/a/mcp", apiOrigin + "/a", apiWellKnown + "/a/mcp", false},
	{apiOrigin + "/a/mcp", apiOrigin + "/b", apiWellKnown + "/b", false}, // siblings
	{apiOrigin + "/mcp", apiOrigin + "/mc", apiWellKnown + "/mc", false},
	{apiOrigin + "/mcp", apiOrigin + "/mcp/", apiWellKnown + "/mcp/", false},
	{apiOrigin + "/mcp", apiOrigin + "/mcp/x", apiWellKnown + "/mcp/x", false}, // below
	{apiOrigin + "/mcp", "http://api.test", apiWellKnown, false},               // elsewhere
	{apiOrigin + "/mcp", "https://api.test:8443", apiWellKnown, false},
	{apiOrigin + "/mcp", "https://evil.test", apiWellKnown, false},
	{apiOrigin + "/mcp", "https://api.test.evil.test", apiWellKnown, false},
	{apiOrigin + "/mcp", "https://u@api.test", apiWellKnown, false},
	{apiOrigin + "/mcp", apiOrigin + "?", apiWellKnown, false},
	{apiOrigin + "/mcp", apiOrigin + "/?a=b", apiWellKnown, false},
	{apiOrigin + "/mcp", apiOrigin + "#x", apiWellKnown, false},
	{apiOrigin + "/mcp", apiOrigin + "//", apiWellKnown + "//", false},
	{apiOrigin + "/a/../b/mcp", apiOrigin + "/a", apiWellKnown + "/a", false}, // reads otherwise than it leads
	{apiOrigin + "/a/%2e%2e/b/mcp", apiOrigin + "/a", apiWellKnown + "/a", false},
	{apiOrigin + "/a%2f..%2fb/mcp", apiOrigin, apiWellKnown, false},
	{apiOrigin + "/%61/mcp", apiOrigin + "/a", apiWellKnown + "/a", false},
	{apiOrigin + "/mcp?x=1", apiOrigin + "/mcp", apiWellKnown + "/mcp?x=1", false}, // not its own address
	{apiOrigin + "/mcp?x=1", apiOrigin + "/mcp?x=2", apiWellKnown + "/mcp?x=2", false},
	{apiOrigin + "/mcp?x=1", apiOrigin + "/mcp?", apiWellKnown + "/mcp", false},
	{apiOrigin + "/mcp", apiOrigin + "/mcp?x=1", apiWellKnown + "/mcp?x=1", false},
	{apiOrigin + "/mcp?x=1", apiOrigin + "/other", apiWellKnown + "/other", false},
	{apiOrigin + "/mcp?x=1", "https://evil.test/mcp", "https://evil.test/.well-known/oauth-protected-resource/mcp", false},
	{apiOrigin + "/a/../mcp?x=1", apiOrigin + "/a/../mcp", apiWellKnown + "/a/../mcp", false},
	{apiOrigin + "/mcp", "", apiWellKnown, false},
	{apiOrigin + "/mcp", "/mcp", apiWellKnown, false},
	{apiOrigin + "/mcp", ":", apiWellKnown, false},
}

// Metadata is about the resource whose name its address is made of (RFC 9728 section 3.3).
// That resource may be above the one asked for, and nowhere else.
func TestMetadataIsAboutTheURLOrWhatIsAboveIt(t *testing.T) {
	for _, tt := range resourceNames {
		if got := names(tt.found, tt.asked, tt.address); got != tt.want {
			t.Errorf("asked for %s, %s at %s: %t; want %t", tt.asked, tt.found, tt.address, got, tt.want)
		}
	}
}

func FuzzResourceMetadataURLs(f *testing.F) {
	f.Add(`Bearer resource_metadata="https://api.test/meta"`)
	f.Add(`Bearer resource_metadata="https://evil.test/meta"`)
	f.Add(`Bearer realm="\"", resource_metadata=//api.test/`)
	f.Add(`Bearer resource_metadata="https://api.test\@evil.test/"`)
	f.Fuzz(func(t *testing.T, line string) {
		u := &url.URL{Scheme: "https", Host: "api.test", Path: "/mcp"}
		addresses := resourceMetadataURLs(u, http.Header{"Www-Authenticate": {line}})
		if len(addresses) == 0 || len(addresses) > 4 {
			t.Fatalf("%d addresses", len(addresses))
		}
		for _, address := range addresses {
			if target, err := url.Parse(address); err != nil || target.Scheme != "https" || !strings.EqualFold(target.Host, "api.test") {
				t.Errorf("%q would be asked", address)
			}
		}
	})
}

func TestResourceMetadataIsJudgedByContent(t *testing.T) {
	const api, apiMeta = "https://api.test/mcp", "https://api.test/.well-known/oauth-protected-resource/mcp"
	hints := map[error]string{ // what to do about it
		errNoServer: "ask the API's maker", errOtherResource: "spelling", errNoResourceMetadata: "ask the API's maker", wire.ErrRedirect: "redirects to",
	}
	for _, tt := range []struct {
		name    string
		status  int
		body    string
		servers string // joined; empty: an error
		kind    error
		cause   error
	}{
		{"whole", 200, `{"resource":"https://api.test/mcp","authorization_servers":["https://a.test","https://b.test/t"]}`, "https://a.test https://b.test/t", nil, nil},
		{"one usable", 200, `{"resource":"https://api.test/mcp","authorization_servers":["http://plain.test","https://a.test?q","ftp://x","","https://a.test"]}`, "https://a.test", nil, nil},
		{"none usable", 200, `{"resource":"https://api.test/mcp","authorization_servers":["http://plain.test"]}`, "", ErrMisconfigured, errNoServer},
		{"none", 200, `{"resource":"https://api.test/mcp"}`, "", ErrMisconfigured, errNoServer},
		{"no list", 200, `{"resource":"https://api.test/mcp","authorization_servers":"https://a.test"}`, "", ErrMisconfigured, errNoServer},
		{"a slash more", 200, `{"resource":"https://api.test/mcp/","authorization_servers":["https://a.test"]}`, "", ErrMisconfigured, errOtherResource},
		{"the origin alone", 200, `{"resource":"https://api.test","authorization_servers":["https://a.test"]}`, "", ErrMisconfigured, errOtherResource},
		{"another", 200, `{"resource":"https://evil.test/?` + planted + `","authorization_servers":["https://a.test"]}`, "", ErrMisconfigured, errOtherResource},
		{"a page", 200, html, "", ErrMisconfigured, errNoResourceMetadata},
		{"not there", 404, `{"resource":"https://api.test/mcp","authorization_servers":["https://a.test"]}`, "", ErrMisconfigured, errNoResourceMetadata},
		{"elsewhere", 302, "", "", ErrMisconfigured, wire.ErrRedirect},
		{"trouble", 503, html, "", ErrTransient, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, fail := judgeResource(answered(opDiscoverResource, tt.status, tt.body), api, apiMeta)
			if tt.kind == nil {
				if fail != nil || r.Resource != api || strings.Join(r.AuthorizationServers, " ") != tt.servers {
					t.Errorf("got %+v, %v; want %s", r, fail, tt.servers)
				}
				return
			}
			if r != nil || !errors.Is(fail, tt.kind) || !errors.Is(fail.Err, tt.cause) || strings.Contains(fail.Error(), "PLANTED") {
				t.Errorf("got %+v, %v; want %v, %v", r, fail, tt.kind, tt.cause)
			}
			if !strings.Contains(fail.Hint, hints[tt.cause]) {
				t.Errorf("hint %q; want one about %q", fail.Hint, hints[tt.cause])
			}
		})
	}
}

func FuzzJudgeResource(f *testing.F) {
	const api, apiMeta = "https://api.test/mcp", "https://api.test/.well-known/oauth-protected-resource/mcp"
	f.Add(200, `{"resource":"https://api.test/mcp","authorization_servers":["https://a.test"],"scopes_supported":["a"]}`)
	f.Add(200, `{"resource":"https://api.test/mcp","authorization_servers":["http://a.test","https://u@a.test","https://a.test#f"]}`)
	f.Add(200, html)
	f.Add(503, "")
	f.Fuzz(func(t *testing.T, status int, body string) {
		r, fail := judgeResource(answered(opDiscoverResource, status, body), api, apiMeta)
		if (r == nil) == (fail == nil) {
			t.Fatalf("metadata %v and error %v; want exactly one", r, fail)
		}
		if fail != nil {
			if fail.Kind != ErrTransient && fail.Kind != ErrMisconfigured {
				t.Errorf("kind %v", fail.Kind)
			}
			return
		}
		if status < 200 || status > 299 || member.Fields(r.Raw).Text("resource") != api || len(r.AuthorizationServers) == 0 {
			t.Errorf("HTTP %d gave %+v", status, r)
		}
		for _, issuer := range r.AuthorizationServers {
			if _, err := metadata.URLs(issuer); err != nil || wire.CheckEndpoint("issuer", issuer) != nil {
				t.Errorf("Discover could not use %q", issuer)
			}
		}
	})
}
