package dialect_test

import (
	"net/http"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// sanic-jwt with cookie_split reads the signature of the access token in a cookie of its own
// wherever it reads the token, and so when it is asked for another.
func TestARefreshSplitsTheAccessTokenAsAPIsWantIt(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Backends: oauthtest.BackendSettings{SanicJWT: oauthtest.SanicJWTSettings{CookieSet: true, CookieSplit: true}}})
	d := dialect.SanicJWT()
	d.Refresh.Fields = []dialect.Field{
		{Value: dialect.RefreshToken, Place: dialect.InCookie, Name: "refresh_token"},
		{Value: dialect.AccessToken, Place: dialect.InCookie, Name: "access_token"},
	}
	d.Presentation = oauth.Presentation{Cookie: "access_token", SignatureCookie: "access_token_signature"}
	cfg := s.DialectConfig(oauthtest.SanicJWTBackend)
	var sent *http.Request
	inner := cfg.HTTPClient.Transport
	cfg.HTTPClient = &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		sent = r
		return inner.RoundTrip(r)
	})}
	c := dialect.NewClient(d, cfg)
	pair, err := c.Login(t.Context(), "alice", "wonderland")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	names := make(map[string]int)
	for _, cookie := range sent.Cookies() {
		names[cookie.Name]++
	}
	if len(names) != 3 || names["refresh_token"] != 1 || names["access_token"] != 1 || names["access_token_signature"] != 1 {
		t.Errorf("cookies %v; want the refresh token and the two halves", names)
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
