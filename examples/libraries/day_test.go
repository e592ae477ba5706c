package libraries_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/preset"
	"github.com/evertoken/evertoken/refresh"
)

// A day is one in the life of a program that calls an API once a minute. Its server
// ends the old access token with each renewal.
type day struct {
	*refresh.Manager
	server *oauthtest.Server
}

// lives are those of access tokens, with the least number of renewals a day.
var lives = map[time.Duration]int{2 * time.Hour: 12, 15 * time.Minute: 140}

// newDay starts a manager for a session with access tokens of that life.
func newDay(t *testing.T, life time.Duration) day {
	t.Helper()
	cfg := oauthtest.Like(preset.GitLab())
	cfg.AccessTokenLifetime, cfg.RevokeOldAccess = life, true
	d := day{server: oauthtest.New(cfg)}
	pair, err := d.server.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	client := d.server.OAuthConfig()
	client.Preset = preset.GitLab()
	d.Manager = refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(client)})
	if err := d.Start(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	return d
}

func (d day) api() api { return api{d.server.Resource(), d.server.Client().Transport} }

func (d day) renewals() int { return d.server.Requests(oauthtest.TokenEndpoint) }

// pass makes the calls of a day and returns how many failed, and the last error.
func (d day) pass(t *testing.T, call call) (failed int, last error) {
	t.Helper()
	for range 24 * 60 {
		time.Sleep(time.Minute)
		if err := call(t.Context()); err != nil {
			failed, last = failed+1, err
		}
	}
	return failed, last
}

// eachDay runs f in a bubble for each life of access tokens.
func eachDay(t *testing.T, f func(*testing.T, day)) {
	for life, renewals := range lives {
		t.Run(life.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDay(t, life)
				f(t, d)
				if n := d.renewals(); n < renewals {
					t.Errorf("%d renewals; want %d or more", n, renewals)
				}
				for _, mistake := range d.server.Audit() {
					t.Errorf("the server saw a mistake: %v", mistake)
				}
			})
		})
	}
}

// held fails the test if a call of a day fails.
func (d day) held(t *testing.T, call call, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if failed, last := d.pass(t, call); failed != 0 {
		t.Errorf("%d calls failed, the last with: %v", failed, last)
	}
}

// reached fails the test if the calls of a day did not reach the API.
func (d day) reached(t *testing.T) {
	t.Helper()
	if n := d.server.Requests(oauthtest.ResourceEndpoint); n < 24*60 {
		t.Errorf("%d calls reached the API", n)
	}
}

func TestNoCallOfADayFailsByClient(t *testing.T) {
	for name, library := range byClient {
		t.Run(name, func(t *testing.T) {
			eachDay(t, func(t *testing.T, d day) {
				a := d.api()
				call, err := library(a, &http.Client{Transport: d.Transport(a.base)})
				d.held(t, call, err)
				d.reached(t)
			})
		})
	}
}

func TestNoCallOfADayFailsBySource(t *testing.T) {
	for name, library := range bySource {
		t.Run(name, func(t *testing.T) {
			eachDay(t, func(t *testing.T, d day) {
				call, err := library(d.api(), d)
				d.held(t, call, err)
				d.reached(t)
			})
		})
	}
}

// sourceFunc makes a function a token source.
type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

// lasting hands out tokens whose Expiry is their real end.
func (d day) lasting(t *testing.T) sourceFunc {
	return func() (*oauth2.Token, error) {
		pair, err := d.TokenContext(t.Context())
		if err != nil {
			return nil, err
		}
		return pair.OAuth2(), nil
	}
}

// late hands out tokens with which x/oauth2's cache, alone, asks again when a
// renewal is due.
func (d day) late() (*oauth2.Token, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: tok.AccessToken, Expiry: tok.Expiry.Add(10 * time.Second)}, nil
}

// These days fail, or the others would prove nothing.
func TestCallsFailWithAnyLaterExpiry(t *testing.T) {
	for name, source := range map[string]func(*testing.T, day) oauth2.TokenSource{
		"x/oauth2: NewClient":             func(t *testing.T, d day) oauth2.TokenSource { return d.lasting(t) },
		"go-github over oauth2.NewClient": func(t *testing.T, d day) oauth2.TokenSource { return d.lasting(t) },
		"google api: WithTokenSource":     func(_ *testing.T, d day) oauth2.TokenSource { return sourceFunc(d.late) },
		"client-go: NewCachedTokenSource": func(_ *testing.T, d day) oauth2.TokenSource { return sourceFunc(d.late) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDay(t, 15*time.Minute)
				call, err := bySource[name](d.api(), source(t, d))
				if err != nil {
					t.Fatal(err)
				}
				failed, _ := d.pass(t, call)
				if failed == 0 {
					t.Error("no call failed")
				}
				t.Logf("%d calls failed", failed)
			})
		})
	}
}

// A forced refresh comes before its time: only the doors that ask for each request
// know of it.
func TestForcedRefreshIsFeltByNoCallByClient(t *testing.T) {
	for name, library := range byClient {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDay(t, 2*time.Hour)
				a := d.api()
				call, err := library(a, &http.Client{Transport: d.Transport(a.base)})
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					if err := call(t.Context()); err != nil {
						t.Error(err)
					}
					if err := d.ForceRefresh(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}
