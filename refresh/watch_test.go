package refresh_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A tellingStore says what is written, until it is made deaf.
type tellingStore struct {
	countingStore
	written chan string
	deaf    atomic.Bool
	broken  chan struct{}
	watches atomic.Int64
}

var _ tokenstore.Watcher = (*tellingStore)(nil)

func newTellingStore() *tellingStore {
	return &tellingStore{
		countingStore: countingStore{Memory: new(tokenstore.Memory)},
		written:       make(chan string, 100), broken: make(chan struct{}),
	}
}

func (s *tellingStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	version, err := s.Memory.Set(ctx, name, rec)
	if err == nil {
		s.written <- name
	}
	return version, err
}

func (s *tellingStore) Watch(ctx context.Context, changed func(tokenstore.Change)) error {
	if s.watches.Add(1); s.deaf.Load() {
		return errors.New("no connection")
	}
	changed(tokenstore.Change{})
	for {
		select {
		case name := <-s.written:
			changed(tokenstore.Change{Name: name})
		case <-s.broken:
			return errors.New("connection lost")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestNewsOfTheStoreIsAdoptedTheMomentItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTellingStore()
		c := newPooled(t, oauthtest.Config{}, func(cfg *refresh.PoolConfig) { cfg.Store = store })
		c.store = store
		m := c.rested(t, "alice")
		time.Sleep(time.Second)
		fresh := c.login(t, "alice")
		synctest.Wait()
		if got := m.GetTokens(); got.AccessToken != fresh.AccessToken {
			t.Error("a pool has not adopted what was written")
		}
	})
}

func TestNewsOfTheStoreIsAdoptedByAManagerByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newTellingStore()
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store = own }).start(t)
		time.Sleep(time.Second)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := tokenstore.Func(own, "default")(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := f.GetTokens(); got.AccessToken != login.AccessToken {
			t.Error("a manager by itself has not adopted what was written")
		}
	})
}

func TestASessionAtRestIsLookedAtRarelyWhileTheStoreSaysWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTellingStore()
		c := newPooled(t, oauthtest.Config{AccessTokenLifetime: 24 * time.Hour}, func(cfg *refresh.PoolConfig) { cfg.Store = store })
		c.store = store
		c.rested(t, "alice")
		time.Sleep(30 * minute)
		before := store.stamps.Load()
		time.Sleep(100 * minute)
		if n := store.stamps.Load() - before; n < 9 || n > 11 {
			t.Errorf("%d looks in a hundred minutes; want ten", n)
		}
		store.deaf.Store(true) // from now on every Watch fails at once
		store.broken <- struct{}{}
		time.Sleep(minute)
		before = store.stamps.Load()
		time.Sleep(100 * minute)
		if n := store.stamps.Load() - before; n < 90 {
			t.Errorf("%d looks in a hundred minutes without notices; want a hundred", n)
		}
		if n := store.watches.Load(); n < 100 || n > 220 {
			t.Errorf("listened %d times in 101 minutes; want once or twice a minute", n)
		}
	})
}

// What was written while nobody listened is found the moment somebody does again.
func TestNewsThatNobodyHeardIsLookedForAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTellingStore()
		c := newPooled(t, oauthtest.Config{AccessTokenLifetime: 24 * time.Hour}, func(cfg *refresh.PoolConfig) {
			cfg.Store, cfg.CheckInterval = store, time.Hour
		})
		c.store = store
		m := c.rested(t, "alice")
		time.Sleep(3 * time.Hour)
		store.broken <- struct{}{}
		synctest.Wait()
		fresh := c.login(t, "alice")
		<-store.written
		time.Sleep(time.Second)
		synctest.Wait()
		if got := m.GetTokens(); got.AccessToken != fresh.AccessToken {
			t.Error("what was written meanwhile was not adopted when the store could be heard again")
		}
	})
}

// An awayStore cannot be reached for a while.
type awayStore struct {
	*tokenstore.Memory
	away atomic.Bool
}

func (s *awayStore) err() error {
	if s.away.Load() {
		return tokenstore.ErrUnavailable
	}
	return nil
}

func (s *awayStore) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Memory.Get(ctx, name)
}

func (s *awayStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if err := s.err(); err != nil {
		return 0, err
	}
	return s.Memory.Set(ctx, name, rec)
}

func (s *awayStore) Stamp(ctx context.Context, name string) (uint64, error) {
	if err := s.err(); err != nil {
		return 0, err
	}
	return s.Memory.Stamp(ctx, name)
}

func (s *awayStore) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Memory.Lock(ctx, name)
}

// F17: a Store that is away is not a lock that is busy, and what follows is a choice.
func TestF17_NothingIsSpentWhileTheStoreIsAwayUnlessToldSo(t *testing.T) {
	for _, local := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := &awayStore{Memory: new(tokenstore.Memory)}
			f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
				cfg.Store, cfg.LocalWhenUnavailable = store, local
			}).start(t)
			time.Sleep(minute)
			store.away.Store(true)
			for range 13 {
				time.Sleep(minute)
				if _, err := f.TokenContext(t.Context()); err != nil {
					t.Fatalf("local %v: a living token: %v", local, err)
				}
			}
			if n := f.server.Refreshes(); (n > 0) != local {
				t.Errorf("local %v: %d refreshes while the token lives", local, n)
			}
			time.Sleep(2 * minute)
			_, err := f.TokenContext(t.Context())
			if n := f.server.Refreshes(); (n > 0) != local || (err == nil) != local {
				t.Errorf("local %v: %d refreshes, and %v", local, n, err)
			}
			warnings := f.events.of(refresh.EventUnlocked)
			if len(warnings) != f.server.Refreshes() {
				t.Errorf("local %v: %d warnings of %d refreshes without a lock", local, len(warnings), f.server.Refreshes())
			}
			for _, e := range append(warnings, f.events.of(refresh.EventRefreshFailed)...) {
				if !errors.Is(e.Err, tokenstore.ErrUnavailable) {
					t.Errorf("local %v: %s does not say that the store is away: %v", local, e.Kind, e.Err)
				}
			}
			store.away.Store(false)
			time.Sleep(3 * minute)
			if got := f.saved(t); f.server.Refreshes() == 0 || got.AccessToken != f.GetTokens().AccessToken {
				t.Errorf("local %v: what is saved after the store is back is not what is in use", local)
			}
			f.clean(t)
		})
	}
}
