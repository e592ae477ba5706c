package refresh_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// xMargin is how long before its Expiry x/oauth2 calls a token invalid.
const xMargin = 10 * time.Second

// handedOut returns what the source hands out, and fails the test if it has nothing.
func handedOut(t *testing.T, source oauth2.TokenSource) *oauth2.Token {
	t.Helper()
	tok, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestTokenStaysTheSameUntilARenewalIsNear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 2 * time.Hour}).start(t)
		first := handedOut(t, f)
		written := *first
		for time.Until(f.GetRefreshStatus().RefreshAt) > 2*xMargin {
			time.Sleep(xMargin / 2)
			// A session that has rested hands out another one, with the same in it.
			if tok := handedOut(t, f); tok != first && !*resting || !reflect.DeepEqual(*tok, written) {
				t.Fatalf("another token %v before the renewal", time.Until(f.GetRefreshStatus().RefreshAt))
			}
		}
		if !first.Expiry.Equal(f.GetRefreshStatus().RefreshAt) {
			t.Errorf("Expiry %v; want %v, when a renewal is due", first.Expiry, f.GetRefreshStatus().RefreshAt)
		}
	})
}

func TestTokenIsValidForAsLongAsItLives(t *testing.T) {
	for name, life := range map[string]time.Duration{"long": 2 * time.Hour, "short": 15 * time.Minute, "very short": time.Minute} {
		for _, down := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, oauthtest.Config{AccessTokenLifetime: life}).start(t)
					if down {
						f.server.Script(oauthtest.Fault{Status: 503, Times: -1})
					}
					for time.Until(f.GetExpiresAt()) > xMargin && time.Since(f.first.IssuedAt) < 2*life {
						tok := handedOut(t, f)
						if !tok.Valid() {
							t.Fatalf("%v before its end the token is not valid", time.Until(f.GetExpiresAt()))
						}
						if tok.Expiry.After(f.GetExpiresAt()) {
							t.Fatalf("Expiry is %v after the token's end", tok.Expiry.Sub(f.GetExpiresAt()))
						}
						time.Sleep(time.Second / 3)
					}
				})
			})
		}
	}
}

func TestCacheKeepsATokenThatWaitsForItsRenewalForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 2 * time.Hour}).start(t)
		cache := oauth2.ReuseTokenSource(nil, f)
		f.server.Script(oauthtest.Fault{Status: 503, Times: -1})
		time.Sleep(time.Until(f.GetRefreshStatus().RefreshAt) + minute)
		first := handedOut(t, cache)
		if again := handedOut(t, cache); again != first {
			t.Error("the cache asked twice in a row")
		}
		f.server.ClearScript()
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second / 5)
		if tok := handedOut(t, cache); tok.AccessToken != f.GetTokens().AccessToken {
			t.Error("the cache has the old token a fifth of a second later")
		}
	})
}

// Another program renews the pair, with what is probably our threshold, and at the
// earliest when jitter is most.
func TestTokenThatAnotherProgramRenewsIsAskedForAgainInTime(t *testing.T) {
	for name, edit := range map[string]func(*refresh.Config){
		"follower":     func(cfg *refresh.Config) { cfg.Follower, cfg.OAuthClient = true, nil },
		"paused":       func(cfg *refresh.Config) { cfg.Renewal = refresh.RenewNever },
		"renews later": func(cfg *refresh.Config) { cfg.Follower, cfg.RefreshThreshold = true, 10*time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 2 * time.Hour}).start(t)
				lead := 330 * time.Second
				other := refresh.NewManager(configWith(f, edit))
				if err := other.Start(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				defer other.Stop()
				if name == "renews later" {
					lead *= 2
				}
				want := f.GetExpiresAt().Add(-lead)
				if got := handedOut(t, other).Expiry; !got.Equal(want) {
					t.Errorf("Expiry %v before the end; want %v", f.GetExpiresAt().Sub(got), lead)
				}
			})
		})
	}
}

func configWith(f *fixture, edit func(*refresh.Config)) refresh.Config {
	cfg := refresh.Config{Store: f.store, OAuthClient: oauth.NewClient(f.server.OAuthConfig())}
	edit(&cfg)
	return cfg
}

func TestResourceHandsOutTokensThatCachesAskForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 2 * time.Hour}).start(t)
		r := f.Resource("https://files.example.com")
		first := handedOut(t, r)
		pair, err := r.TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if lead := pair.ExpiresAt.Sub(first.Expiry); lead != 12*time.Minute {
			t.Errorf("Expiry %v before the end; want a tenth of the token's life, when a renewal is due", lead)
		}
		time.Sleep(time.Until(first.Expiry))
		if tok := handedOut(t, r); !tok.Valid() {
			t.Error("the token whose renewal has begun is not valid")
		}
	})
}

func TestTokenTakenBackFromXOAuth2HasItsRealEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 2 * time.Hour}).start(t)
		tok := handedOut(t, f)
		if back := oauth.FromOAuth2(tok); !back.ExpiresAt.Equal(f.GetExpiresAt()) || back.RefreshToken != f.first.RefreshToken {
			t.Errorf("end %v; want %v", back.ExpiresAt, f.GetExpiresAt())
		}
		if scope, _ := tok.Extra("scope").(string); scope != f.first.Scope {
			t.Errorf("scope %q; want %q", scope, f.first.Scope)
		}
	})
}

func TestFieldThatTheServerNamedExpiresAtIsHandedOutAsItCame(t *testing.T) {
	m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(oauth.Config{TokenURL: "https://as.example/token", ClientID: "c"})})
	err := m.Start(t.Context(), &oauth.TokenPair{
		AccessToken: "a", ExpiresAt: time.Now().Add(time.Hour), Extra: map[string]json.RawMessage{"expires_at": json.RawMessage("1763640000")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	if got := handedOut(t, m).Extra("expires_at"); got != float64(1763640000) {
		t.Errorf("expires_at is %v; want the server's number", got)
	}
}
