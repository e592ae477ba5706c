package refresh_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// Law 10: nothing leaks. The bubble fails a test that leaves a goroutine behind;
// these tests end without the fixture's help.

func TestLaw10_StartAndStopLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		for range 20 {
			f.start(t)
			if !f.IsRunning() {
				t.Error("started, and not running")
			}
			time.Sleep(7 * minute)
			if _, err := f.TokenContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.Stop()
			if f.IsRunning() {
				t.Error("stopped, and running")
			}
			_ = f.hold(t).Unlock() // would hang if the lock was left behind
		}
		started, stopped := f.events.count(refresh.EventStarted), f.events.count(refresh.EventStopped)
		if started != 20 || stopped != 20 {
			t.Errorf("%d starts and %d stops reported; want 20 of each", started, stopped)
		}
		f.clean(t)
	})
}

func TestLaw10_StoppedManagerDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		f.Stop()
		f.events.mu.Lock()
		events := len(f.events.all)
		f.events.mu.Unlock()
		sets, locks := s.sets, s.locks
		time.Sleep(24 * time.Hour)
		if len(f.events.all) != events || s.sets != sets || s.locks != locks || f.requests() != 0 {
			t.Error("it went on after Stop")
		}
	})
}

func TestLaw10_StopIsIdempotentAndConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		f.Stop() // before any start
		f.start(t)
		f.server.Script(oauthtest.Fault{Delay: 3 * time.Second})
		go f.ForceRefresh(t.Context())
		time.Sleep(time.Second)
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				f.Stop()
				if took := time.Since(start); took != 2*time.Second {
					t.Errorf("a Stop returned after %v; every one waits for the refresh, 2 s", took)
				}
			})
		}
		wg.Wait()
		f.Stop()
		if n := f.events.count(refresh.EventStopped); n != 1 {
			t.Errorf("%d stops reported; want 1", n)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Errorf("Close of a stopped manager: %v", err)
		}
		f.clean(t)
	})
}

func TestLaw10_EndOfTheContextIsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		if err := f.Start(ctx, f.first); err != nil {
			t.Fatal(err)
		}
		cancel()
		if f.IsRunning() || f.GetRefreshStatus().IsRunning {
			t.Error("it says that it runs although its context has ended")
		}
		synctest.Wait()
		if n := f.events.count(refresh.EventStopped); n != 1 {
			t.Errorf("%d stops reported; want 1", n)
		}
		f.serve(t, f.first)
		f.start(t) // and once more, with a context that lives
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		f.clean(t)
	})
}

func TestLaw10_StartWaitsForAnEndingRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
		go f.ForceRefresh(t.Context())
		time.Sleep(time.Second)
		go f.Stop()
		synctest.Wait()
		start := time.Now()
		if err := f.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != 4*time.Second {
			t.Errorf("Start waited %v for the run before it; want 4 s", waited)
		}
		if !f.IsRunning() {
			t.Error("it does not run")
		}
		f.serve(t, f.saved(t))
		f.clean(t)
	})
}

func TestLaw10_StartThatGivesUpWaitingLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
		go f.ForceRefresh(t.Context())
		time.Sleep(time.Second)
		go f.Stop()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		is(t, f.Start(ctx, nil), context.DeadlineExceeded)
		time.Sleep(10 * time.Second)
		f.resume(t)
		f.clean(t)
	})
}

func TestLaw10_UnsavedPairDoesNotKeepStopOrTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use, breakAtSpend(s)).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		f.Stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("Stop took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		lease, err := s.Lock(ctx, "default")
		if err != nil {
			t.Fatalf("the lock was left behind: %v", err)
		}
		_ = lease.Unlock()
		f.clean(t)
	})
}

func TestLaw10_CallersThatWaitAreReleasedByStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		time.Sleep(time.Hour)
		f.server.Script(forEver(oauthtest.Fault{Status: 503, RetryAfter: 20 * time.Second}))
		f.start(t)
		done := make(chan error)
		go func() {
			_, err := f.TokenContext(t.Context())
			done <- err
		}()
		time.Sleep(5 * time.Second)
		start := time.Now()
		f.Stop()
		is(t, <-done, refresh.ErrStopped, oauth.ErrTransient)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a caller waited another %v for a manager that has stopped", waited)
		}
		f.clean(t)
	})
}

func TestLaw10_AbandonedLocksAreNotLeftToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Every way a flight can end gives the lock back.
		ends := []oauthtest.Fault{{}, {Status: 503}, {Status: 400, Body: `{"error":"invalid_client"}`}, {Down: true}, {Hang: true}, {Status: 400, Body: `{"error":"invalid_grant"}`}}
		for _, fault := range ends {
			f := newFixture(t, oauthtest.Config{}).start(t)
			f.server.Script(fault)
			_ = f.ForceRefresh(t.Context())
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			lease, err := f.store.(tokenstore.Locker).Lock(ctx, "default")
			cancel()
			if err != nil {
				t.Errorf("after %+v the lock is still held", fault)
				continue
			}
			_ = lease.Unlock()
			f.Stop()
		}
	})
}
