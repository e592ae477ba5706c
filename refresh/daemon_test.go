package refresh_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A service is a program with an account of its own: a fixture without a login,
// and what OnRefreshFail hears.
type service struct {
	*fixture
	client *oauth.Client
	told   *failures
}

// newService makes a manager for a service, not yet started, whose OAuthClient is
// what pick makes of the service's client.
func newService(t *testing.T, pick func(*oauth.Client) refresh.Refresher, edits ...func(*refresh.Config)) *service {
	t.Helper()
	server := oauthtest.New(oauthtest.Config{ClientID: "service", ClientSecret: "secret"})
	d := &service{client: oauth.NewClient(server.OAuthConfig()), told: new(failures)}
	d.fixture = &fixture{server: server, store: new(tokenstore.Memory), events: new(recorder)}
	cfg := refresh.Config{OAuthClient: pick(d.client), Store: d.store, OnEvent: d.events.add, OnRefreshFail: d.told.hear}
	for _, edit := range edits {
		edit(&cfg)
	}
	d.store = cfg.Store
	d.Manager = refresh.NewManager(cfg)
	t.Cleanup(d.Stop)
	return d
}

func plain(c *oauth.Client) refresh.Refresher { return c }

func byCredentials(c *oauth.Client) refresh.Refresher { return c.ClientCredentialsRefresher() }

func byFunction(c *oauth.Client) refresh.Refresher { return refresh.RefresherFunc(c.Refresh) }

func withoutStore(cfg *refresh.Config) { cfg.Store = nil }

func fault(status int, body string) oauthtest.Fault {
	return forEver(oauthtest.Fault{Status: status, Body: body})
}

func (d *service) obtain(t *testing.T) *oauth.TokenPair {
	t.Helper()
	return must(t)(d.client.ClientCredentials(t.Context()))
}

func must(t *testing.T) func(*oauth.TokenPair, error) *oauth.TokenPair {
	return func(pair *oauth.TokenPair, err error) *oauth.TokenPair {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
}

// liveFor fails the test if the daemon is without a token in any minute of the
// given time.
func (d *service) liveFor(t *testing.T, life time.Duration) {
	t.Helper()
	for end := time.Now().Add(life); time.Now().Before(end); time.Sleep(minute) {
		start := time.Now()
		pair, err := d.TokenContext(t.Context())
		if err != nil || !pair.ExpiresAt.After(time.Now()) || time.Since(start) != 0 {
			t.Fatalf("after %v: %v, %v; want a living token at once", time.Since(start), pair, err)
		}
	}
}

// wellAfterAll fails the test unless the daemon is in order and nobody was asked to
// log in.
func (d *service) wellAfterAll(t *testing.T) {
	t.Helper()
	d.inState(t, refresh.StateValid)
	if errs := d.told.heard(); len(errs) != 0 || d.events.count(refresh.EventLoginRequired) != 0 {
		t.Errorf("a daemon was asked to log in: %v", errs)
	}
	d.clean(t)
}

func TestF88_ADaemonWithAPlainClientIsRenewedByClientCredentials(t *testing.T) {
	for name, edit := range map[string]func(*refresh.Config){"with a Store": func(*refresh.Config) {}, "without": withoutStore} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newService(t, plain, edit)
				if err := d.Start(t.Context(), d.obtain(t)); err != nil {
					t.Fatal(err)
				}
				d.liveFor(t, 24*time.Hour)
				if n := d.requests(); n < 96 || n > 200 {
					t.Errorf("%d requests in a day of 15-minute tokens", n)
				}
				d.wellAfterAll(t)
			})
		})
	}
}

func TestF88_ADaemonNeedsNoFirstPair(t *testing.T) {
	for name, edit := range map[string]func(*refresh.Config){
		"with a Store": func(*refresh.Config) {}, "without": withoutStore,
		"on use": func(cfg *refresh.Config) { cfg.Renewal = refresh.RenewOnUse },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newService(t, byCredentials, edit).resume(t)
				if _, err := d.TokenContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := d.requests(); n != 1 {
					t.Errorf("%d requests for the first pair; want 1", n)
				}
				time.Sleep(time.Hour)
				if _, err := d.TokenContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				d.wellAfterAll(t)
			})
		})
	}
}

func (d *service) resume(t *testing.T) *service { t.Helper(); d.fixture.resume(t); return d }

func TestF88_ADaemonWaitsForAServerThatIsDownAtStart(t *testing.T) {
	for name, down := range map[string]oauthtest.Fault{
		"refuses connections": {Down: true}, "resets": {Reset: true}, "answers 503": {Status: 503},
		"a page in front": {Status: 404, HTML: true}, "in trouble": {Status: 400, Body: `{"error":"temporarily_unavailable"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newService(t, byCredentials)
				d.server.Script(forEver(down))
				d.resume(t)
				time.Sleep(10 * minute)
				attempts := func() int { return d.events.count(refresh.EventRefreshFailed) }
				if n := attempts(); n < 5 || n > 80 {
					t.Errorf("%d attempts in ten minutes in which nobody asked for a token", n)
				}
				before := attempts()
				served := make(chan time.Time, 1)
				go func() {
					for {
						if _, err := d.TokenContext(t.Context()); err == nil {
							served <- time.Now()
							return
						}
					}
				}()
				time.Sleep(10*minute + 700*time.Millisecond)
				if n := attempts() - before; n > 600 {
					t.Errorf("%d attempts in ten minutes in which a caller waited", n)
				}
				d.server.ClearScript()
				back := time.Now()
				if late := (<-served).Sub(back); late > 2*time.Second {
					t.Errorf("the caller was served %v after the server's return; want 2 s at most", late)
				}
				d.wellAfterAll(t)
			})
		})
	}
}

func TestF88_ADaemonRestartsWithWhatIsSaved(t *testing.T) {
	for name, pick := range map[string]func(*oauth.Client) refresh.Refresher{"plain": plain, "refresher": byCredentials} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newService(t, pick)
				first := d.obtain(t)
				if err := d.Start(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				d.Stop()
				next := &service{fixture: d.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient = pick(d.client) }), told: d.told}
				next.resume(t)
				next.serve(t, first)
				if n := d.requests(); n != 1 {
					t.Errorf("%d requests; want the one before the restart", n)
				}
				next.Stop()
				time.Sleep(time.Hour) // the pair is dead by the next start
				next.resume(t)
				if _, err := next.TokenContext(t.Context()); err != nil {
					t.Error(err)
				}
				next.liveFor(t, 2*time.Hour)
				next.wellAfterAll(t)
			})
		})
	}
}

func TestF88_ProcessesOfADaemonObtainOneFirstPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newService(t, byCredentials)
		d.server.Script(oauthtest.Fault{Delay: 3 * time.Second})
		other := d.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient = d.client.ClientCredentialsRefresher() })
		d.resume(t)
		other.resume(t)
		mine := must(t)(d.TokenContext(t.Context()))
		other.serve(t, mine)
		if n := d.requests(); n != 1 {
			t.Errorf("%d requests; want one for both", n)
		}
		d.wellAfterAll(t)
	})
}

func TestF88_APoolBeginsDaemonsAndOpensThemAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := oauthtest.New(oauthtest.Config{ClientID: "service", ClientSecret: "secret"})
		var told failures
		cfg := refresh.PoolConfig{Config: refresh.Config{
			OAuthClient:   oauth.NewClient(server.OAuthConfig()).ClientCredentialsRefresher(),
			Store:         new(tokenstore.Memory),
			OnRefreshFail: told.hear,
		}}
		server.Script(forEver(oauthtest.Fault{Down: true}))
		pool := refresh.NewPool(cfg)
		if err := pool.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		names := []string{"billing", "mail", "search"}
		for _, name := range names {
			if _, err := pool.Session(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * minute)
		server.ClearScript()
		time.Sleep(2 * minute)
		aliveIn(t, pool, names)
		time.Sleep(24 * time.Hour)
		aliveIn(t, pool, names)
		pool.Stop()

		time.Sleep(time.Hour)
		again := refresh.NewPool(cfg)
		if err := again.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer again.Stop()
		if n, err := again.Restore(t.Context()); n != len(names) || err != nil {
			t.Errorf("%d sessions opened, %v", n, err)
		}
		time.Sleep(minute)
		aliveIn(t, again, names)
		if n := len(told.heard()); n != 0 {
			t.Errorf("asked for a login %d times", n)
		}
	})
}

// aliveIn fails the test unless each of the pool's sessions serves a living token.
func aliveIn(t *testing.T, pool *refresh.Pool, names []string) {
	t.Helper()
	for _, name := range names {
		m, err := pool.Session(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if pair, err := m.TokenContext(t.Context()); err != nil || pair.GrantType != oauth.GrantTypeClientCredentials || time.Since(start) != 0 {
			t.Errorf("%s after %v: %v, %v; want a living token at once", name, time.Since(start), pair, err)
		}
	}
}

func TestF88_NothingIsHandedOverBeforeTheFirstPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		saved, store := 0, newFaultyStore()
		store.edit(func(s *faultyStore) {
			s.onSet = func(_ context.Context, rec *tokenstore.Record) error {
				if saved++; rec.Tokens == nil || rec.Tokens.AccessToken == "" {
					t.Error("an empty session was written to the Store")
				}
				return nil
			}
		})
		d := newService(t, byCredentials, store.use, func(cfg *refresh.Config) {
			cfg.TokenStore = func(_ context.Context, pair *oauth.TokenPair) error {
				if saved++; pair.AccessToken == "" {
					t.Error("an empty pair was handed to TokenStore")
				}
				return nil
			}
		})
		d.server.Script(forEver(oauthtest.Fault{Status: 503}))
		d.resume(t)
		time.Sleep(5 * minute)
		if _, err := d.store.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) || saved != 0 || d.GetTokens() != nil {
			t.Errorf("before the first pair: stored %v, %d saves, %v", err, saved, d.GetTokens())
		}
		d.Stop()
		d.resume(t) // and again, without having had one
		d.server.ClearScript()
		resource := d.Resource("https://mail.example.com")
		if _, err := resource.TokenContext(t.Context()); err != nil {
			t.Error(err)
		}
		own := must(t)(d.TokenContext(t.Context()))
		if saved == 0 || d.saved(t).AccessToken != own.AccessToken {
			t.Error("the first pair was not saved")
		}
		d.wellAfterAll(t)
	})
}

// A revoker ends at the server what it has obtained.
type revoker struct {
	*oauth.GrantRefresher
	client *oauth.Client
}

func (r revoker) CanRevoke() bool { return true }

func (r revoker) Revoke(ctx context.Context, t *oauth.TokenPair) error {
	if t.AccessToken == "" {
		return errors.New("there is nothing to revoke")
	}
	return r.client.Revoke(ctx, t)
}

func TestF88_ADaemonThatIsLoggedOutStaysSoUntilItIsStartedAgain(t *testing.T) {
	for _, when := range []string{"before the first pair", "after it"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newService(t, func(c *oauth.Client) refresh.Refresher { return revoker{c.ClientCredentialsRefresher(), c} })
				if when != "after it" {
					d.server.Script(forEver(oauthtest.Fault{Down: true}))
				}
				d.resume(t)
				time.Sleep(5 * minute)
				if err := d.Logout(t.Context()); err != nil {
					t.Fatal(err)
				}
				d.server.ClearScript()
				before := d.requests()
				time.Sleep(time.Hour)
				_, err := d.TokenContext(t.Context())
				is(t, err, refresh.ErrLoggedOut)
				if n := d.requests() - before; n != 0 {
					t.Errorf("%d requests after the logout", n)
				}
				d.Stop()
				d.resume(t)
				synctest.Wait()
				d.liveFor(t, time.Hour)
				d.wellAfterAll(t)
			})
		})
	}
}

func TestF88_APairTakesThePlaceOfTheOneThatIsYetToCome(t *testing.T) {
	for name, edit := range map[string]func(*refresh.Config){"with a Store": func(*refresh.Config) {}, "without": withoutStore} {
		for _, how := range []string{"UpdateTokens", "Start"} {
			t.Run(how+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newService(t, byCredentials, edit)
					pair := d.obtain(t)
					d.server.Script(forEver(oauthtest.Fault{Down: true}))
					d.resume(t)
					time.Sleep(minute)
					give := d.UpdateTokens
					if how == "Start" {
						d.Stop()
						give = func(pair *oauth.TokenPair) error { return d.Start(t.Context(), pair) }
					}
					if err := give(pair); err != nil {
						t.Fatal(err)
					}
					d.serve(t, pair)
					d.server.ClearScript()
					d.liveFor(t, 2*time.Hour)
					d.wellAfterAll(t)
				})
			})
		}
	}
}

func TestF88_ADaemonBeginsAnewWhereTheSavedSessionIsDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFaultyStore()
		d := newService(t, byCredentials, store.use)
		once := true
		store.edit(func(s *faultyStore) {
			s.onGet = func(context.Context) error {
				if once {
					once = false
					return tokenstore.ErrDamaged
				}
				return nil
			}
		})
		d.resume(t)
		time.Sleep(minute)
		d.liveFor(t, time.Hour)
		d.wellAfterAll(t)
	})
}
