package refresh_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// unfit are tokens that cannot be sent, or would not arrive as they are.
var unfit = map[string]string{
	"line break":        "PLANTED\n",
	"line break inside": "PLAN\r\nX-Other: TED",
	"NUL":               "PLANTED\x00",
	"escape":            "\x1b[31mPLANTED",
	"DEL":               "PLANTED\x7f",
	"space before":      " PLANTED",
	"space behind":      "PLANTED ",
	"tab":               "PLAN\tTED",
	"nothing but space": "   ",
	"C1":                "PLANTED\u009b",
	"not ASCII":         "PLANTÉD",
	"byte order mark":   "\ufeffPLANTED",
	"no-break space":    "PLANTED\u00a0",
	"right-to-left":     "PLANTED\u202e",
	"not UTF-8":         "PLANTED\xff",
}

func TestTokensThatCannotBeSentAreRefusedWhereTheyAreHandedIn(t *testing.T) {
	for name, token := range unfit {
		for field, edit := range map[string]func(*oauth.TokenPair){
			"access token":  func(p *oauth.TokenPair) { p.AccessToken = token },
			"refresh token": func(p *oauth.TokenPair) { p.RefreshToken = token },
		} {
			t.Run(field+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, oauthtest.Config{})
					bad := f.first.Clone()
					edit(bad)
					refused := func(where string, err error) {
						t.Helper()
						if !errors.Is(err, oauth.ErrMisconfigured) || strings.Contains(err.Error(), "PLAN") || !strings.Contains(err.Error(), field) {
							t.Errorf("%s: %v; want ErrMisconfigured that names the %s and does not show it", where, err, field)
						}
					}
					refused("Start", f.Start(t.Context(), bad))
					refused("StartOrLogin", f.StartOrLogin(t.Context(), func(context.Context) (*oauth.TokenPair, error) { return bad, nil }))
					f.Stop()
					f.start(t)
					refused("UpdateTokens", f.UpdateTokens(bad))
					if got := f.GetTokens(); got == nil || got.AccessToken != f.first.AccessToken {
						t.Error("the session is not the one that there was")
					}
					f.clean(t)
				})
			})
		}
	}
}

func TestExtraThatCannotBeSavedIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		bad := f.first.Clone()
		bad.Extra = map[string]json.RawMessage{"x": json.RawMessage("{")}
		if err := f.Start(t.Context(), bad); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("Start: %v; want ErrMisconfigured", err)
		}
	})
}

// A Refresher's answer is all that there is of a session whose refresh token rotates.
func TestRefreshTokenBesideAnAccessTokenThatCannotBeSentIsKept(t *testing.T) {
	for name, token := range map[string]string{
		"nothing": "", "line break inside": "a\nb", "not ASCII": "é", "C1": "a\u009bb", "only space": " ",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent []string
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					cfg.OAuthClient = refresh.RefresherFunc(func(_ context.Context, old *oauth.TokenPair) (*oauth.TokenPair, error) {
						sent = append(sent, old.RefreshToken)
						return &oauth.TokenPair{AccessToken: token, RefreshToken: "second"}, nil
					})
				}).start(t)
				err := f.ForceRefresh(t.Context())
				if !errors.Is(err, oauth.ErrMisconfigured) {
					t.Errorf("ForceRefresh: %v; want ErrMisconfigured", err)
				}
				rec, err := f.store.Get(t.Context(), "default")
				if err != nil || rec.Tokens.RefreshToken != "second" || rec.Tokens.AccessToken != f.first.AccessToken {
					t.Errorf("saved: %v, %v; want the new refresh token beside the old access token", rec, err)
				}
				if len(sent) != 1 {
					t.Errorf("%d refresh tokens were sent; want one", len(sent))
				}
			})
		})
	}
}

func TestTokenIsTakenOutOfWhatARefresherPutsAroundIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.OAuthClient = refresh.RefresherFunc(func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				return &oauth.TokenPair{AccessToken: " Bearer abc\n", ExpiresIn: 900, Extra: map[string]json.RawMessage{"bad": json.RawMessage("{"), "good": json.RawMessage("1")}}, nil
			})
		}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.GetTokens(); got.AccessToken != "abc" || len(got.Extra) != 1 {
			t.Errorf("access token and extra fields are not what can be sent and saved: %v", got)
		}
		if rec, err := f.store.Get(t.Context(), "default"); err != nil || rec.Tokens.AccessToken != "abc" {
			t.Errorf("saved: %v, %v", rec, err)
		}
	})
}

func TestEndsThatCannotBeMeantAreUnknown(t *testing.T) {
	day := 24 * time.Hour
	for name, edit := range map[string]func(*oauth.TokenPair){
		"in the year 10000":         func(p *oauth.TokenPair) { p.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"at the end of time":        func(p *oauth.TokenPair) { p.ExpiresAt = time.Unix(math.MaxInt64/2, 0) },
		"before the epoch":          func(p *oauth.TokenPair) { p.ExpiresAt = time.Unix(-1, 0) },
		"before our era":            func(p *oauth.TokenPair) { p.ExpiresAt = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) },
		"in eleven years":           func(p *oauth.TokenPair) { p.ExpiresAt = time.Now().Add(11 * 365 * day) },
		"in a billion seconds":      func(p *oauth.TokenPair) { p.ExpiresAt, p.ExpiresIn = time.Time{}, 1e9 },
		"in more than all seconds":  func(p *oauth.TokenPair) { p.ExpiresAt, p.ExpiresIn = time.Time{}, math.MaxInt64 },
		"after a negative lifetime": func(p *oauth.TokenPair) { p.ExpiresAt, p.ExpiresIn = time.Time{}, math.MinInt64 },
		"of all the times there are": func(p *oauth.TokenPair) {
			never := time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)
			p.ExpiresAt, p.IssuedAt, p.RefreshAt, p.RefreshExpiresAt, p.GrantedAt = never, never, never, never, never
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{})
				f.first.ExpiresIn = 0 // which would tell it
				edit(f.first)
				f.start(t)
				if got := f.GetExpiresAt(); !got.IsZero() {
					t.Errorf("the token ends at %v; want that not to be known", got)
				}
				if st := f.GetRefreshStatus(); st.Unsaved || !st.RefreshExpiresAt.IsZero() && time.Until(st.RefreshExpiresAt) > 11*365*day {
					t.Errorf("status %+v; want it saved, without an end of the refresh token that cannot be", st)
				}
				f.clean(t)
			})
		})
	}
}
