package connect_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// resources are addresses, each by the name that it has in a Store, with its other spellings.
var resources = map[string][]string{
	// Case, ports, the slash of an empty path.
	"https://api.test":           {"https://api.test", "https://API.Test", "HTTPS://api.test/", "https://api.test:443", "https://api.test:443/", "https://api.test:", "https://api.test./"},
	"https://api.test:8443":      {"https://api.test:8443", "https://api.test:8443/"},
	"http://api.test":            {"http://api.test", "http://api.test:80/"},
	"http://api.test:443":        {"http://api.test:443"},
	"https://api.test:80":        {"https://api.test:80"},
	"http://127.0.0.1:8080/mcp":  {"http://127.0.0.1:8080/mcp"},
	"https://[2001:db8::1]/mcp":  {"https://[2001:db8::1]/mcp", "https://[2001:DB8:0::1]:443/mcp"},
	"https://api.test/mcp":       {"https://api.test/mcp", "https://api.test:443/mcp", "https://api.test/m%63p", "https://api.test/%6Dcp"},
	"https://other.api.test/mcp": {"https://other.api.test/mcp"},
	// What servers may tell apart.
	"https://api.test/MCP":      {"https://api.test/MCP", "https://api.test/M%43P"},
	"https://api.test/mcp/":     {"https://api.test/mcp/"},
	"https://api.test//mcp":     {"https://api.test//mcp"},
	"https://api.test/a/../mcp": {"https://api.test/a/../mcp", "https://api.test/a/%2E%2e/mcp"},
	// Queries.
	"https://api.test/mcp?tenant=1":   {"https://api.test/mcp?tenant=1", "https://api.test/mcp?ten%61nt=1"},
	"https://api.test/mcp?tenant=2":   {"https://api.test/mcp?tenant=2"},
	"https://api.test/mcp?a=1&b=2":    {"https://api.test/mcp?a=1&b=2"},
	"https://api.test/mcp?b=2&a=1":    {"https://api.test/mcp?b=2&a=1"},
	"https://api.test/mcp?a=1%26b=2":  {"https://api.test/mcp?a=1%26b=2"},
	"https://api.test?tenant=1":       {"https://api.test?tenant=1", "https://api.test/?tenant=1"},
	"https://api.test/q?x=%20from%20": {"https://api.test/q?x= from ", "https://api.test/q?x=%20from%20"},
	// What no server sees.
	"https://api.test/frag": {"https://api.test/frag", "https://api.test/frag#a", "https://api.test/frag#", "https://api.test/frag?", "https://u@api.test/frag", "https://u:p@api.test/frag"},
	// Hosts in Unicode.
	"https://xn--bcher-kva.test/mcp": {"https://bücher.test/mcp", "https://BÜCHER.test/mcp", "https://b%C3%BCcher.test/mcp", "https://XN--BCHER-KVA.test/mcp", "https://bücher。test/mcp"},
	"https://bucher.test/mcp":        {"https://bucher.test/mcp"},
	// Percent-encoding.
	"https://api.test/~a-b_c.d":    {"https://api.test/~a-b_c.d", "https://api.test/%7Ea-b_c.d", "https://api.test/%7ea%2db%5Fc%2Ed"},
	"https://api.test/a%2Fb":       {"https://api.test/a%2Fb", "https://api.test/a%2fb"},
	"https://api.test/a/b":         {"https://api.test/a/b", "https://api.test/%61/b"},
	"https://api.test/%C3%BC":      {"https://api.test/ü", "https://api.test/%c3%bc"},
	"https://api.test/%20from%20x": {"https://api.test/%20from%20x", "https://api.test/ from x"},
	"https://api.test/100%25":      {"https://api.test/100%25"},
}

func TestSpellingsOfAnAddressAreOneName(t *testing.T) {
	const rest = " from https://auth.test"
	named := map[string]string{}
	for want, spellings := range resources {
		for _, resource := range spellings {
			name := connect.SessionName(resource, "https://AUTH.test:443/", "")
			if name != want+rest {
				t.Errorf("%s: got %q, want %q", resource, name, want+rest)
			}
			if err := tokenstore.CheckName(name); err != nil {
				t.Errorf("%s: %v", resource, err)
			}
			if other := named[name]; other != "" && other != want {
				t.Errorf("%s and %s have one name", want, other)
			}
			named[name] = want
		}
	}
}

// No part of a name can be taken for another: accounts may have any characters, and the
// addresses have no spaces.
func TestAccountsAndServersAreApart(t *testing.T) {
	long := "https://api.test/" + strings.Repeat("a", 600)
	names := map[string]string{}
	for _, resource := range []string{"https://api.test/mcp", "https://api.test/mcp?x=y from z", long, long + "b"} {
		for _, issuer := range []string{"https://auth.test", "https://auth.test/", "https://auth.test/tenant", "https://auth.test/ as bob", "https://auth.test:8443"} {
			for _, account := range []string{"", "bob", "Bob", "bob ", "x as bob", "bob from https://auth.test", "a\x00b", "\xff", strings.Repeat("é", 400)} {
				name := connect.SessionName(resource, issuer, account)
				key := fmt.Sprintf("%q %q %q", resource, strings.TrimSuffix(issuer, "/"), account)
				if other, taken := names[name]; taken && other != key {
					t.Errorf("%s and %s have the name %q", key, other, name)
				}
				names[name] = key
				if err := tokenstore.CheckName(name); err != nil {
					t.Errorf("%s: %v", key, err)
				}
			}
		}
	}
	if got, want := connect.SessionName("http://localhost:80", "http://localhost:8080/a/", "al"), "http://localhost from http://localhost:8080/a/ as al"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// However a program spells the address, it goes on with the session that there is.
func TestSpellingsOfAnAddressShareASession(t *testing.T) {
	for _, first := range []int{0, 1, 2, 3} {
		synctest.Test(t, func(t *testing.T) { spelled(t, first) })
	}
}

// spelled has processes that spell the address of an API in their own ways, beginning with
// the given one.
func spelled(t *testing.T, first int) {
	for _, shape := range []oauthtest.APIShape{{}, {MetadataAtRoot: true, ResourceIsOrigin: true}} {
		p := newPerson(oauthtest.Config{API: shape})
		resource, of := p.server.Resource(), p.server.Resource()
		if shape.ResourceIsOrigin {
			of = p.server.Issuer()
		}
		host := strings.TrimPrefix(p.server.Issuer(), "https://")
		spellings := []string{resource, resource + "#a", strings.Replace(resource, host, strings.ToUpper(host), 1), strings.Replace(resource, host, host+":443", 1)}
		for i := range spellings {
			url := spellings[(first+i)%len(spellings)]
			p.launch(t, url, func(cfg *connect.Config) {
				cfg.URL, cfg.Transport = url, resolving{cfg.Transport, host}
				cfg.OAuth.HTTPClient = &http.Client{Transport: cfg.Transport}
			})
		}
		p.want(t, "the same address", 1, 1)
		names, err := p.store.(*tokenstore.Memory).Names(t.Context())
		if err != nil || !slices.Equal(names, []string{connect.SessionName(of, p.server.Issuer(), "")}) {
			t.Errorf("the Store has the sessions %q, %v", names, err)
		}
	}
}

// A resolving transport finds the server under each spelling of its host, as the network does.
type resolving struct {
	http.RoundTripper
	host string
}

// RoundTrip implements http.RoundTripper.
func (r resolving) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host, req.Host = r.host, ""
	return r.RoundTripper.RoundTrip(req)
}

func TestAddressWithSecretsIsRefused(t *testing.T) {
	for _, url := range []string{"https://alice:s3cr3t@api.test/mcp", "https://s3cr3t@api.test", "s3cr3t", "https://", "https:///s3cr3t", "ftp://s3cr3t.test/", "https://:443/s3cr3t", "https://api.test/%zzs3cr3t"} {
		s, err := connect.New(connect.Config{URL: url})
		if !errors.Is(err, oauth.ErrMisconfigured) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: got %v, %v; want ErrMisconfigured without the address", url, s, err)
		}
	}
}
