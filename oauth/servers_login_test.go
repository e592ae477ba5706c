package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestErrorThatALoginGetsWithoutStateIsTold(t *testing.T) {
	s := server(t, oauthtest.Config{Quirks: oauthtest.Quirks{ErrorsWithoutState: true}})
	a := authenticate(t, s)
	p := newPerson(s, nil)
	p.denies = true
	if shown := a.logIn(p); shown.status != http.StatusBadRequest || !strings.Contains(shown.body, "stop it there") {
		t.Errorf("the last page is HTTP %d: %s", shown.status, shown.body)
	}
	p.denies = false
	a.logIn(p)
	if _, err := a.end(); err != nil {
		t.Errorf("the login that the person then allows: %v", err)
	}
	if text := a.out.String(); !strings.Contains(text, "the error access_denied") || !strings.Contains(text, "stop with Ctrl-C") {
		t.Errorf("the screen shows\n%s", text)
	}
}

// The person says no and sees an error page of the server's; the program hears
// nothing and has said beforehand how to stop it.
func TestRefusalThatNeverComesBackCanBeStopped(t *testing.T) {
	s := server(t, oauthtest.Config{Quirks: oauthtest.Quirks{DeniedOnPage: true}})
	a := authenticate(t, s)
	p := newPerson(s, nil)
	p.denies = true
	if shown := a.logIn(p); shown.status != http.StatusBadRequest {
		t.Fatalf("the last page is HTTP %d; want the server's 400", shown.status)
	}
	select {
	case <-a.done:
		t.Errorf("ended by itself: %v", a.err)
	default:
	}
	if text := a.out.String(); !strings.Contains(text, "If the browser shows an error, stop with Ctrl-C.") {
		t.Errorf("the screen does not say how to stop:\n%s", text)
	}
	interrupted := errors.New("interrupted")
	a.cancel(interrupted)
	if _, err := a.end(); !errors.Is(err, interrupted) {
		t.Errorf("got %v; want the interruption", err)
	}
}

func TestLoginReturnsToAFreePortOrAFixedOne(t *testing.T) {
	fixed := "http://" + heldPort(t) + "/callback"
	for name, tt := range map[string]struct {
		exact       bool
		redirectURL string
	}{
		"any port is good":       {false, ""},
		"the registered port is": {true, fixed},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, oauthtest.Config{
				ExactRedirectPort: tt.exact,
				Clients:           []oauthtest.RegisteredClient{{ID: oauthtest.DefaultClientID, RedirectURIs: []string{fixed}}},
			})
			a := authenticate(t, s, func(cfg *oauth.Config) { cfg.RedirectURL = tt.redirectURL })
			a.logIn(newPerson(s, nil))
			if _, err := a.end(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A refresh token is given with the scope offline_access alone, or with consent
// asked for as well, and silently not otherwise. Who logs in is told at once.
func TestRefreshTokenIsAskedForAsTheServerWantsIt(t *testing.T) {
	for name, tt := range map[string]struct {
		scope, prompt string
		quirks        oauthtest.Quirks
		advice        string // empty: there is a refresh token
	}{
		"not asked for":         {"openid", "", oauthtest.Quirks{}, "see in the server's documentation"},
		"asked for":             {"openid offline_access", "", oauthtest.Quirks{}, ""},
		"asked without consent": {"openid offline_access", "", oauthtest.Quirks{OfflineNeedsConsent: true}, "prompt=consent"},
		"asked with consent":    {"openid offline_access", "consent", oauthtest.Quirks{OfflineNeedsConsent: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, oauthtest.Config{OfflineScope: true, Quirks: tt.quirks})
			a := authenticate(t, s, func(cfg *oauth.Config) {
				cfg.Scopes = strings.Fields(tt.scope)
				if tt.prompt != "" {
					cfg.AuthParams = url.Values{"prompt": {tt.prompt}}
				}
			})
			a.logIn(newPerson(s, nil))
			pair, err := a.end()
			if err != nil || (pair.RefreshToken == "") != (tt.advice != "") {
				t.Fatalf("got %v, %v", pair, err)
			}
			text := a.out.String()
			if told := strings.Contains(text, "no refresh token"); told != (tt.advice != "") || !strings.Contains(text, tt.advice) {
				t.Errorf("the screen shows\n%s\nwant the advice %q", text, tt.advice)
			}
		})
	}
}

// Polls are answered in odd ways, the login goes through, and what it gives lives.
func TestDeviceLoginWithServersThatPollOddly(t *testing.T) {
	for name, tt := range map[string]struct {
		server oauthtest.Config
		faults []oauthtest.Fault
	}{
		"pending as 401": {oauthtest.Config{Quirks: oauthtest.Quirks{DevicePending: http.StatusUnauthorized}}, nil},
		"pending as 403": {oauthtest.Config{Quirks: oauthtest.Quirks{DevicePending: http.StatusForbidden}}, nil},
		"no interval": {oauthtest.Config{}, []oauthtest.Fault{{
			Endpoint: oauthtest.DeviceAuthorizationEndpoint, Edit: func(fields map[string]any) { delete(fields, "interval") },
		}}},
		// It says five seconds and means twelve: slow_down, each time five more.
		"slow_down that grows": {oauthtest.Config{DeviceInterval: 12 * time.Second}, []oauthtest.Fault{{
			Endpoint: oauthtest.DeviceAuthorizationEndpoint, Edit: func(fields map[string]any) { fields["interval"] = 5 },
		}}},
		"a code for one use": {oauthtest.Config{Quirks: oauthtest.Quirks{DeviceCodeTwiceEndsSession: true}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := oauthtest.New(tt.server)
				s.Script(tt.faults...)
				c := oauth.NewClient(s.OAuthConfig())
				code, err := c.DeviceAuth(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				decides(t, s, code, 61*time.Second, false)
				start := time.Now()
				pair, err := c.DeviceToken(context.WithoutCancel(t.Context()), code)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took > 3*time.Minute {
					t.Errorf("logged in after %v", took)
				}
				time.Sleep(time.Minute) // in which nobody redeems the code again
				if pair, err = c.Refresh(t.Context(), pair); err != nil {
					t.Fatal(err)
				}
				wantWorking(t, s, pair)
				wantNoMistakes(t, s)
			})
		})
	}
}
