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
		if got := resourceMetadataURLs(u, nil); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %v; want %s", resource, got, want)
		}
	}
}

func TestChallengeLeadsToMetadataOnTheSameOriginOnly(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "api.test", Path: "/mcp"}
	const wellKnown = "https://api.test/.well-known/oauth-protected-resource/mcp"
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
		want := []string{wellKnown}
		if taken {
			want = []string{announced, wellKnown}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: asked at %v; want %v", announced, got, want)
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
		if len(addresses) == 0 || len(addresses) > 2 {
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
	const api = "https://api.test/mcp"
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
			r, fail := judgeResource(answered(opDiscoverResource, tt.status, tt.body), api)
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
	const api = "https://api.test/mcp"
	f.Add(200, `{"resource":"https://api.test/mcp","authorization_servers":["https://a.test"],"scopes_supported":["a"]}`)
	f.Add(200, `{"resource":"https://api.test/mcp","authorization_servers":["http://a.test","https://u@a.test","https://a.test#f"]}`)
	f.Add(200, html)
	f.Add(503, "")
	f.Fuzz(func(t *testing.T, status int, body string) {
		r, fail := judgeResource(answered(opDiscoverResource, status, body), api)
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
