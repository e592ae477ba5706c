package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A storeTrouble is what keeps a Store from being locked, read or written.
type storeTrouble struct {
	cause error
	stays bool // until a person mends it
	wait  bool // callers wait for its end
}

func (c storeTrouble) place() error {
	return &tokenstore.PlaceError{Err: c.cause, Advice: "mend it", Passes: !c.stays}
}

var storeTroubles = map[string]storeTrouble{
	"read-only":   {&fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, true, false},
	"permissions": {&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, true, false},
	"no locks":    {fmt.Errorf("%w: %w", tokenstore.ErrNoLocks, syscall.ENOLCK), true, false},
	"disk full":   {&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, false, false},
	"quota":       {&fs.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, false, false},
	"descriptors": {&fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, false, false},
	"a mount":     {&fs.PathError{Op: "rename", Path: "x", Err: syscall.EBUSY}, true, false},
	"busy":        {tokenstore.ErrLocked, false, true},
	"away":        {tokenstore.ErrUnavailable, false, false},
	"fsync fails": {&fs.PathError{Op: "sync", Path: "x", Err: syscall.EIO}, false, false},
}

// storeCalls are where trouble can be met before a spend.
var storeCalls = map[string]func(s *faultyStore, err error){
	"lock": func(s *faultyStore, err error) { s.onLock = func(context.Context) error { return err } },
	"set": func(s *faultyStore, err error) {
		s.onSet = func(context.Context, *tokenstore.Record) error { return err }
	},
}

func TestF73_AProcessThatEndsSpendsNothingItCannotSave(t *testing.T) {
	for name, trouble := range storeTroubles {
		for call, meet := range storeCalls {
			t.Run(name+"/"+call, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := newFaultyStore()
					f := newFixture(t, oauthtest.Config{}, store.use, func(cfg *refresh.Config) {
						cfg.ShortLived, cfg.LocalWhenUnavailable = true, true
					})
					if _, err := store.Set(t.Context(), "default", &tokenstore.Record{Tokens: f.first}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(20 * minute)
					store.edit(func(s *faultyStore) { meet(s, trouble.place()) })
					for range 2 {
						f.failsToServe(t, trouble)
						time.Sleep(time.Second)
					}
					if n := f.server.Requests(oauthtest.TokenEndpoint); n != 0 {
						t.Errorf("%d requests reached the server; want none", n)
					}
					store.edit(func(s *faultyStore) { s.onLock, s.onSet = nil, nil })
					if err := f.once(t, func() error { return f.ForceRefresh(t.Context()) }); err != nil {
						t.Errorf("after the cause is removed: %v", err)
					}
					f.clean(t)
				})
			})
		}
	}
}

// once runs the manager for one call, as a command does.
func (f *fixture) once(t *testing.T, call func() error) error {
	t.Helper()
	if err := f.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	defer f.Stop()
	return call()
}

// failsToServe runs a command without a living token into trouble.
func (f *fixture) failsToServe(t *testing.T, trouble storeTrouble) {
	t.Helper()
	begun := time.Now()
	err := f.once(t, func() error {
		_, err := f.TokenContext(t.Context())
		return err
	})
	var place *tokenstore.PlaceError
	if !errors.As(err, &place) || !errors.Is(err, trouble.cause) || !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("no living token: error %v; want ErrTransient with the cause", err)
	}
	if waited := time.Since(begun); trouble.wait != (waited != 0) {
		t.Errorf("the caller waited %v; want %v", waited, trouble.wait)
	}
	err = f.once(t, func() error { return f.ForceRefresh(t.Context()) })
	if !errors.Is(err, trouble.cause) {
		t.Errorf("ForceRefresh: error %v; want the cause", err)
	}
}

func TestF73_ALivingTokenIsServedWhateverThePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, store.use, func(cfg *refresh.Config) { cfg.ShortLived = true })
		if _, err := store.Set(t.Context(), "default", &tokenstore.Record{Tokens: f.first}); err != nil {
			t.Fatal(err)
		}
		store.full(true)
		time.Sleep(12 * minute) // due
		begun := time.Now()
		err := f.once(t, func() error {
			_, err := f.TokenContext(t.Context())
			return err
		})
		if err != nil || time.Since(begun) != 0 {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if n := f.server.Requests(oauthtest.TokenEndpoint); n != 0 {
			t.Errorf("%d requests reached the server; want none", n)
		}
	})
}

// A pair that waits to be saved must be saved before it is spent.
func TestF73_AnUnsavedPairIsNotSpent(t *testing.T) {
	for _, shortLived := range []bool{true, false} {
		t.Run(fmt.Sprintf("short-lived=%v", shortLived), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, store.use, func(cfg *refresh.Config) { cfg.ShortLived = shortLived })
				store.full(true)
				f.start(t)
				err := f.ForceRefresh(t.Context())
				if shortLived != errors.Is(err, errDiskFull) {
					t.Errorf("ForceRefresh: %v", err)
				}
				if spent := f.server.Requests(oauthtest.TokenEndpoint) != 0; spent == shortLived {
					t.Errorf("spent: %v", spent)
				}
				store.full(false)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Errorf("with room again: %v", err)
				}
				f.Stop()
				if got, want := f.saved(t).RefreshToken, f.GetTokens().RefreshToken; got != want {
					t.Error("the pair in use is not the saved one")
				}
				f.clean(t)
			})
		})
	}
}

// A checkedStore says beforehand what saving would fail with.
type checkedStore struct {
	tokenstore.Memory
	err error
}

func (s *checkedStore) Check(context.Context, string) error { return s.err }

func TestALoginThatCouldNotBeSavedIsNotAskedFor(t *testing.T) {
	for _, full := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := new(checkedStore)
			if full {
				store.err = errDiskFull
			}
			f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store = store })
			asked := false
			err := f.StartOrLogin(t.Context(), func(context.Context) (*oauth.TokenPair, error) {
				asked = true
				return f.server.Login("alice")
			})
			if asked == full || full != errors.Is(err, errDiskFull) {
				t.Errorf("disk full %v: asked for a login %v; error %v", full, asked, err)
			}
		})
	}
}

// A spendingStore is a Memory that notes how spends begin.
type spendingStore struct {
	tokenstore.Memory
	reserved []bool
	err      error
}

func (s *spendingStore) BeginSpend(ctx context.Context, _ tokenstore.Store, name string, rec *tokenstore.Record, reserve bool) (tokenstore.Spending, uint64, error) {
	s.reserved = append(s.reserved, reserve)
	if s.err != nil {
		return nil, 0, s.err
	}
	lease, err := s.Lock(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	version, err := s.Set(ctx, name, rec)
	if err != nil {
		_ = lease.Unlock()
		return nil, 0, err
	}
	return &memorySpending{lease, &s.Memory, name}, version, nil
}

type memorySpending struct {
	tokenstore.Lease
	store *tokenstore.Memory
	name  string
}

func (s *memorySpending) Settle(ctx context.Context, rec *tokenstore.Record) (uint64, error) {
	version, err := s.store.Set(ctx, s.name, rec)
	if err == nil {
		_ = s.Unlock()
	}
	return version, err
}

// Room is reserved, and the announcement synced, where that can matter.
func TestF73_RoomIsReservedByWhoCannotWaitForIt(t *testing.T) {
	for _, tt := range []struct {
		shortLived bool
		grace      time.Duration
		want       bool
	}{{true, 0, true}, {false, 0, false}, {false, 30 * time.Second, false}, {false, time.Hour, true}, {false, oauth.GraceUntilUsed, true}, {false, oauth.GraceNone, true}} {
		synctest.Test(t, func(t *testing.T) {
			store := new(spendingStore)
			f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
				cfg.Store, cfg.ShortLived, cfg.Grace = store, tt.shortLived, tt.grace
			})
			f.start(t)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(store.reserved) != 1 || store.reserved[0] != tt.want {
				t.Errorf("%+v: reserved %v", tt, store.reserved)
			}
			f.clean(t)
		})
	}
}

// A daemon announces without a reservation where there is none to be had, and a
// command does not.
func TestF73_WithoutRoomOnlyADaemonGoesOn(t *testing.T) {
	for _, shortLived := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := new(spendingStore)
			f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store, cfg.ShortLived = store, shortLived })
			f.start(t)
			store.err = &tokenstore.PlaceError{Err: syscall.ENOSPC, Advice: "make room", Passes: true}
			err := f.ForceRefresh(t.Context())
			if shortLived != errors.Is(err, syscall.ENOSPC) || shortLived != (f.requests() == 0) {
				t.Errorf("short-lived=%v: %v, %d requests", shortLived, err, f.requests())
			}
			store.err = nil
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Errorf("short-lived=%v, afterwards: %v", shortLived, err)
			}
			f.clean(t)
		})
	}
}
