package sqlstore_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

var errDown = errors.New("connection refused")

func mustLock(t *testing.T, s *sqlstore.Store) tokenstore.Lease {
	t.Helper()
	lease, err := s.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func TestLeaseIsRenewedThreeTimesBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renewals atomic.Int32
		db := &fakeDB{func(_ context.Context, statement string, _ any) (int64, error) {
			if statement == renew {
				renewals.Add(1)
			}
			return 1, nil
		}}
		lease := mustLock(t, db.store(t, sqlstore.Config{LeaseTime: 3 * time.Second}))
		time.Sleep(time.Hour + time.Millisecond)
		if n := renewals.Load(); n != 3600 || lease.Err() != nil {
			t.Errorf("%d renewals in an hour of leases of 3 s, and then %v; want 3600", n, lease.Err())
		}
		if err := lease.Unlock(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		if n := renewals.Load(); n != 3600 {
			t.Error("it is renewed after Unlock")
		}
	})
}

// A database that comes back in time costs nothing; one that does not, the lease, and
// that for good: somebody may have been told.
func TestLeaseOutlivesAnOutageShorterThanItself(t *testing.T) {
	for name, tt := range map[string]struct {
		outage time.Duration
		hangs  bool
		lost   bool
	}{
		"short":            {4 * time.Second, false, false},
		"until its end":    {9500 * time.Millisecond, false, false}, // missed by three renewals in all
		"long":             {16 * time.Second, false, true},
		"short and silent": {4 * time.Second, true, false},
		"long and silent":  {16 * time.Second, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				down := time.Now().Add(4 * time.Second)
				back := down.Add(tt.outage)
				db := &fakeDB{func(ctx context.Context, statement string, _ any) (int64, error) {
					if now := time.Now(); now.Before(down) || !now.Before(back) {
						return 1, nil
					}
					if tt.hangs {
						<-ctx.Done()
					}
					return 0, errDown
				}}
				lease := mustLock(t, db.store(t, sqlstore.Config{}))
				time.Sleep(30 * time.Second)
				if err := lease.Err(); errors.Is(err, tokenstore.ErrLeaseLost) != tt.lost {
					t.Errorf("after an outage of %v: %v", tt.outage, err)
				}
				if err := lease.Unlock(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The answer to a renewal comes after the end of the lease, when the holder may have
// been told.
func TestLeaseThatIsLostStaysLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		db := &fakeDB{func(_ context.Context, statement string, _ any) (int64, error) {
			if statement == renew && time.Since(begun) < 13500*time.Millisecond {
				return 0, errDown
			}
			if statement == renew {
				time.Sleep(4 * time.Second)
			}
			return 1, nil
		}}
		lease := mustLock(t, db.store(t, sqlstore.Config{}))
		for _, after := range []time.Duration{16, 20} {
			time.Sleep(after*time.Second - time.Since(begun))
			if err := lease.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
				t.Errorf("after %d s: %v; want %v", after, err, tokenstore.ErrLeaseLost)
			}
		}
		if err := lease.Unlock(); err != nil {
			t.Error(err)
		}
	})
}

// The lease counts from when it was asked for, and not from when the answer came.
func TestLeaseEndsForItsHolderBeforeItEndsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var end time.Time // by the database
		db := &fakeDB{func(_ context.Context, statement string, _ any) (int64, error) {
			if statement != acquire {
				return 0, errDown
			}
			end = time.Now().Add(3 * time.Second)
			time.Sleep(2 * time.Second)
			return 1, nil
		}}
		lease := mustLock(t, db.store(t, sqlstore.Config{LeaseTime: 3 * time.Second}))
		time.Sleep(time.Until(end) - time.Nanosecond)
		if err := lease.Err(); err != nil {
			t.Errorf("before it has ended: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if err := lease.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
			t.Errorf("when others can take it, its holder believes it is held: %v", err)
		}
		_ = lease.Unlock() // the database is down
	})
}

func TestF18_LostLeaseIsNotReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &fakeDB{func(_ context.Context, statement string, _ any) (int64, error) {
			switch statement {
			case acquire:
				return 1, nil
			case release:
				t.Error("it releases a lock that somebody else has")
			}
			return 0, nil // the row has another owner
		}}
		lease := mustLock(t, db.store(t, sqlstore.Config{}))
		time.Sleep(6 * time.Second)
		if err := lease.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
			t.Errorf("somebody else has it: %v", err)
		}
		if err := lease.Unlock(); err != nil {
			t.Error(err)
		}
	})
}

// Nobody can say whether a lock is free that cannot be asked for. That is another
// thing than being busy.
func TestF17_DownIsNotBusy(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(ctx context.Context) (int64, error)
		wait   time.Duration // of the caller
		after  time.Duration
		is     []error
		not    error
	}{
		"busy":            {func(context.Context) (int64, error) { return 0, nil }, 10 * time.Second, 10 * time.Second, []error{tokenstore.ErrLocked, context.DeadlineExceeded}, tokenstore.ErrUnavailable},
		"busy and slow":   {func(context.Context) (int64, error) { time.Sleep(time.Second); return 0, nil }, 2500 * time.Millisecond, 2500 * time.Millisecond, []error{tokenstore.ErrLocked, context.DeadlineExceeded}, tokenstore.ErrUnavailable},
		"refused":         {func(context.Context) (int64, error) { return 0, errDown }, 10 * time.Second, 0, []error{tokenstore.ErrUnavailable, errDown}, tokenstore.ErrLocked},
		"silent":          {func(ctx context.Context) (int64, error) { <-ctx.Done(); return 0, ctx.Err() }, 10 * time.Second, 5 * time.Second, []error{tokenstore.ErrUnavailable, context.DeadlineExceeded}, tokenstore.ErrLocked},
		"silent, no time": {func(ctx context.Context) (int64, error) { <-ctx.Done(); return 0, ctx.Err() }, time.Second, time.Second, []error{tokenstore.ErrUnavailable, context.DeadlineExceeded}, tokenstore.ErrLocked},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := &fakeDB{func(ctx context.Context, _ string, _ any) (int64, error) { return tt.answer(ctx) }}
				s, begun := db.store(t, sqlstore.Config{}), time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), tt.wait)
				defer cancel()
				_, err := s.Lock(ctx, "default")
				for _, target := range tt.is {
					if !errors.Is(err, target) {
						t.Errorf("%v; want %v", err, target)
					}
				}
				if errors.Is(err, tt.not) {
					t.Errorf("%v is taken for %v", err, tt.not)
				}
				if d := time.Since(begun); d != tt.after {
					t.Errorf("after %v; want %v", d, tt.after)
				}
				time.Sleep(callTimeout) // who asks for us comes back
			})
		})
	}
}

// callTimeout is how long a call about a lock lasts at most.
const callTimeout = 5 * time.Second

// The answer arrives after the caller has left: the lock would be nobody's.
func TestLockOfACallerWhoLeftIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var held any
		db := &fakeDB{func(_ context.Context, statement string, owner any) (int64, error) {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case statement == acquire && held == nil:
				held = owner
			case statement == release && held == owner:
				held = nil
			}
			return 1, nil
		}}
		s := db.store(t, sqlstore.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Lock(ctx, "default"); !errors.Is(err, tokenstore.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v; want that nothing is known", err)
		}
		time.Sleep(3 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if held != nil {
			t.Error("the lock is held by somebody who has left")
		}
	})
}

func TestUnlockThatFailsSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &fakeDB{func(_ context.Context, statement string, _ any) (int64, error) {
			if statement == release {
				return 0, errDown
			}
			return 1, nil
		}}
		s := db.store(t, sqlstore.Config{})
		lease := mustLock(t, s)
		if err := lease.Unlock(); !errors.Is(err, tokenstore.ErrUnavailable) {
			t.Errorf("%v; want %v", err, tokenstore.ErrUnavailable)
		}
		if err := lease.Unlock(); err != nil {
			t.Errorf("the second time: %v", err)
		}
		_ = mustLock(t, s).Unlock() // fails again; it did not keep other goroutines out
	})
}

// A caller that waits asks again soon, and then not so often that a crowd keeps the
// database busy.
func TestWhoWaitsForALockAsksEverMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Time
		db := &fakeDB{func(_ context.Context, statement string, _ any) (int64, error) {
			if statement == acquire {
				asked = append(asked, time.Now())
			}
			return 0, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := db.store(t, sqlstore.Config{}).Lock(ctx, "default"); !errors.Is(err, tokenstore.ErrLocked) {
			t.Errorf("%v; want %v", err, tokenstore.ErrLocked)
		}
		synctest.Wait()
		for i, most := 1, 10*time.Millisecond; i < len(asked); i, most = i+1, min(2*most, 200*time.Millisecond) {
			if d := asked[i].Sub(asked[i-1]); d < most/2 || d > most {
				t.Errorf("question %d comes after %v; want %v to %v", i, d, most/2, most)
			}
		}
		if len(asked) < 12 || len(asked) > 25 {
			t.Errorf("asked %d times in two seconds", len(asked))
		}
	})
}

// A database that goes away while a caller waits is not a busy lock, even if it was busy
// before; and nothing keeps the next caller out.
func TestF17_ADatabaseThatGoesAwayIsNotBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		db := &fakeDB{func(_ context.Context, statement string, _ any) (int64, error) {
			switch d := time.Since(begun); {
			case d < time.Second:
				return 0, nil
			case d < 2*time.Second:
				return 0, errDown
			}
			return 1, nil
		}}
		s := db.store(t, sqlstore.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Lock(ctx, "default"); !errors.Is(err, tokenstore.ErrUnavailable) || !errors.Is(err, errDown) || errors.Is(err, tokenstore.ErrLocked) {
			t.Errorf("%v; want that the database is away", err)
		}
		time.Sleep(time.Second)
		lease, err := s.Lock(ctx, "default")
		if err != nil {
			t.Fatalf("the next caller: %v", err)
		}
		if err := lease.Unlock(); err != nil {
			t.Error(err)
		}
	})
}

// After an outage a lease is renewed as often as before it.
func TestALeaseIsRenewedCalmlyAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renewals atomic.Int32
		begun := time.Now()
		db := &fakeDB{func(_ context.Context, statement string, _ any) (int64, error) {
			if statement == renew && time.Since(begun) < 5*time.Second+time.Millisecond {
				return 0, errDown
			}
			if statement == renew {
				renewals.Add(1)
			}
			return 1, nil
		}}
		lease := mustLock(t, db.store(t, sqlstore.Config{}))
		time.Sleep(56*time.Second + time.Millisecond - time.Since(begun)) // back at 6 s
		if n := renewals.Load(); n != 11 || lease.Err() != nil {
			t.Errorf("%d renewals in 50 s, and then %v; want 11", n, lease.Err())
		}
		if err := lease.Unlock(); err != nil {
			t.Error(err)
		}
	})
}

// A renewal that is not answered leaves time for the next one.
func TestARenewalWithoutAnswerLeavesTimeForTheNext(t *testing.T) {
	for lease, each := range map[time.Duration]time.Duration{3 * time.Second: time.Second, 15 * time.Second: callTimeout, time.Minute: callTimeout} {
		synctest.Test(t, func(t *testing.T) {
			renewals := 0
			db := &fakeDB{func(ctx context.Context, statement string, _ any) (int64, error) {
				if statement == renew {
					if renewals++; renewals == 1 {
						begun := time.Now()
						<-ctx.Done()
						if d := time.Since(begun); d != each {
							t.Errorf("a lease of %v: a renewal takes %v; want %v", lease, d, each)
						}
						return 0, ctx.Err()
					}
				}
				return 1, nil
			}}
			l := mustLock(t, db.store(t, sqlstore.Config{LeaseTime: lease}))
			time.Sleep(2 * lease)
			if err := l.Err(); err != nil {
				t.Errorf("a lease of %v: %v", lease, err)
			}
			if err := l.Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Another process may have had the lock between the end of the lease and its renewal, even
// if its holder has not asked for its state in the meantime.
func TestALeaseThatWasRenewedTooLateIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &fakeDB{func(_ context.Context, statement string, _ any) (int64, error) {
			if statement == renew {
				time.Sleep(11 * time.Second) // from the fifth second on
			}
			return 1, nil
		}}
		lease := mustLock(t, db.store(t, sqlstore.Config{}))
		time.Sleep(17 * time.Second)
		if err := lease.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
			t.Errorf("%v; want %v", err, tokenstore.ErrLeaseLost)
		}
		if err := lease.Unlock(); err != nil {
			t.Error(err)
		}
	})
}

// Unlock ends a renewal that is under way, and does not come back before it has ended: it
// must not come after the release.
func TestUnlockEndsTheRenewalThatIsUnderWay(t *testing.T) {
	for name, goodbye := range map[string]time.Duration{"at once": 0, "slowly": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				renewing, released := false, false
				db := &fakeDB{func(ctx context.Context, statement string, _ any) (int64, error) {
					switch statement {
					case renew:
						renewing = true
						<-ctx.Done()
						time.Sleep(goodbye)
						renewing = false
						return 0, ctx.Err()
					case release:
						if released = true; renewing {
							t.Error("the lock is released while it is renewed")
						}
					}
					return 1, nil
				}}
				lease := mustLock(t, db.store(t, sqlstore.Config{}))
				time.Sleep(5*time.Second + time.Millisecond)
				synctest.Wait()
				if !renewing {
					t.Fatal("no renewal is under way")
				}
				begun := time.Now()
				if err := lease.Unlock(); err != nil || !released {
					t.Errorf("Unlock: %v, released: %v", err, released)
				}
				if d := time.Since(begun); d != goodbye {
					t.Errorf("Unlock took %v; want %v", d, goodbye)
				}
			})
		})
	}
}

// A rolledBack is what PostgreSQL says of a statement that it has undone for another one's sake.
type rolledBack string

func (e rolledBack) Error() string    { return "could not serialize access (SQLSTATE " + string(e) + ")" }
func (e rolledBack) SQLState() string { return string(e) }

func TestALockWhoseStatementIsRolledBackIsBusy(t *testing.T) {
	for _, state := range []rolledBack{"40001", "40P01"} {
		synctest.Test(t, func(t *testing.T) {
			free := time.Now().Add(3 * time.Second)
			db := &fakeDB{func(_ context.Context, statement string, _ any) (int64, error) {
				if statement == acquire && time.Now().Before(free) {
					return 0, state
				}
				return 1, nil
			}}
			s := db.store(t, sqlstore.Config{})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if _, err := s.Lock(ctx, "default"); !errors.Is(err, tokenstore.ErrLocked) || errors.Is(err, tokenstore.ErrUnavailable) {
				t.Errorf("%s: Lock: %v; want %v", string(state), err, tokenstore.ErrLocked)
			}
			if err := mustLock(t, s).Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A statement that is rolled back once or twice is no failure. One that always is ends with
// what the database says, which is no outage, and a caller who leaves is not waited for.
func TestARolledBackStatementIsSentAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		rollbacks, leaves, sent int
		want                    error
	}{
		"twice":             {2, 0, 3, nil},
		"always":            {99, 0, 5, rolledBack("40001")},
		"the caller leaves": {99, 2, 2, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				sent := 0
				db := &fakeDB{func(context.Context, string, any) (int64, error) {
					if sent++; sent == tt.leaves {
						cancel()
					}
					if sent <= tt.rollbacks {
						return 0, rolledBack("40001")
					}
					return 1, nil
				}}
				begun := time.Now()
				_, err := db.store(t, sqlstore.Config{}).Set(ctx, "default", &tokenstore.Record{Version: 7})
				if !errors.Is(err, tt.want) || tt.leaves == 0 && errors.Is(err, tokenstore.ErrUnavailable) || errors.Is(err, tokenstore.ErrConflict) || sent != tt.sent {
					t.Errorf("Set: %v, after %d statements; want %v after %d", err, sent, tt.want, tt.sent)
				}
				if took := time.Since(begun); took > 200*time.Millisecond {
					t.Errorf("it takes %v", took)
				}
			})
		})
	}
}
