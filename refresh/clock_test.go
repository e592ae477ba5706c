package refresh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

func TestMockClockInABubbleDrivesTheManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mock := clock.NewMock()
		mock.Set(time.Now())
		f := newFixture(t, oauthtest.Config{Now: mock.Now}, drivenBy(mock)).start(t)
		add := func(d time.Duration) {
			mock.Add(d)
			synctest.Wait()
		}
		add(9 * minute)
		if n := f.server.Refreshes(); n != 0 {
			t.Errorf("%d refreshes before one is due", n)
		}
		add(minute + time.Second)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes when one is due; want 1", n)
		}
		for range 6 * 60 {
			add(minute)
			f.mustCall(t)
		}
		// A renewal in ten minutes, give or take jitter and the minute's grain.
		if n := f.server.Refreshes(); n < 32 || n > 40 {
			t.Errorf("%d refreshes in six hours; want about 36", n)
		}
		f.served(t)
		f.clean(t)
	})
}

// Real time in the bubble goes on, the program's clock does not: nothing may
// happen.
func TestMockClockThatStandsStillStopsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mock := clock.NewMock()
		mock.Set(time.Now())
		f := newFixture(t, oauthtest.Config{Now: mock.Now}, drivenBy(mock)).start(t)
		time.Sleep(24 * time.Hour)
		if n := f.server.Refreshes(); n != 0 {
			t.Errorf("%d refreshes while the clock stood still", n)
		}
		f.mustCall(t)
		f.clean(t)
	})
}

func TestMockClockDrivesBackoffAndWaitingCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mock, net := clock.NewMock(), new(network)
		mock.Set(time.Now())
		f := newFixture(t, oauthtest.Config{Now: mock.Now}, drivenBy(mock), through(net.wrap)).start(t)
		net.away.Store(true)
		mock.Add(20 * minute)
		synctest.Wait()
		if st := f.GetRefreshStatus(); st.State != refresh.StateRetrying || st.Failures < 10 {
			t.Fatalf("ten minutes into an outage: %+v", st)
		}
		answered := make(chan error, 1)
		go func() {
			_, err := f.TokenContext(t.Context())
			answered <- err
		}()
		synctest.Wait()
		mock.Add(31 * time.Second) // Config.MaxWait
		if err := <-answered; err == nil {
			t.Error("a caller got a dead token")
		}
		net.away.Store(false)
		mock.Add(2 * minute)
		synctest.Wait()
		f.mustCall(t)
		f.served(t)
		f.clean(t)
	})
}

func TestManagerStartsAgainOnAMockClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mock := clock.NewMock()
		mock.Set(time.Now())
		f := newFixture(t, oauthtest.Config{Now: mock.Now}, drivenBy(mock)).start(t)
		for want := 1; want <= 3; want++ {
			mock.Add(11 * minute)
			synctest.Wait()
			if n := f.server.Refreshes(); n != want {
				t.Errorf("%d refreshes; want %d", n, want)
			}
			f.Stop()
			if err := f.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		f.clean(t)
	})
}

// Without a bubble, as in the tests of programs that run on a mock clock: move
// it, then wait for an event.
func TestMockClockWorksPlainly(t *testing.T) {
	mock := clock.NewMock()
	mock.Set(time.Now())
	refreshed := make(chan refresh.Event, 100)
	f := newFixture(t, oauthtest.Config{Now: mock.Now}, drivenBy(mock), func(cfg *refresh.Config) {
		cfg.OnEvent = func(e refresh.Event) {
			if e.Kind == refresh.EventRefreshed {
				refreshed <- e
			}
		}
	}).start(t)
	for range 3 {
		mock.Add(11 * minute)
		var e refresh.Event
		for ticks := 0; e.Kind == ""; ticks++ {
			select {
			case e = <-refreshed:
			case <-time.After(100 * time.Millisecond): // real time
				if ticks > 600 {
					t.Fatal("no refresh although the clock has moved beyond the due time")
				}
				mock.Add(time.Second) // for a timer that was being set when the clock moved
			}
		}
		if got := f.GetExpiresAt(); !got.Equal(e.ExpiresAt) || got.Before(mock.Now()) {
			t.Errorf("expires %v after an event that says %v, at %v", got, e.ExpiresAt, mock.Now())
		}
		f.mustCall(t)
	}
	f.Stop()
	if f.IsRunning() {
		t.Error("still running after Stop")
	}
	f.served(t)
	f.clean(t)
}
