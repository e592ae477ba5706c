package refresh_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestF1_HundredGoroutinesShareOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		time.Sleep(time.Hour) // the token is dead before the manager starts
		f.server.Script(oauthtest.Fault{Delay: time.Second})
		f.start(t)

		var wg sync.WaitGroup
		tokens := make([]string, 100)
		for i := range tokens {
			wg.Go(func() {
				tok, err := f.Token()
				if err != nil {
					t.Error(err)
					return
				}
				tokens[i] = tok.AccessToken
			})
		}
		wg.Wait()
		slices.Sort(tokens)
		if got := slices.Compact(tokens); len(got) != 1 || got[0] == f.first.AccessToken {
			t.Errorf("100 goroutines got %d different tokens; want one new one", len(got))
		}
		if n := f.requests(); n != 1 {
			t.Errorf("100 goroutines caused %d requests; want 1", n)
		}
		f.clean(t)
	})
}

func TestF1_HundredGoroutinesShareOneFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(forEver(oauthtest.Fault{Delay: time.Second, Status: 503}))
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient) })
		}
		wg.Wait()
		if n := f.requests(); n != 1 {
			t.Errorf("100 goroutines caused %d requests; want 1", n)
		}
		f.clean(t)
	})
}

// The server of F2 gives every use of a refresh token within its grace window a
// successor of its own, and only the newest one lives.
func forking() oauthtest.Config {
	return oauthtest.Config{Grace: 10 * time.Second, ForkSuccessors: true}
}

func TestF2_GraceWindowOverlappingRefreshesAreOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, forking()).start(t)
		f.server.Script(oauthtest.Fault{Delay: 2 * time.Second, AfterCommit: true})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Second)
		}
		wg.Wait()
		if n := f.requests(); n != 1 {
			t.Errorf("two overlapping refreshes sent %d requests; want 1", n)
		}
		f.clean(t)
	})
}

func TestF2_GraceWindowSecondSpendElsewhereIsNotOverwrittenByTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, forking()).start(t)
		// Ours is accepted first, and answered after the other's has been saved.
		f.server.Script(oauthtest.Fault{Delay: 2 * time.Second, AfterCommit: true})
		done := make(chan error)
		go func() { done <- f.ForceRefresh(t.Context()) }()
		time.Sleep(time.Second)
		newest := f.renewElsewhere(t)

		if err := <-done; err != nil {
			t.Errorf("a refresh that was overtaken: %v; want none, the session is well", err)
		}
		if f.saved(t).RefreshToken != newest.RefreshToken {
			t.Error("the store lost the successor of the last accepted request")
		}
		f.serve(t, newest)
		if n := f.events.count(refresh.EventAdopted); n != 1 {
			t.Errorf("%d adoptions; want 1", n)
		}
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Errorf("the session is lost: %v", err)
		}
	})
}

func TestF2_GraceWindowFirstSpendElsewhereIsReplacedByTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, forking()).start(t)
		// The other's is accepted first; ours is sent before the other is saved, and
		// answered afterwards.
		f.server.Script(oauthtest.Fault{Delay: 2 * time.Second, AfterCommit: true}, oauthtest.Fault{Delay: 3 * time.Second, AfterCommit: true})
		go f.renewElsewhere(t) // saved after two seconds
		time.Sleep(time.Second)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f.saved(t).RefreshToken != f.GetTokens().RefreshToken {
			t.Error("store and manager hold different pairs")
		}
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Errorf("the session is lost: the store kept the successor that had died: %v", err)
		}
	})
}

func TestF3_FirstCallerCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		time.Sleep(time.Hour)
		f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
		if err := f.Start(t.Context(), nil); err == nil {
			t.Fatal("there is nothing to go on with yet")
		}
		f.start(t)

		ctx, cancel := context.WithCancelCause(t.Context())
		first := make(chan error)
		go func() {
			_, err := f.TokenContext(ctx)
			first <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if pair, err := f.TokenContext(t.Context()); err != nil || pair.AccessToken == f.first.AccessToken {
					t.Errorf("a caller who stayed got %v, %v; want the new pair", pair, err)
				}
			})
		}
		time.Sleep(time.Second)
		start, tired := time.Now(), errors.New("tired of waiting")
		cancel(tired)
		is(t, <-first, tired)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the caller who cancelled was kept for %v", waited)
		}
		wg.Wait()
		if f.saved(t).RefreshToken != f.GetTokens().RefreshToken || f.saved(t).RefreshToken == f.first.RefreshToken {
			t.Error("the new pair is not saved")
		}
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}
		f.clean(t)
	})
}

func TestF4_PanicIsAnErrorAndTheNextCallTriesAgain(t *testing.T) {
	const secret = "a secret in a panic"
	// Each hook panics until it is told to stop.
	tests := []struct {
		name  string
		where string // of the PanicError that a waiter gets; empty: none, it gets a token
		arm   func(f *fixture, s *faultyStore, armed func() bool)
		edit  func(cfg *refresh.Config, armed func() bool)
	}{
		{name: "store reads", where: "Store.Get", arm: func(_ *fixture, s *faultyStore, armed func() bool) {
			s.onGet = func(context.Context) error { return panicIf(armed, secret) }
		}},
		{name: "store locks", where: "Store.Lock", arm: func(_ *fixture, s *faultyStore, armed func() bool) {
			s.onLock = func(context.Context) error { return panicIf(armed, secret) }
		}},
		{name: "store writes", arm: func(_ *fixture, s *faultyStore, armed func() bool) {
			s.onSet = func(context.Context, *tokenstore.Record) error { return panicIf(armed, secret) }
		}},
		{name: "lease", where: "refresh", arm: func(_ *fixture, s *faultyStore, armed func() bool) {
			s.onLease = func() error { return panicIf(armed, secret) }
		}},
		{name: "signer", where: "OAuthClient.Refresh", edit: func(cfg *refresh.Config, armed func() bool) {
			next := cfg.OAuthClient
			cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, p *oauth.TokenPair) (*oauth.TokenPair, error) {
				_ = panicIf(armed, secret)
				return next.Refresh(ctx, p)
			})
		}},
		{name: "TokenStore", edit: func(cfg *refresh.Config, armed func() bool) {
			cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { return panicIf(armed, secret) }
		}},
		{name: "OnEvent", edit: func(cfg *refresh.Config, armed func() bool) {
			next := cfg.OnEvent
			cfg.OnEvent = func(e refresh.Event) { next(e); _ = panicIf(armed, secret) }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				on := false
				armed := func() bool { mu.Lock(); defer mu.Unlock(); return on }
				set := func(v bool) { mu.Lock(); defer mu.Unlock(); on = v }

				s := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, s.use, func(cfg *refresh.Config) {
					if tt.edit != nil {
						tt.edit(cfg, armed)
					}
				}).start(t)
				if tt.arm != nil {
					s.edit(func(s *faultyStore) { tt.arm(f, s, armed) })
				}
				set(true)
				f.untilExpired()
				if tt.where == "" {
					time.Sleep(minute) // the attempt that does not need the hook is to come
				}

				start := time.Now()
				pair, err := f.TokenContext(t.Context())
				if time.Since(start) > refreshWait {
					t.Errorf("the waiter hung for %v", time.Since(start))
				}
				if tt.where == "" {
					if err != nil {
						t.Errorf("error %v; want a token, the refresh itself works", err)
					}
				} else {
					wantPanic(t, pair, err, tt.where, secret)
				}
				synctest.Wait() // a flight that has failed lands
				set(false)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Errorf("the next call: %v; want a new attempt that works", err)
				}
				time.Sleep(2 * minute)
				if st := f.GetRefreshStatus(); st.State != refresh.StateValid || st.Unsaved {
					t.Errorf("afterwards %+v; want a session that is valid and saved", st)
				}
				f.clean(t)
			})
		})
	}
}

// refreshWait is Config.MaxWait's default.
const refreshWait = 30 * time.Second

func panicIf(armed func() bool, value string) error {
	if armed() {
		panic(value)
	}
	return nil
}

func wantPanic(t *testing.T, pair *oauth.TokenPair, err error, where, secret string) {
	t.Helper()
	var panicked *refresh.PanicError
	if pair != nil || !errors.As(err, &panicked) {
		t.Fatalf("pair %v, error %v; want a *PanicError", pair, err)
	}
	if panicked.Where != where || panicked.Type != "string" {
		t.Errorf("panic in %q of type %q; want in %q of type string", panicked.Where, panicked.Type, where)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the error %q repeats the value of the panic", err)
	}
}

func TestF4_PanicInOnRefreshFailAndReauthenticate(t *testing.T) {
	for _, where := range []string{"OnRefreshFail", "Reauthenticate"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					cfg.OnRefreshFail = func(error) bool {
						if where == "OnRefreshFail" {
							panic("a secret")
						}
						return true
					}
					cfg.Reauthenticate = func(context.Context) (*oauth.TokenPair, error) { panic("a secret") }
				}).start(t)
				f.server.RevokeAll("alice")
				is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
				synctest.Wait()
				failed := f.events.of(refresh.EventReauthenticateFailed)
				if len(failed) != 1 {
					t.Fatalf("%d events tell of the panic; want 1", len(failed))
				}
				wantPanic(t, nil, failed[0].Err, where, "a secret")
				again, err := f.server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				if err := f.UpdateTokens(again); err != nil {
					t.Fatal(err)
				}
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Errorf("after a new login: %v", err)
				}
				f.clean(t)
			})
		})
	}
}

func TestF5_TwoResourcesAreTwoRequestsOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: time.Second, Times: 2})
		uris := []string{"https://one.example", "https://two.example"}
		var wg sync.WaitGroup
		for _, uri := range uris {
			for range 5 {
				wg.Go(func() {
					pair, err := f.Resource(uri).TokenContext(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if got := audience(t, pair.AccessToken); got != uri {
						t.Errorf("the token for %s is for %s", uri, got)
					}
				})
			}
		}
		wg.Wait()
		if n := f.requests(); n != 2 {
			t.Errorf("two resources caused %d requests; want 2", n)
		}
		f.serve(t, f.first) // the session's own token is not touched
		f.clean(t)          // in particular: not in parallel, and no refresh token twice
	})
}

// audience returns the only audience of a JWT access token.
func audience(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("the access token is not a JWT")
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Audience []string `json:"aud"`
	}
	if err := json.Unmarshal(data, &claims); err != nil || len(claims.Audience) != 1 {
		t.Fatalf("%d audiences, error %v", len(claims.Audience), err)
	}
	return claims.Audience[0]
}

func TestF6_StaleValueIsReadAgainAfterWaitingForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFixture(t, oauthtest.Config{}).start(t)
		b := a.sibling(t).resume(t)
		a.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
		go a.ForceRefresh(t.Context())
		time.Sleep(time.Second)
		if err := b.ForceRefresh(t.Context()); err != nil { // waits for a's lock
			t.Fatal(err)
		}
		if n := a.requests(); n != 1 {
			t.Errorf("%d requests; want 1: the one who waited adopts", n)
		}
		b.serve(t, a.GetTokens())
		a.clean(t)
	})
}

func TestF7_SlowRefreshDoesNotOverwriteANewLogin(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		name := "the refresher heeds its context"
		if deaf {
			name = "the refresher ignores its context"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					if next := cfg.OAuthClient; deaf {
						cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, p *oauth.TokenPair) (*oauth.TokenPair, error) {
							return next.Refresh(context.WithoutCancel(ctx), p)
						})
					}
				}).start(t)
				f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
				go f.ForceRefresh(t.Context())
				time.Sleep(time.Second)
				login, err := f.server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if err := f.UpdateTokens(login); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(start); !deaf && waited != 0 {
					t.Errorf("the login waited %v for the slow refresh", waited)
				}
				time.Sleep(2 * minute)
				f.serve(t, login)
				if f.saved(t).RefreshToken != login.RefreshToken {
					t.Error("the slow refresh overwrote the new login in the store")
				}
				if n := f.events.count(refresh.EventRefreshFailed); n != 0 {
					t.Errorf("the refresh that was abandoned was reported as failed %d times", n)
				}
				f.inState(t, refresh.StateValid)
			})
		})
	}
}

func TestF8_EarlyRefreshReallySendsARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		time.Sleep(14 * minute) // 60 s are left, and the lead is 5 min
		f.start(t)
		synctest.Wait()
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}
		if left := time.Until(f.GetExpiresAt()); left != 15*minute {
			t.Errorf("the token lives for another %v; want 15m", left)
		}
		f.clean(t)
	})
}
