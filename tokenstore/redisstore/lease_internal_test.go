package redisstore

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/tokenstore"
)

var errDown = errors.New("connection refused")

// A fakeRedis answers the scripts of a lock by a function, so that time can run in a
// bubble. What a real server does is the business of the tests with the tag "real".
type fakeRedis func(ctx context.Context, script *redis.Script, owner string) (int64, error)

func (fakeRedis) DialHook(next redis.DialHook) redis.DialHook { return next }

func (fakeRedis) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f fakeRedis) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := cmd.Args() // command, hash, number of keys, key, owner
		for _, script := range []*redis.Script{acquireScript, renewScript, releaseScript} {
			if args[1] == script.Hash() {
				n, err := f(ctx, script, args[4].(string))
				cmd.(*redis.Cmd).SetVal(n)
				cmd.SetErr(err)
				return err
			}
		}
		panic("another command than those of a lock")
	}
}

// store returns a store in f.
func (f fakeRedis) store(t *testing.T, lease time.Duration) *Store {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true}) // which is never dialled
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(f)
	s, err := New(client, Config{LeaseTime: lease})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustLock(t *testing.T, s *Store) tokenstore.Lease {
	t.Helper()
	lease, err := s.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// A lease is renewed when a third of it is over; after an outage that it survives, too.
func TestALeaseIsRenewedWhenAThirdOfItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = 30 * time.Second
		var asked []time.Duration
		begun := time.Now()
		s := fakeRedis(func(_ context.Context, script *redis.Script, _ string) (int64, error) {
			if d := time.Since(begun); script == renewScript {
				asked = append(asked, d)
				if d >= 20*time.Second && d < 23*time.Second {
					return 0, errDown
				}
			}
			return 1, nil
		}).store(t, lease)
		l := mustLock(t, s)
		time.Sleep(60 * time.Second)
		if err := errors.Join(l.Err(), l.Unlock()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		want := []time.Duration{10_000, 20_000, 21_666, 23_333, 33_333, 43_333, 53_333}
		if len(asked) != len(want) {
			t.Fatalf("renewed after %v", asked)
		}
		for i, d := range asked {
			if d.Truncate(time.Millisecond) != want[i]*time.Millisecond {
				t.Errorf("renewal %d after %v; want %v", i, d, want[i]*time.Millisecond)
			}
		}
	})
}

// A renewal without an answer leaves time to ask again.
func TestARenewalWithoutAnswerLeavesTimeForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = 30 * time.Second
		var renewals atomic.Int32
		s := fakeRedis(func(ctx context.Context, script *redis.Script, _ string) (int64, error) {
			if script != renewScript {
				return 1, nil
			}
			if renewals.Add(1) == 1 {
				begun := time.Now()
				<-ctx.Done()
				if d := time.Since(begun); d != lease/6 {
					t.Errorf("a renewal takes %v; want %v", d, lease/6)
				}
				return 0, ctx.Err()
			}
			return 1, nil
		}).store(t, lease)
		l := mustLock(t, s)
		time.Sleep(2 * lease)
		if err := errors.Join(l.Err(), l.Unlock()); err != nil {
			t.Error(err)
		}
	})
}

// The lease counts from when it was asked for, and ends a hundredth early.
func TestALeaseEndsForItsHolderBeforeItEndsInRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = 10 * time.Second
		begun := time.Now()
		s := fakeRedis(func(_ context.Context, script *redis.Script, _ string) (int64, error) {
			if script != acquireScript {
				return 0, errDown
			}
			time.Sleep(2 * time.Second)
			return 1, nil
		}).store(t, lease)
		l := mustLock(t, s)
		time.Sleep(lease*99/100 - time.Since(begun) - time.Nanosecond)
		if err := l.Err(); err != nil {
			t.Errorf("before it has ended: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if err := l.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
			t.Errorf("when others may have it: %v; want %v", err, tokenstore.ErrLeaseLost)
		}
		if err := l.Unlock(); !errors.Is(err, tokenstore.ErrUnavailable) {
			t.Errorf("Unlock: %v; want %v", err, tokenstore.ErrUnavailable)
		}
	})
}

// Redis says at a renewal that another holder may have the lock. The lease is lost then and
// there, and Unlock says so.
func TestF18_ALeaseThatAnotherMayHaveIsLostAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renewals atomic.Int32
		s := fakeRedis(func(_ context.Context, script *redis.Script, _ string) (int64, error) {
			if script == acquireScript {
				return 1, nil
			}
			if script == renewScript {
				renewals.Add(1)
			}
			return 0, nil
		}).store(t, 30*time.Second)
		l := mustLock(t, s)
		time.Sleep(10*time.Second + time.Millisecond)
		if err := l.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) || !strings.Contains(err.Error(), "another holder") {
			t.Errorf("Err: %v", err)
		}
		time.Sleep(time.Minute)
		if n := renewals.Load(); n != 1 {
			t.Errorf("%d renewals; want 1", n)
		}
		if err := l.Unlock(); !errors.Is(err, tokenstore.ErrLeaseLost) {
			t.Errorf("Unlock: %v; want %v", err, tokenstore.ErrLeaseLost)
		}
	})
}

// A lease that is over is not asked for any more, though its holder has not looked.
func TestALeaseThatIsOverIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = 30 * time.Second
		begun := time.Now()
		s := fakeRedis(func(_ context.Context, script *redis.Script, _ string) (int64, error) {
			if script != renewScript {
				return 1, nil
			}
			if d := time.Since(begun); d >= lasts(lease) {
				t.Errorf("renewed after %v", d)
			}
			return 0, errDown
		}).store(t, lease)
		l := mustLock(t, s)
		time.Sleep(2 * lease)
		if err := l.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
			t.Errorf("Err: %v; want %v", err, tokenstore.ErrLeaseLost)
		}
		_ = l.Unlock()
	})
}

// Once its holder was told that a lease is lost, a renewal that succeeds later does not
// bring it back, and none is sent any more.
func TestALeaseThatIsLostStaysLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renewals atomic.Int32
		begun := time.Now()
		s := fakeRedis(func(_ context.Context, script *redis.Script, _ string) (int64, error) {
			if script == renewScript {
				renewals.Add(1)
				if time.Since(begun) < 28*time.Second {
					return 0, errDown
				}
				time.Sleep(3 * time.Second)
			}
			return 1, nil
		}).store(t, 30*time.Second)
		l := mustLock(t, s)
		for _, after := range []time.Duration{30, 35, 60} {
			time.Sleep(after*time.Second - time.Since(begun))
			if err := l.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
				t.Errorf("after %d s: %v; want %v", after, err, tokenstore.ErrLeaseLost)
			}
		}
		if n := renewals.Load(); n > 13 {
			t.Errorf("%d renewals of a lease that is lost", n)
		}
		if err := l.Unlock(); err != nil { // it is still ours in Redis
			t.Errorf("Unlock: %v", err)
		}
	})
}

// Unlock ends a renewal that is under way. From then on its holder must not count on the
// lock, although it is released a moment later.
func TestUnlockEndsTheRenewalThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renewing, released atomic.Bool
		var l tokenstore.Lease
		s := fakeRedis(func(ctx context.Context, script *redis.Script, _ string) (int64, error) {
			switch script {
			case renewScript:
				renewing.Store(true)
				<-ctx.Done()
				return 0, ctx.Err()
			case releaseScript:
				released.Store(true)
				if err := l.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
					t.Errorf("Err while the lock is released: %v", err)
				}
			}
			return 1, nil
		}).store(t, 30*time.Second)
		l = mustLock(t, s)
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if !renewing.Load() {
			t.Fatal("no renewal is under way")
		}
		begun := time.Now()
		if err := l.Unlock(); err != nil || !released.Load() || time.Since(begun) != 0 {
			t.Errorf("Unlock after %v: %v, released: %v", time.Since(begun), err, released.Load())
		}
		if err := l.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) || !strings.Contains(err.Error(), "it was unlocked") {
			t.Errorf("Err after Unlock: %v", err)
		}
		if err := l.Unlock(); err != nil {
			t.Errorf("Unlock, again: %v", err)
		}
	})
}

// What ends a lease waits until its renewals have ended.
func TestLaw10_ALeaseThatHasEndedLeavesNothingRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fakeRedis(func(context.Context, *redis.Script, string) (int64, error) { return 1, nil }).store(t, 0)
		l := mustLock(t, s).(*lease)
		if err := l.end(); err != nil {
			t.Error(err)
		}
		select {
		case <-l.stopped:
		default:
			t.Error("its renewals go on")
		}
		if err := mustLock(t, s).Unlock(); err != nil { // other goroutines may have it
			t.Error(err)
		}
	})
}

// A caller that waits asks again soon, and then not so often that a crowd keeps Redis busy.
func TestWhoWaitsForALockAsksEverMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Time
		s := fakeRedis(func(context.Context, *redis.Script, string) (int64, error) {
			asked = append(asked, time.Now())
			return 0, nil
		}).store(t, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := s.Lock(ctx, "default"); !errors.Is(err, tokenstore.ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v; want %v", err, tokenstore.ErrLocked)
		}
		for i, most := 1, minPoll; i < len(asked); i, most = i+1, min(2*most, maxPoll) {
			if d := asked[i].Sub(asked[i-1]); d < most/2 || d > most {
				t.Errorf("question %d comes after %v; want %v to %v", i, d, most/2, most)
			}
		}
		if len(asked) < 20 || len(asked) > 50 {
			t.Errorf("asked %d times in two seconds", len(asked))
		}
	})
}

// Redis that goes away while a caller waits is not a busy lock, even if it was busy before;
// and nothing keeps the next caller out.
func TestF17_ARedisThatGoesAwayIsNotBusy(t *testing.T) {
	for name, tt := range map[string]struct {
		wait time.Duration // of the caller
		is   error
		not  error
	}{
		"down":                      {time.Minute, tokenstore.ErrUnavailable, tokenstore.ErrLocked},
		"silent until one gives up": {1500 * time.Millisecond, tokenstore.ErrLocked, tokenstore.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				s := fakeRedis(func(ctx context.Context, script *redis.Script, _ string) (int64, error) {
					switch d := time.Since(begun); {
					case d < time.Second:
						return 0, nil
					case d < 2*time.Second && tt.wait < 2*time.Second:
						<-ctx.Done()
						return 0, ctx.Err()
					case d < 2*time.Second:
						return 0, errDown
					}
					return 1, nil
				}).store(t, 0)
				ctx, cancel := context.WithTimeout(t.Context(), tt.wait)
				defer cancel()
				if _, err := s.Lock(ctx, "default"); !errors.Is(err, tt.is) || errors.Is(err, tt.not) {
					t.Errorf("%v; want %v", err, tt.is)
				}
				time.Sleep(time.Second)
				if err := mustLock(t, s).Unlock(); err != nil {
					t.Error(err)
				}
				time.Sleep(releaseTime) // a release that was not answered ends
			})
		})
	}
}

// Whether a lock was had is not known if the answer was lost: it is given back then, and
// is not if another holder has it.
func TestALockWhoseAnswerIsLostIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			answer   int64
			err      error
			releases int32
		}{
			"lost":     {0, errDown, 1},
			"another":  {0, nil, 0},
			"ours":     {1, nil, 0},
			"too late": {1, context.DeadlineExceeded, 2}, // once by the caller, once by what was sent
		} {
			var releases atomic.Int32
			s := fakeRedis(func(ctx context.Context, script *redis.Script, _ string) (int64, error) {
				if script == releaseScript {
					releases.Add(1)
				}
				if script != acquireScript {
					return 1, nil
				}
				if name == "too late" {
					<-ctx.Done()
					time.Sleep(time.Second)
					return tt.answer, nil
				}
				return tt.answer, tt.err
			}).store(t, 0)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			l, _ := s.Lock(ctx, "default")
			cancel()
			time.Sleep(5 * time.Second)
			if n := releases.Load(); n != tt.releases {
				t.Errorf("%s: released %d times; want %d", name, n, tt.releases)
			}
			if l != nil {
				if err := l.Unlock(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
}
