package refresh

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
)

// A jumpyClock is what a laggingClock reads: time as in the bubble, with jumps. In
// a suspend the monotonic clock stands still while the wall clock goes on.
type jumpyClock struct {
	wall, mono atomic.Int64 // ahead of the bubble's time, in nanoseconds
	reads      atomic.Int64
}

func (j *jumpyClock) read() (wall, passed int64) {
	j.reads.Add(1)
	now := time.Now()
	return now.UnixNano() + j.wall.Load(), elapsed(now) + j.mono.Load()
}

// lives returns a snapshot of a token that lives for life.
func lives(life time.Duration) *snapshot { return ending(time.Now().Add(life)) }

func ending(end time.Time) *snapshot {
	now := time.Now()
	return newSnapshot(&oauth.TokenPair{AccessToken: "a", IssuedAt: now, ExpiresAt: end}, timing{}, now)
}

// watch keeps c running for d, as a reader of s does, and returns when it was last
// sure that s is alive, from now, or a negative time if never.
func watch(c *laggingClock, s *snapshot, d time.Duration) (sure time.Duration) {
	sure = -1
	for begun := time.Now(); time.Since(begun) < d; time.Sleep(time.Millisecond) {
		if c.sure(s, 0) {
			sure = time.Since(begun)
		}
	}
	return sure
}

func TestLaggingClockSeesAJumpWithinATick(t *testing.T) {
	const life = 30 * time.Second
	for _, tt := range []struct {
		name       string
		wall, mono time.Duration // how far the clocks jump
		until      time.Duration // when at the latest it must have doubts
	}{
		{"no jump", 0, 0, life - lagSlack + lagTick},
		{"suspend", time.Hour, 0, lagTick},
		{"suspend on a system that counts it", time.Hour, time.Hour, lagTick},
		{"short suspend", 10 * time.Second, 0, life - 10*time.Second - lagSlack + lagTick},
		{"set forward", 24 * time.Hour, 0, lagTick},
		{"set back", -24 * time.Hour, 0, life - lagSlack + lagTick},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var clocks jumpyClock
				c, s := newLaggingClock(clocks.read), lives(life)
				c.start()
				if !c.sure(s, 0) {
					t.Fatal("it is not sure of a token that lives")
				}
				clocks.wall.Store(int64(tt.wall))
				clocks.mono.Store(int64(tt.mono))
				sure := watch(c, s, 2*life)
				if sure > tt.until {
					t.Errorf("sure of a dead token %v after the jump; want at most %v", sure, tt.until)
				}
				if least := tt.until - 2*lagTick; sure < least {
					t.Errorf("in doubt %v after the jump already; want not before %v", sure, least)
				}
			})
		})
	}
}

func TestLaggingClockIsNotSureOfTheUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clocks jumpyClock
		c := newLaggingClock(clocks.read)
		if c.sure(lives(time.Hour), 0) || (*laggingClock)(nil).sure(lives(time.Hour), 0) {
			t.Error("sure although it is not running")
		}
		immortal := newSnapshot(&oauth.TokenPair{AccessToken: "a"}, timing{}, time.Now())
		if c.sure(immortal, 0) {
			t.Error("sure of a token without an end although it is not running")
		}
		c.start()
		if !c.sure(immortal, 0) {
			t.Error("not sure of a token without an end")
		}
		refused := lives(time.Hour)
		refused.died.Store(true)
		for name, s := range map[string]*snapshot{
			"nothing":           nil,
			"no access token":   newSnapshot(&oauth.TokenPair{RefreshToken: "r"}, timing{}, time.Now()),
			"found dead before": refused,
			"ended long ago":    lives(-time.Hour),
			"ended in 1600":     ending(time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)),
			"the last second":   lives(lagSlack),
		} {
			if c.sure(s, 0) || c.exact(s, time.Now().Add(lagSlack), 0) {
				t.Errorf("%s: sure that it lives", name)
			}
		}
		if s := lives(time.Minute); !c.sure(s, 58*time.Second) || c.sure(s, 59*time.Second) {
			t.Error("the margin does not count")
		}
	})
}

// hot returns a manager with a living token, stopped, so that nothing renews it,
// and what its lagging clock reads.
func hot(t *testing.T, life time.Duration) (*Manager, *jumpyClock) {
	t.Helper()
	m := NewManager(Config{OAuthClient: RefresherFunc(func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
		return nil, errors.New("nothing was to be refreshed")
	})})
	clocks := new(jumpyClock)
	m.cfg.lagging = newLaggingClock(clocks.read)
	now := time.Now()
	if err := m.Start(t.Context(), &oauth.TokenPair{AccessToken: "a", IssuedAt: now, ExpiresAt: now.Add(life)}); err != nil {
		t.Fatal(err)
	}
	m.Stop()
	m.hold() // and it does not rest
	return m, clocks
}

// ask asks n times in a row for a token and returns the last error.
func ask(m *Manager, n int) (err error) {
	for range n {
		_, err = m.Token()
	}
	return err
}

func (c *laggingClock) runs() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timer != nil
}

func TestTokenIsServedToItsLastNanosecondWhileTheLaggingClockRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = 10 * time.Second
		m, _ := hot(t, life)
		end := time.Now().Add(life)
		for {
			left := time.Until(end)
			if err := ask(m, 2*lagBatch); (err == nil) != (left > 0) || err != nil && !errors.Is(err, ErrStopped) {
				t.Fatalf("%v before the token's end: %v", left, err)
			}
			if left > lagSlack && !m.cfg.lagging.runs() {
				t.Fatalf("not running %v before the end", left)
			}
			if left <= 0 {
				return // with the clock running still: the bubble must end all the same
			}
			time.Sleep(min(3*time.Millisecond, max(left-1, 1)))
		}
	})
}

func TestLaggingClockRunsOnlyWhileItIsReadOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, clocks := hot(t, 24*time.Hour)
		c := m.cfg.lagging
		for _, seldom := range []struct {
			reads int
			every time.Duration
		}{{1, time.Second}, {1, lagTick}, {lagBatch, lagTick}} {
			for range 4 * lagBatch {
				if err := ask(m, seldom.reads); err != nil {
					t.Fatal(err)
				}
				time.Sleep(seldom.every)
			}
			if n := clocks.reads.Load(); n != 0 {
				t.Fatalf("%d reads every %v started it", seldom.reads, seldom.every)
			}
		}
		for range 3 {
			clocks.reads.Store(0)
			_ = ask(m, 2*lagBatch)
			if !c.runs() || clocks.reads.Load() != 1 {
				t.Fatalf("running: %v, with %d reads of the clock, after %d at once", c.runs(), clocks.reads.Load(), 2*lagBatch)
			}
			for range 100 { // a hundred ticks
				time.Sleep(lagTick)
				_ = ask(m, 10)
			}
			synctest.Wait()
			if n := clocks.reads.Load(); n < 100 || n > 102 {
				t.Errorf("read the clock %d times in 100 ticks; want once a tick", n)
			}
			clocks.reads.Store(0)
			time.Sleep(time.Hour)
			if n := clocks.reads.Load(); c.runs() || n > lagIdle+1 {
				t.Errorf("running: %v, with %d reads of the clock, an hour after the last reader", c.runs(), n)
			}
			if c.sure(m.cur.Load(), 0) {
				t.Error("sure although it has stopped")
			}
		}
	})
}

// With tokens that live for a second or less it could not help.
func TestLaggingClockDoesNotRunForTokensThatItIsNeverSureOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, clocks := hot(t, lagSlack)
		for range 100 {
			_ = ask(m, 2*lagBatch)
			time.Sleep(lagTick)
		}
		if n := clocks.reads.Load(); n != 0 {
			t.Errorf("it ran: %d reads", n)
		}
	})
}

func TestOnlyRealTimeIsCopied(t *testing.T) {
	wrapped := struct{ clock.Clock }{clock.New()}
	for name, tt := range map[string]struct {
		clock clock.Clock
		want  bool
	}{"nil": {nil, true}, "real": {clock.New(), true}, "mock": {clock.NewMock(), false}, "wrapped": {wrapped, false}} {
		if got := newSetup(Config{Clock: tt.clock}).lagging != nil; got != tt.want {
			t.Errorf("%s: copied %v; want %v", name, got, tt.want)
		}
	}
}

func TestSessionsOfAPoolShareOneLaggingClock(t *testing.T) {
	p := NewPool(PoolConfig{Configure: func(string, *Config) {}})
	if p.setupOf("a").lagging != p.cfg.lagging {
		t.Error("a session with a configuration of its own has a clock of its own")
	}
}

// What is written to beside it must not cost its readers their cache line. Objects
// of 128 bytes begin at multiples of it.
func TestLaggingClockHasItsCacheLinesForItself(t *testing.T) {
	if size := unsafe.Sizeof(laggingClock{}); unsafe.Sizeof(uintptr(0)) == 8 && size != 128 {
		t.Errorf("%d bytes; want 128", size)
	}
}
