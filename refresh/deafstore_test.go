package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A deafStore is a Store of which one method ignores its context and does not return, from
// some time on until it is freed, as with a file system that hangs.
type deafStore struct {
	*tokenstore.Memory
	free chan struct{}

	mu   sync.Mutex
	deaf string // the method; "": none
	hung int    // how many calls have not returned
}

func (s *deafStore) wait(method string) {
	s.mu.Lock()
	deaf := s.deaf == method || s.deaf == "all"
	if deaf {
		s.hung++
	}
	s.mu.Unlock()
	if !deaf {
		return
	}
	<-s.free
	s.mu.Lock()
	s.hung--
	s.mu.Unlock()
}

func (s *deafStore) turn(method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = method
}

// release lets all calls return.
func (s *deafStore) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deaf != "released" {
		s.deaf = "released"
		close(s.free)
	}
}

func (s *deafStore) hanging() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hung
}

func (s *deafStore) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	s.wait("Get")
	return s.Memory.Get(ctx, name)
}

func (s *deafStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	s.wait("Set")
	return s.Memory.Set(ctx, name, rec)
}

func (s *deafStore) Delete(ctx context.Context, name string, version uint64) error {
	s.wait("Delete")
	return s.Memory.Delete(ctx, name, version)
}

func (s *deafStore) Stamp(ctx context.Context, name string) (uint64, error) {
	s.wait("Stamp")
	return s.Memory.Stamp(ctx, name)
}

func (s *deafStore) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	s.wait("Lock")
	lease, err := s.Memory.Lock(context.WithoutCancel(ctx), name) // which does not hear of the end either
	if err != nil {
		return nil, err
	}
	return &deafLease{lease, s, name}, nil
}

// A deafSpender begins and ends spends in one step each.
type deafSpender struct{ *deafStore }

func (s *deafSpender) BeginSpend(ctx context.Context, _ tokenstore.Store, name string, rec *tokenstore.Record, _ bool) (tokenstore.Spending, uint64, error) {
	lease, err := s.Memory.Lock(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	version, err := s.Memory.Set(ctx, name, rec)
	if err != nil {
		_ = lease.Unlock()
		return nil, 0, err
	}
	s.wait("BeginSpend") // when it is done
	return &deafLease{lease, s.deafStore, name}, version, nil
}

type deafLease struct {
	tokenstore.Lease
	of   *deafStore
	name string
}

func (l *deafLease) Settle(ctx context.Context, rec *tokenstore.Record) (uint64, error) {
	l.of.wait("Settle")
	version, err := l.of.Memory.Set(ctx, l.name, rec)
	if err == nil {
		err = l.Lease.Unlock()
	}
	return version, err
}

func (l *deafLease) Unlock() error {
	l.of.wait("Unlock")
	return l.Lease.Unlock()
}

// A Store that does not return keeps callers, logins, logouts and Stop for no longer than one
// that is away; calls of it do not heap up, and when it returns the session goes on.
func TestLaw10_AStoreThatDoesNotReturn(t *testing.T) {
	const (
		aCall    = 11 * time.Second
		atMost   = 30*time.Second + 2*aCall // MaxWait, and what is under way
		oneRound = atMost + 4*aCall         // of a renewal, which ForceRefresh waits for
	)
	acts := map[string]func(f *fixture) error{
		"nothing": func(*fixture) error { return nil },
		"a caller": func(f *fixture) error {
			begun := time.Now()
			_, _ = f.Token()
			if waited := time.Since(begun); waited > 35*time.Second {
				return fmt.Errorf("a caller waited for %v", waited)
			}
			return nil
		},
		"ForceRefresh": func(f *fixture) error { return f.ForceRefresh(context.Background()) },
		"UpdateTokens": func(f *fixture) error {
			pair, err := f.server.Login("alice")
			return errors.Join(err, f.UpdateTokens(pair))
		},
		"Logout": func(f *fixture) error {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			return f.Logout(ctx)
		},
	}
	for _, method := range []string{"Get", "Set", "Delete", "Stamp", "Lock", "BeginSpend", "Settle", "Unlock", "all"} {
		for name, act := range acts {
			t.Run(method+" and "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := &deafStore{Memory: new(tokenstore.Memory), free: make(chan struct{})}
					f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
						if cfg.Store = store; method == "BeginSpend" || method == "Settle" {
							cfg.Store = &deafSpender{store}
						}
					}).start(t)
					t.Cleanup(store.release)
					pass(time.Minute)
					store.turn(method)
					pass(20 * minute) // the token dies
					ends(t, name, oneRound, func() {
						if err := act(f); err != nil && name == "a caller" {
							t.Error(err)
						}
					})
					pass(8 * time.Hour)
					if n := store.hanging(); n > 5*64 {
						t.Errorf("%d calls hang", n)
					}
					ends(t, "Stop", atMost, f.Stop)
					store.release()
					pass(minute)
					if n := store.hanging(); n != 0 {
						t.Errorf("%d calls still hang", n)
					}
					if name == "Logout" {
						return
					}
					if err := f.Start(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
					pass(3 * minute)
					if _, err := f.TokenContext(t.Context()); err != nil {
						t.Errorf("afterwards: %v", err)
					}
					f.clean(t)
				})
			})
		}
	}
}

// A lock that comes when its caller does not wait any more is given back.
func TestLaw10_ALockThatComesLate(t *testing.T) {
	for _, method := range []string{"Lock", "BeginSpend", "Settle"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &deafStore{Memory: new(tokenstore.Memory), free: make(chan struct{})}
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					if cfg.Store = store; method != "Lock" {
						cfg.Store = &deafSpender{store}
					}
				}).start(t)
				t.Cleanup(store.release)
				store.turn(method)
				_ = f.ForceRefresh(t.Context())
				f.Stop()
				store.release()
				pass(minute)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := store.Memory.Lock(ctx, "default"); err != nil {
					t.Errorf("the lock is still held: %v", err)
				}
			})
		})
	}
}

// A list of sessions that does not come to its end holds up neither who restores them, when
// its context has ended, nor Stop; nor does a Store that tells of changes and does not return.
func TestLaw10_AListThatDoesNotReturn(t *testing.T) {
	for _, method := range []string{"Pages", "Watch"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &deafStore{Memory: new(tokenstore.Memory), free: make(chan struct{})}
				server := oauthtest.New(oauthtest.Config{})
				pair, err := server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				if err := tokenstore.Func(store, "alice")(t.Context(), pair); err != nil {
					t.Fatal(err)
				}
				var shared tokenstore.Store = &deafPager{store}
				if method == "Watch" {
					shared = &deafWatcher{store}
				}
				pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: shared}})
				t.Cleanup(pool.Stop)
				t.Cleanup(store.release)
				store.turn(method)
				if err := pool.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				ends(t, "Restore", 12*time.Second, func() {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					if n, err := pool.Restore(ctx); n != 1 || (err == nil) != (method == "Watch") {
						t.Errorf("%d sessions, %v", n, err)
					}
				})
				ends(t, "Stop", 12*time.Second, pool.Stop)
			})
		})
	}
}

type deafPager struct{ *deafStore }

func (s *deafPager) Pages(ctx context.Context, size int) iter.Seq2[[]tokenstore.Entry, error] {
	return func(yield func([]tokenstore.Entry, error) bool) {
		for page, err := range s.Memory.Pages(ctx, size) {
			if !yield(page, err) {
				return
			}
		}
		s.wait("Pages")
	}
}

type deafWatcher struct{ *deafStore }

func (s *deafWatcher) Watch(_ context.Context, changed func(tokenstore.Change)) error {
	changed(tokenstore.Change{})
	s.wait("Watch")
	return nil
}
