package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

func TestMemoryKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) tokenstore.Store { return new(tokenstore.Memory) })
}

func TestMemoryKeepsItsPromisesUnderAFakeClock(t *testing.T) {
	// synctest.Test forbids t.Run, so only what time can change is repeated here.
	synctest.Test(t, func(t *testing.T) {
		m := new(tokenstore.Memory)
		seen := make(map[uint64]bool)
		for range 5000 { // time stands still: nothing but memory tells the versions apart
			version := mustSet(t, m, "default", &tokenstore.Record{Tokens: newPair("a")})
			if seen[version] {
				t.Fatalf("version %d was used before Delete", version)
			}
			seen[version] = true
			if err := m.Delete(t.Context(), "default", version); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestMemoryKeepsWallClockTimes(t *testing.T) {
	m := new(tokenstore.Memory)
	pair := newPair("a")
	pair.ExpiresAt = time.Now() // has a monotonic reading, which stands still while a laptop sleeps
	mustSet(t, m, "default", &tokenstore.Record{Tokens: pair})
	got := mustGet(t, m, "default").Tokens.ExpiresAt
	if want := pair.ExpiresAt.Round(0).UTC(); got != want {
		t.Errorf("got %#v; want %#v", got, want)
	}
}

// lockers are the stores whose locks are tested under a fake clock.
func lockers(t *testing.T) map[string]tokenstore.Locker {
	return map[string]tokenstore.Locker{"Memory": new(tokenstore.Memory), "File": openFile(t, testdir.New(t))}
}

func TestLockIsGrantedInTheOrderOfAsking(t *testing.T) {
	for name, l := range lockers(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, err := l.Lock(t.Context(), "default")
				if err != nil {
					t.Fatal(err)
				}
				var (
					wg    sync.WaitGroup
					order []int // guarded by the lock under test
				)
				for i := range 30 {
					wg.Go(func() {
						lease, err := l.Lock(t.Context(), "default")
						if err != nil {
							t.Error(err)
							return
						}
						order = append(order, i)
						if err := lease.Unlock(); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait() // it waits now, behind those before it
				}
				if err := first.Unlock(); err != nil {
					t.Fatal(err)
				}
				wg.Wait()
				if !slices.IsSorted(order) || len(order) != 30 {
					t.Errorf("order %v; want the order of asking", order)
				}
			})
		})
	}
}

func TestWaiterLeavesTheMomentItsContextEnds(t *testing.T) {
	for name, l := range lockers(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lease, err := l.Lock(t.Context(), "default")
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
				defer cancel()
				_, err = l.Lock(ctx, "default")
				if waited := time.Since(start); waited != 7*time.Second {
					t.Errorf("waited %v; want 7s", waited)
				}
				if !errors.Is(err, tokenstore.ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v; want ErrLocked and the context's", err)
				}
				if want := `tokenstore: lock session "default": session is locked by another holder: gave up waiting: context deadline exceeded`; err.Error() != want {
					t.Errorf("error %q; want %q", err, want)
				}
				if err := lease.Unlock(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// When a context ends in the very moment in which its turn comes, the turn must
// go to the next in line, not be lost.
func TestTurnOfAWaiterThatLeavesIsPassedOn(t *testing.T) {
	for name, l := range lockers(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for range 50 {
					lease, err := l.Lock(t.Context(), "default")
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					var wg sync.WaitGroup
					for _, ctx := range []context.Context{ctx, ctx, t.Context()} {
						wg.Go(func() {
							lease, err := l.Lock(ctx, "default")
							if err == nil {
								err = lease.Unlock()
							}
							if err != nil && !errors.Is(err, context.Canceled) {
								t.Error(err)
							}
						})
					}
					synctest.Wait()
					wg.Go(cancel)
					wg.Go(func() { _ = lease.Unlock() })
					wg.Wait() // a lost turn is a deadlock, which synctest reports
				}
			})
		})
	}
}

// Processes can only poll. One whose goroutines hand the lock to each other
// leaves them a chance.
func TestF15_OneProcessDoesNotStarveAnother(t *testing.T) {
	greedy := openFile(t, testdir.New(t))
	other := openFile(t, greedy.Dir())
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for {
					lease, err := greedy.Lock(ctx, "default")
					if err != nil {
						return
					}
					time.Sleep(time.Millisecond)
					if err := lease.Unlock(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		lease, err := other.Lock(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited > 100*time.Millisecond {
			t.Errorf("the other process waited %v", waited)
		}
		stop()
		if err := lease.Unlock(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

func TestErrorsNameTheSessionAndTheAct(t *testing.T) {
	for name, s := range map[string]tokenstore.Store{"Memory": new(tokenstore.Memory), "File": openFile(t, testdir.New(t))} {
		_, getErr := s.Get(t.Context(), `work "A"`)
		_, setErr := s.Set(t.Context(), "default", &tokenstore.Record{Version: 3})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, ctxErr := s.Get(ended, "default")
		for err, want := range map[error]string{
			getErr:                              `tokenstore: read session "work \"A\"": no such session`,
			setErr:                              `tokenstore: save session "default": the session was changed by another writer`,
			ctxErr:                              `tokenstore: read session "default": context canceled`,
			s.Delete(t.Context(), "default", 1): `tokenstore: delete session "default": no such session`,
		} {
			if fmt.Sprint(err) != want {
				t.Errorf("%s: error %q; want %q", name, err, want)
			}
		}
	}
}
