package oauth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/evertoken/evertoken/internal/outside/marks"
	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A terminal is an Output. The address of a login is on it, which has the state and the nonce.
type terminal struct{ book *taint.Book }

func (s terminal) Write(p []byte) (int, error) {
	s.book.Shown("Output", string(p), "state", "nonce")
	return len(p), nil
}

// A browser brings logins back, and keeps what it is shown.
type browser struct {
	book   *taint.Book
	server *oauthtest.Server
	back   func(location *url.URL) // changes where the server sends it
}

// open is Config.OpenBrowser.
func (b *browser) open(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	b.book.Secret("state", u.Query().Get("state"), visitorsServer)
	b.book.Secret("nonce", u.Query().Get("nonce"), visitorsServer)
	text := url.QueryEscape(marks.Text("junk"))
	for _, junk := range []string{"?error=" + text + "&error_description=" + text, "?code=" + text + "&state=" + text, "?" + text, text} {
		b.get(ctx, u.Query().Get("redirect_uri")+junk)
	}
	location, err := b.server.Allow(ctx, address, oauthtest.DefaultUser)
	if err != nil {
		return err
	}
	back, err := url.Parse(location)
	if err != nil {
		return err
	}
	b.book.Secret("code", back.Query().Get("code"), visitorsServer)
	b.back(back)
	b.get(ctx, back.String())
	return nil
}

// get follows the redirects of a request. Their addresses, but the first, are in the history.
func (b *browser) get(ctx context.Context, address string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		b.book.PrintError("the browser", err)
		return
	}
	client := &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		b.book.PassedOn("an address in the browser's history", r.URL.String())
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		return // the login may have ended
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusOK {
		b.book.PassedOn("the address of the last page", resp.Request.URL.String())
	}
	b.book.PassedOn("a page", string(page)+fmt.Sprint(resp.Header, resp.Request.Referer()))
}

func TestLaw8_LoginPrintsAndShowsNothingOfItsSecrets(t *testing.T) {
	text := marks.Text("redirect")
	refuse := func(u *url.URL) {
		u.RawQuery = url.Values{"state": {u.Query().Get("state")}, "error": {text}, "error_description": {text + u.Query().Get("code")}, "iss": {text}}.Encode()
	}
	pasted := make(chan string, 1)
	for name, tt := range map[string]struct {
		back   func(*url.URL)
		edit   func(*oauth.Config)
		fault  oauthtest.Fault
		refuse bool
	}{
		"allowed": {},
		"pushed":  {edit: func(cfg *oauth.Config) { cfg.RequirePushedAuth = true }},
		"pasted": {back: func(u *url.URL) {
			refuse(u)
			pasted <- u.String()
			u.Path = "/elsewhere"
		}, edit: func(cfg *oauth.Config) {
			cfg.ReadRedirect = func(ctx context.Context) (string, error) {
				select {
				case address := <-pasted:
					return address, nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
		}, refuse: true},
		"refused":      {back: refuse, refuse: true},
		"code refused": {fault: oauthtest.Fault{Status: http.StatusBadRequest, Body: `{"error":` + taint.JSON(text) + `,"error_description":` + taint.JSON(text) + `}`}, refuse: true},
		"code unread":  {fault: oauthtest.Fault{Status: http.StatusOK, Body: `{"access_token":7,"error":` + taint.JSON(text) + `}`}, refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := new(taint.Book)
			b.Secret("client secret", visitorsSecret, visitorsServer)
			s := oauthtest.New(oauthtest.Config{ClientSecret: visitorsSecret})
			if tt.fault.Status != 0 {
				s.Script(tt.fault)
			}
			window := &browser{b, s, func(*url.URL) {}}
			if tt.back != nil {
				window.back = tt.back
			}
			cfg := s.OAuthConfig()
			cfg.HTTPClient = &http.Client{Transport: &taint.Servers{Book: b, At: map[string]http.RoundTripper{visitorsServer: noting{b, s.Client().Transport}}, Else: taint.Hostile{Status: http.StatusOK}}}
			cfg.Output, cfg.OpenBrowser = terminal{b}, window.open
			cfg.Endpoints.PushedAuth = s.Endpoint(oauthtest.PushedAuthorizationEndpoint)
			if tt.edit != nil {
				tt.edit(&cfg)
			}
			pair, err := oauth.NewClient(cfg).AuthenticateKeeping(t.Context(), func(req *oauth.LoginRequest) error {
				b.Secret("verifier", req.Verifier, visitorsServer)
				b.Print("a login under way", req, *req)
				return nil
			})
			if tt.refuse == (err == nil) {
				t.Fatalf("%v, %v", pair, err)
			}
			if pair != nil {
				b.Secret("access token", pair.AccessToken)
				b.Secret("refresh token", pair.RefreshToken)
				b.Secret("ID token", pair.IDToken)
			}
			b.Print("the login", pair)
			b.PrintError("the login", err)
			b.Check(t, 5, 6)
			if tt.back == nil {
				wantNoMistakes(t, s)
			}
		})
	}
}
