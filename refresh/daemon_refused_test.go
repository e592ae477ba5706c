package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestF88_ADaemonThatCannotBeRenewedDoesNotStart(t *testing.T) {
	exchanged := func(d *service) (*oauth.TokenPair, error) {
		person, err := d.server.Login("alice")
		if err != nil {
			return nil, err
		}
		return d.client.ExchangeToken(context.Background(), oauth.TokenExchange{SubjectToken: person.AccessToken})
	}
	obtained := func(d *service) (*oauth.TokenPair, error) { return d.client.ClientCredentials(context.Background()) }
	for name, tt := range map[string]struct {
		pick   func(*oauth.Client) refresh.Refresher
		pair   func(*service) (*oauth.TokenPair, error)
		advice string
	}{
		"token exchange, plain client":   {plain, exchanged, "TokenExchangeRefresher"},
		"token exchange, a function":     {byFunction, exchanged, "TokenExchangeRefresher"},
		"client credentials, a function": {byFunction, obtained, "ClientCredentialsRefresher"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newService(t, tt.pick)
				pair := must(t)(tt.pair(d))
				refused := func(what string, err error) {
					t.Helper()
					is(t, err, oauth.ErrMisconfigured)
					if err == nil || errors.Is(err, oauth.ErrLoginRequired) || !strings.Contains(err.Error(), tt.advice) {
						t.Errorf("%s: %v; want advice to use %s", what, err, tt.advice)
					}
				}
				refused("Start", d.Start(t.Context(), pair))
				if d.IsRunning() {
					t.Error("it runs all the same")
				}
				if _, err := d.store.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
					t.Errorf("the pair was saved: %v", err)
				}

				pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: tt.pick(d.client), Store: d.store}})
				if err := pool.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer pool.Stop()
				_, err := pool.Add(t.Context(), "default", pair)
				refused("Pool.Add", err)

				person, err := d.server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Start(t.Context(), person); err != nil {
					t.Fatal(err)
				}
				refused("UpdateTokens", d.UpdateTokens(pair))
				d.serve(t, person)
				d.Stop()

				save(t, d.store, pair)
				refused("Start with what is saved", d.Start(t.Context(), nil))
			})
		})
	}
}

// save puts a pair into the store in place of what is there.
func save(t *testing.T, store tokenstore.Store, pair *oauth.TokenPair) {
	t.Helper()
	rec := &tokenstore.Record{Tokens: pair}
	if old, err := store.Get(t.Context(), "default"); err == nil {
		rec.Version = old.Version
	}
	if _, err := store.Set(t.Context(), "default", rec); err != nil {
		t.Fatal(err)
	}
}

func TestF88_APairThatSomebodyElseSavedAndNothingCanRenewIsNoLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newService(t, byFunction)
		if err := d.Start(t.Context(), &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}); err != nil {
			t.Fatal(err)
		}
		save(t, d.store, d.obtain(t))
		time.Sleep(time.Hour)
		_, err := d.TokenContext(t.Context())
		is(t, err, oauth.ErrMisconfigured)
		d.inState(t, refresh.StateMisconfigured)
		if n := len(d.told.heard()); n != 0 {
			t.Errorf("asked for a login %d times", n)
		}
	})
}

func TestALoginWithoutARefreshTokenIsUsedUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newService(t, plain)
		pair := must(t)(d.server.Login("alice"))
		pair.RefreshToken = ""
		if err := d.Start(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		d.serve(t, pair)
		time.Sleep(time.Hour)
		_, err := d.TokenContext(t.Context())
		is(t, err, oauth.ErrLoginRequired, oauth.ErrRefreshTokenRequired)
		if n := len(d.told.heard()); n != 1 {
			t.Errorf("OnRefreshFail heard of it %d times; want once", n)
		}
	})
}

func TestF88_ARefusedDaemonIsMisconfiguredAndNeverLoggedOut(t *testing.T) {
	words := []string{"invalid_client", "unauthorized_client", "invalid_grant", "invalid_scope", "access_denied", "login_required", "TOKEN_EXPIRED"}
	for _, word := range words {
		for _, when := range []string{"at start", "after a day"} {
			t.Run(word+" "+when, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					d := newService(t, byCredentials)
					if when != "at start" {
						d.resume(t)
						time.Sleep(24 * time.Hour)
					}
					d.server.Script(fault(http.StatusBadRequest, fmt.Sprintf(`{"error":%q}`, word)))
					if when == "at start" {
						d.resume(t)
					}
					before := d.requests()
					time.Sleep(3 * time.Hour)
					_, err := d.TokenContext(t.Context())
					is(t, err, oauth.ErrMisconfigured)
					if errors.Is(err, oauth.ErrLoginRequired) || strings.Contains(err.Error(), "log in") {
						t.Errorf("a daemon is told to log in: %v", err)
					}
					d.inState(t, refresh.StateMisconfigured)
					if n := d.events.count(refresh.EventMisconfigured); n != 1 {
						t.Errorf("reported %d times; want once", n)
					}
					if n := d.requests() - before; n < 10 || n > 30 {
						t.Errorf("%d requests in three hours; want one now and then", n)
					}
					d.server.ClearScript()
					time.Sleep(11 * minute)
					d.liveFor(t, time.Hour)
					d.wellAfterAll(t)
				})
			})
		}
	}
}

func TestF88_WordsThatNobodyKnowsDoNotEndADaemon(t *testing.T) {
	for name, f := range map[string]oauthtest.Fault{
		"unknown word": fault(400, `{"error":"service_gone_fishing"}`), "404": fault(404, "not found"), "no token": fault(200, `{}`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newService(t, byCredentials).resume(t)
				time.Sleep(minute)
				d.server.Script(f)
				time.Sleep(24 * time.Hour)
				_, err := d.TokenContext(t.Context())
				if name == "no token" {
					is(t, err, oauth.ErrMisconfigured, oauth.ErrNoToken)
				} else {
					is(t, err, oauth.ErrTransient)
				}
				d.server.ClearScript()
				time.Sleep(11 * minute)
				d.liveFor(t, time.Hour)
				d.wellAfterAll(t)
			})
		})
	}
}

// A service that works on with what a person's program has shown it.
func TestF88_AnExchangedSessionOutlivesItsSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var subject *refresh.Manager
		d := newService(t, func(c *oauth.Client) refresh.Refresher {
			return c.TokenExchangeRefresher(func(ctx context.Context) (oauth.TokenExchange, error) {
				pair, err := subject.TokenContext(ctx)
				if err != nil {
					return oauth.TokenExchange{}, err
				}
				return oauth.TokenExchange{SubjectToken: pair.AccessToken}, nil
			})
		})
		subject = refresh.NewManager(refresh.Config{OAuthClient: d.client})
		if err := subject.Start(t.Context(), must(t)(d.server.Login("alice"))); err != nil {
			t.Fatal(err)
		}
		defer subject.Stop()
		d.resume(t)
		synctest.Wait()
		d.liveFor(t, 24*time.Hour)

		d.server.RevokeAll("alice")
		time.Sleep(2 * time.Hour)
		_, err := d.TokenContext(t.Context())
		is(t, err, oauth.ErrMisconfigured)
		if errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("the person's end is taken for the service's: %v", err)
		}
		if err := subject.UpdateTokens(must(t)(d.server.Login("alice"))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * minute)
		d.liveFor(t, time.Hour)
		d.wellAfterAll(t)
	})
}

// What a person's login left under the session's name is not a verdict on a service.
func TestF88_ADaemonTakesOverTheNameOfASessionThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newService(t, byCredentials)
		person := must(t)(d.server.Login("alice"))
		rec := &tokenstore.Record{Tokens: person, Dead: &tokenstore.Mark{Token: tokenstore.Fingerprint(person.RefreshToken), At: time.Now()}}
		if _, err := d.store.Set(t.Context(), "default", rec); err != nil {
			t.Fatal(err)
		}
		d.resume(t)
		time.Sleep(time.Hour)
		d.liveFor(t, time.Hour)
		d.wellAfterAll(t)
	})
}
