package refresh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// another is a session of alice's beside the fixture's, of another device.
func (f *fixture) another(t *testing.T) *refresh.Manager {
	t.Helper()
	login, err := f.server.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig())})
	if err := m.Start(t.Context(), login); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

// A thief spends a refresh token that was spent before. What that costs is the
// server's to say; the manager tells of it once, where it costs something.
func TestReuseByAThiefEndsWhatTheServerSays(t *testing.T) {
	for name, tt := range map[string]struct {
		server      oauthtest.Config
		here, there refresh.State
	}{
		"all of the user's sessions": {oauthtest.Config{}, refresh.StateLoginRequired, refresh.StateLoginRequired},
		"one session":                {oauthtest.Config{Quirks: oauthtest.Quirks{ReuseEndsOneSession: true}}, refresh.StateLoginRequired, refresh.StateValid},
		"nothing":                    {oauthtest.Config{NoReuseDetection: true}, refresh.StateValid, refresh.StateValid},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told failures
				f := newFixture(t, tt.server, told.use).start(t)
				other := f.another(t)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				_, err := oauth.NewClient(f.server.OAuthConfig()).Refresh(t.Context(), f.first)
				is(t, err, oauth.ErrLoginRequired)
				time.Sleep(time.Hour)
				f.inState(t, tt.here)
				if got := other.GetRefreshStatus().State; got != tt.there {
					t.Errorf("the other device is %s; want %s", got, tt.there)
				}
				want := 0
				if tt.here == refresh.StateLoginRequired {
					want = 1
				}
				if n := len(told.heard()); n != want {
					t.Errorf("OnRefreshFail was called %d times; want %d", n, want)
				}
				if mistakes := f.server.Audit(); len(mistakes) != 1 {
					t.Errorf("the server saw %v; want the thief alone", mistakes)
				}
			})
		})
	}
}

// After a logout nothing shows the revoked token again: neither this process nor
// one that has not noticed yet. At some servers that would end the user's
// sessions on other devices.
func TestRevokedTokenIsNeverShownAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{RevokedIsReused: true}}).start(t)
		sibling, device := f.sibling(t).resume(t), f.another(t)
		if err := f.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(t, sibling.ForceRefresh(t.Context()), oauth.ErrLoginRequired, refresh.ErrLoggedOut)
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		time.Sleep(24 * time.Hour)
		if got := device.GetRefreshStatus().State; got != refresh.StateValid {
			t.Errorf("the other device is %s", got)
		}
		f.clean(t)
	})
}

// What a new login replaces is revoked after the new pair is saved, and not used
// again.
func TestRevokingTheReplacedLoginLeavesTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{RevokedIsReused: true}}).start(t)
		sibling := f.sibling(t).resume(t)
		old := f.saved(t)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.UpdateTokens(login); err != nil {
			t.Fatal(err)
		}
		if err := oauth.NewClient(f.server.OAuthConfig()).Revoke(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		for _, process := range []*fixture{sibling, f} {
			if err := process.ForceRefresh(t.Context()); err != nil {
				t.Errorf("the new login: %v", err)
			}
		}
		time.Sleep(24 * time.Hour)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

// The person has granted less than the program asks for. A refresh that named the
// scopes would be refused and, at this server, spend the token.
func TestNoScopeIsSentThatCouldBurnTheToken(t *testing.T) {
	for name, preset := range map[string]oauth.Preset{"as it is": {}, "with a preset that sends them": {ScopeOnRefresh: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{FailureSpends: true}}, func(cfg *refresh.Config) {
					client := cfg.OAuthClient.(*oauth.Client).Config()
					client.Scopes, client.Preset = append(client.Scopes, "admin"), preset
					cfg.OAuthClient = oauth.NewClient(client)
				}).start(t)
				time.Sleep(24 * time.Hour)
				if !preset.ScopeOnRefresh {
					f.inState(t, refresh.StateValid)
					f.clean(t)
				} else if f.GetRefreshStatus().State == refresh.StateValid {
					t.Error("the server is not what this test needs: it burns nothing")
				}
			})
		})
	}
}

// A client with a mistake in it tries no other way of authenticating, and the same
// one ever more rarely.
func TestRefusedClientDoesNotTryOn(t *testing.T) {
	for name, edit := range map[string]func(*oauth.Config){
		"wrong secret": func(cfg *oauth.Config) { cfg.ClientSecret = "mistyped" },
		"other client": func(cfg *oauth.Config) { cfg.ClientID = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := oauthtest.Config{ClientSecret: "s3cret", Quirks: oauthtest.Quirks{FailureSpends: true}}
				f := newFixture(t, server, func(cfg *refresh.Config) {
					client := cfg.OAuthClient.(*oauth.Client).Config()
					edit(&client)
					cfg.OAuthClient = oauth.NewClient(client)
				}).start(t)
				is(t, f.ForceRefresh(t.Context()), oauth.ErrMisconfigured)
				time.Sleep(9 * minute)
				if n := f.requests(); n > 5 {
					t.Errorf("%d requests in nine minutes; want a few", n)
				}
				f.clean(t)
			})
		})
	}
}

// Where revoking an access token ends the grant, a session that has used up many
// of them lives; its logout makes the only revocation.
func TestNoAccessTokenIsRevokedWhileTheSessionLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{AccessRevocationEndsSession: true}}).start(t)
		for range 24 {
			time.Sleep(time.Hour)
			f.mustCall(t)
		}
		if n := f.server.Requests(oauthtest.RevocationEndpoint); n != 0 {
			t.Errorf("%d revocations", n)
		}
		pair := f.saved(t)
		if err := f.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.ended(t, pair)
		f.clean(t)
	})
}

// A session that the server has ended by itself can be logged out of: that it
// refuses to revoke what it no longer knows is not a reason to keep the pair.
func TestLogoutWhereTheServerKnowsTheTokenNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{UnknownRevocationFails: true}}).start(t)
		synctest.Wait()
		f.server.RevokeAll("alice")
		if err := f.Logout(context.Background()); err != nil {
			t.Errorf("the token is dead already, and yet: %v", err)
		}
		f.isGone(t)
		if n := f.server.Requests(oauthtest.RevocationEndpoint); n != 1 {
			t.Errorf("%d revocations; want 1", n)
		}
		f.clean(t)
	})
}

// Somebody presents a refresh token that is bound to a key without that key, or
// with another. Servers refuse it in three ways, and none of them takes the token
// from the session that has the key.
func TestRefreshWithTheWrongKeyCostsTheSessionNothing(t *testing.T) {
	for name, refusal := range map[string]oauthtest.Refusal{
		"invalid_grant":      {},
		"invalid_request":    {Status: 400, Body: `{"error":"invalid_request"}`},
		"invalid_dpop_proof": {Status: 400, Body: `{"error":"invalid_dpop_proof"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newDPoPFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{DeadRefresh: refusal}}).start(t)
				client := f.server.OAuthConfig()
				client.DPoP = true
				login, err := oauth.NewClient(client).Password(t.Context(), "alice", "wonderland")
				if err != nil {
					t.Fatal(err)
				}
				client.DPoP = false
				bare, other := f.first.Clone(), f.first.Clone()
				bare.DPoPKey, bare.TokenType, other.DPoPKey = oauth.DPoPKey{}, "Bearer", login.DPoPKey
				for _, stranger := range []*oauth.TokenPair{bare, other} {
					if _, err := oauth.NewClient(client).Refresh(t.Context(), stranger); err == nil {
						t.Error("the server does not care for the key")
					}
				}
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Hour)
				f.inState(t, refresh.StateValid)
			})
		})
	}
}
