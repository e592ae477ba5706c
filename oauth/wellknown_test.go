package oauth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

func TestDiscoverTakesAWellKnownAddressForItsIssuer(t *testing.T) {
	for _, path := range []string{"", "/tenant", "/a/b"} {
		for _, name := range []string{"oauth-authorization-server", "openid-configuration"} {
			s := oauthtest.New(oauthtest.Config{IssuerPath: path})
			want := s.Issuer()
			for _, address := range []string{
				s.URL + "/.well-known/" + name + path, want + "/.well-known/" + name, want + "/.well-known/" + name + "/", want + "//.well-known/" + name,
			} {
				c, err := oauth.Discover(t.Context(), address, oauth.Config{ClientID: "id", HTTPClient: s.Client()})
				if err != nil || c.Config().Issuer != want {
					t.Errorf("%s: got %v, %v; want the issuer %s", address, c, err, want)
				}
				if got := oauth.IssuerOf(address); got != want {
					t.Errorf("IssuerOf(%s) is %s; want %s", address, got, want)
				}
			}
		}
	}
}

func TestWellKnownAddressIsAskedFirst(t *testing.T) {
	for address, want := range map[string]int{rfc8414: 1, openid: 1, issuer + "/t/.well-known/oauth-authorization-server": 3} {
		body := strings.ReplaceAll(goodMeta, issuer+`",`, oauth.IssuerOf(address)+`",`)
		documents := map[string]*http.Response{address: response(200, body)}
		if want == 3 { // nothing is there after all
			documents = nil
		}
		w := published(documents)
		_, err := oauth.Discover(t.Context(), address, oauth.Config{ClientID: "id", HTTPClient: &http.Client{Transport: w}})
		if sent := w.requests(); len(sent) != want || sent[0].URL.String() != address || (err == nil) != (want == 1) {
			t.Errorf("%s: %d requests, the first of %s, and %v; want %d", address, len(sent), sent[0].URL, err, want)
		}
	}
}

// A slash at the end of an issuer, as all of Auth0's have, cannot be seen in the
// addresses of its metadata.
func TestIssuerOfAWellKnownAddressMayEndInASlash(t *testing.T) {
	slashed := strings.Replace(goodMeta, `"https://auth.test"`, `"https://auth.test/"`, 1)
	ask := func(address, body string) (*oauth.Client, error) {
		w := published(map[string]*http.Response{openid: response(200, body)})
		return oauth.Discover(t.Context(), address, oauth.Config{ClientID: "id", HTTPClient: &http.Client{Transport: w}})
	}
	c, err := ask(openid, slashed)
	if err != nil || c.Config().Issuer != issuer+"/" {
		t.Errorf("got %v, %v; want the issuer in the server's spelling", c, err)
	}
	if _, err := ask(issuer, slashed); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("an issuer that was named without the slash: %v; want ErrMisconfigured", err)
	}
	other := strings.Replace(goodMeta, `"https://auth.test"`, `"https://other.test"`, 1)
	if _, err := ask(openid, other); !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), `want "https://auth.test"`) {
		t.Errorf("another issuer's document: %v; want ErrMisconfigured", err)
	}
}

func TestRegistrationTakesAWellKnownAddressToo(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{IssuerPath: "/tenant"})
	r, err := register.Client(t.Context(), s.Issuer()+"/.well-known/openid-configuration", register.Metadata{}, oauth.Config{HTTPClient: s.Client()})
	if err != nil || r.Issuer != s.Issuer() {
		t.Errorf("got %v, %v; want a client of %s", r, err, s.Issuer())
	}
}

func TestOtherAddressesAreNoWellKnownOnes(t *testing.T) {
	for _, address := range []string{
		"", "auth.test/.well-known/openid-configuration", "https://auth.test/", "https://auth.test/a", "https://auth.test/.well-known/other",
		"https://auth.test/a/.well-known/openid-configuration/b", "https://auth.test/.well-known/openid-configuration2",
		"https://auth.test/.well-known/openid-configuration?p=policy", "https://auth.test/.well-known/openid-configuration#x",
		"https://u:p@auth.test/.well-known/openid-configuration", "https://auth.test/?x=/.well-known/openid-configuration", "::",
	} {
		if got := oauth.IssuerOf(address); got != address {
			t.Errorf("IssuerOf(%q) is %q; want it as it is", address, got)
		}
	}
}
