package refresh_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/oidc"
	"github.com/evertoken/evertoken/refresh"
)

// badIDToken is an answer whose ID token has a wrong claim, signed by the server.
func (f *fixture) badIDToken(name string, value any) oauthtest.Fault {
	return oauthtest.Fault{Edit: func(fields map[string]any) {
		token, _ := fields["id_token"].(string)
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
			panic(err)
		}
		claims[name] = value
		fields["id_token"] = f.server.SignIDToken(claims)
	}}
}

func TestABadIDTokenDoesNotCostTheSession(t *testing.T) {
	for name, value := range map[string]any{"iss": "https://other.test", "aud": "you", "exp": 1, "iat": 4e12, "at_hash": "x", "sub": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed := new(failures)
				f := newFixture(t, oauthtest.Config{}, failed.use).start(t)
				f.server.Script(f.badIDToken(name, value))
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				renewed := f.GetTokens()
				f.serve(t, renewed)
				f.inState(t, refresh.StateValid)
				if renewed.IDTokenError != nil {
					t.Error("the failure stays with the pair")
				}
				if renewed.AccessToken == f.first.AccessToken || renewed.IDToken != f.first.IDToken {
					t.Error("want the new access token, and the ID token from before")
				}
				if saved := f.saved(t); saved.RefreshToken == f.first.RefreshToken || saved.IDToken != f.first.IDToken {
					t.Error("the new refresh token is not saved, or the bad ID token is")
				}
				told := f.events.of(refresh.EventIDTokenRejected)
				if len(told) != 1 || !errors.Is(told[0].Err, oauth.ErrIDToken) {
					t.Errorf("told %v; want the failure, once", told)
				}
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatalf("the new refresh token does not work: %v", err)
				}
				if f.GetTokens().IDToken == f.first.IDToken || f.events.count(refresh.EventIDTokenRejected) != 1 {
					t.Error("a good ID token was not taken over")
				}
				if len(failed.heard()) != 0 {
					t.Errorf("OnRefreshFail heard %v", failed.heard())
				}
				f.clean(t)
			})
		})
	}
}

// The keys of the ID tokens are as far away as can be, and the session lives.
func TestKeysThatCannotBeHadDoNotCostTheSession(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{"down": {Down: true}, "hangs": {Hang: true}, "500": {Status: 500}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}, verified)
				fault.Endpoint, fault.Times = oauthtest.JWKSEndpoint, -1
				f.server.Script(fault)
				f.start(t)
				for range 3 {
					if err := f.ForceRefresh(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if f.saved(t).RefreshToken == f.first.RefreshToken || f.saved(t).IDToken != f.first.IDToken {
					t.Error("want the new refresh token, and the ID token from before")
				}
				f.server.ClearScript()
				time.Sleep(minute)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				if f.saved(t).IDToken == f.first.IDToken || f.events.count(refresh.EventIDTokenRejected) != 3 {
					t.Error("the ID token was not taken over when the keys were there")
				}
				f.clean(t)
			})
		})
	}
}

// verified makes the manager's client check signatures.
func verified(cfg *refresh.Config) {
	oauthConfig := cfg.OAuthClient.(*oauth.Client).Config()
	oauthConfig.VerifyIDToken = new(oidc.Verifier).Verify
	cfg.OAuthClient = oauth.NewClient(oauthConfig)
}

// strangersAnswer is what a cache or a confused server gives instead of ours: an
// answer to bob. The server has done ours all the same.
func (f *fixture) strangersAnswer(t *testing.T, times int) (*oauth.TokenPair, oauthtest.Fault) {
	t.Helper()
	bob, err := f.server.Login("bob")
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(bob)
	if err != nil {
		t.Fatal(err)
	}
	return bob, oauthtest.Fault{Body: string(body), AfterCommit: true, Times: times}
}

// neverShows fails the test if anything of a stranger's is in use or saved.
func (f *fixture) neverShows(t *testing.T, stranger *oauth.TokenPair) {
	t.Helper()
	for where, pair := range map[string]*oauth.TokenPair{"in use": f.GetTokens(), "saved": f.saved(t)} {
		if pair.AccessToken == stranger.AccessToken || pair.RefreshToken == stranger.RefreshToken || !pair.SameAccount(f.first) {
			t.Errorf("a stranger's tokens are %s", where)
		}
	}
}

func TestAStrangersAnswerIsAskedForAgain(t *testing.T) {
	for name, server := range map[string]oauthtest.Config{
		"with a grace window": {Users: twoUsers, Grace: 30 * time.Second},
		"without rotation":    {Users: twoUsers, NoRotation: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, server)
				bob, fault := f.strangersAnswer(t, 1)
				f.start(t)
				f.server.Script(fault)
				done := make(chan error, 1)
				go func() { done <- f.ForceRefresh(t.Context()) }()
				time.Sleep(500 * time.Millisecond)
				f.neverShows(t, bob)
				f.serve(t, f.first)
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				f.neverShows(t, bob)
				if spends := f.server.Spends(); len(spends) != 2 || spends[0].TokenHash != spends[1].TokenHash {
					t.Errorf("spends %v; want our own refresh token, twice", spends)
				}
				if told := f.events.of(refresh.EventRefreshFailed); len(told) != 1 || !errors.Is(told[0].Err, oauth.ErrIDToken) {
					t.Errorf("told %v", told)
				}
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := oauth.NewClient(f.server.OAuthConfig()).Refresh(context.Background(), bob); err != nil {
					t.Errorf("bob's session has suffered: %v", err)
				}
				f.clean(t)
			})
		})
	}
}

func TestAServerThatKeepsAnsweringForAStrangerIsInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := new(failures)
		f := newFixture(t, oauthtest.Config{Users: twoUsers, NoRotation: true}, failed.use)
		bob, fault := f.strangersAnswer(t, -1)
		f.start(t)
		f.server.Script(fault)
		f.untilDue()
		f.serve(t, f.first) // as long as it lives
		time.Sleep(time.Hour)
		_, err := f.TokenContext(t.Context())
		is(t, err, oauth.ErrTransient, oauth.ErrIDToken)
		f.neverShows(t, bob)
		f.server.ClearScript()
		time.Sleep(10 * minute)
		if pair, err := f.TokenContext(t.Context()); err != nil || !pair.SameAccount(f.first) {
			t.Errorf("after the server was repaired: %v, %v", pair, err)
		}
		if len(failed.heard()) != 0 {
			t.Errorf("OnRefreshFail heard %v", failed.heard())
		}
		f.clean(t)
	})
}

// A strict server has spent the refresh token for an answer that went to someone
// else: that is a lost answer like any other.
func TestAStrangersAnswerFromAStrictServerIsALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := new(failures)
		f := newFixture(t, oauthtest.Config{Users: twoUsers}, failed.use)
		bob, fault := f.strangersAnswer(t, 1)
		f.start(t)
		f.server.Script(fault)
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		time.Sleep(minute + time.Second) // for a second opinion
		if len(failed.heard()) != 1 {
			t.Errorf("OnRefreshFail heard %v; want the cause, once", failed.heard())
		}
		f.neverShows(t, bob)
		f.clean(t)
	})
}
