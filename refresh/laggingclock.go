package refresh

import (
	"math"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"
)

// A laggingClock spares those who ask for a token often the look at the clock,
// which costs more than all the rest. While somebody reads it, a timer copies both
// witnesses of time every lagTick, and a token that lives for more than lagSlack
// longer by the copy is alive without a further look. In its last second, and
// whenever the copy is not running, the exact clock decides.
//
// The copy is a tick old, or as much more as a busy machine delays the timer: up
// to lagSlack that makes no difference at all. What remains are jumps that take
// all of a token's remaining life at once: waking from a suspend, and the wall
// clock being set. They are seen a tick of running time later. A goroutine that is
// not scheduled for as long between asking and sending does the same.
//
// It runs only while it is worth a timer, and leaves nothing behind: it stops by
// itself. All methods are safe for concurrent use, and for a nil clock, which is
// never sure.
//
// Readers share the first fields and write to them once a tick at most. Its size,
// 128 bytes, keeps other data out of their cache lines.
type laggingClock struct {
	wall    atomic.Int64 // nanoseconds since 1970, or stopped
	elapsed atomic.Int64 // nanoseconds since epoch
	idle    atomic.Int32 // ticks since somebody read

	misses atomic.Uint32 // looks at the exact clock that a running copy would have spared
	batch  atomic.Int64  // when lagBatch of them were full, in elapsed time

	read func() (wall, elapsed int64)

	mu    sync.Mutex  // guards timer, and changes of the copy
	timer *time.Timer // nil when stopped

	_ [72]byte
}

const (
	// lagTick is how old the copy may get. A hundred ticks a second cost a hundredth
	// of a percent of a core.
	lagTick = 10 * time.Millisecond
	// lagSlack is far more than a timer is ever late on a machine that still serves
	// anybody, and far less than tokens live.
	lagSlack = time.Second
	// lagBatch is how many looks at the exact clock within a tick are worth the
	// timer: as much time is spent on them as on the tick.
	lagBatch = 64
	// lagIdle is how many ticks in a row without a reader end it.
	lagIdle = 3
	// stopped is a time at which no token lives.
	stopped = math.MaxInt64
)

// laggingBehind returns a stopped copy of c, or nil if c is not real time: a fake
// clock is cheap to read, and moves as it likes.
func laggingBehind(c clock.Clock) *laggingClock {
	if reflect.TypeOf(c) != reflect.TypeOf(clock.New()) {
		return nil
	}
	return newLaggingClock(func() (wall, passed int64) {
		now := time.Now()
		return now.UnixNano(), elapsed(now)
	})
}

func newLaggingClock(read func() (wall, elapsed int64)) *laggingClock {
	c := &laggingClock{read: read}
	c.wall.Store(stopped)
	return c
}

// sure reports whether s is alive for more than margin, without a doubt. If not,
// the exact clock has to be asked.
func (c *laggingClock) sure(s *snapshot, margin time.Duration) bool {
	if c == nil {
		return false
	}
	if c.idle.Load() != 0 {
		c.idle.Store(0)
	}
	return s.outlives(c.wall.Load(), c.elapsed.Load(), margin+lagSlack)
}

// exact reports whether s is alive now, for callers of sure who got no for an
// answer. If a running copy would have been sure, and that is so often lately, the
// copy starts.
func (c *laggingClock) exact(s *snapshot, now time.Time, margin time.Duration) bool {
	if !s.alive(now) {
		return false
	}
	if passed := elapsed(now); c != nil && s.outlives(now.UnixNano(), passed, margin+lagSlack) {
		c.miss(passed)
	}
	return true
}

// miss counts a look at the exact clock.
func (c *laggingClock) miss(passed int64) {
	if c.misses.Add(1)%lagBatch != 0 {
		return
	}
	if since := passed - c.batch.Swap(passed); since >= 0 && since < int64(lagTick) {
		c.start()
	}
}

// start makes the copy run, if it does not.
func (c *laggingClock) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		return
	}
	c.idle.Store(0)
	c.copyLocked()
	c.timer = time.AfterFunc(lagTick, c.tick)
}

// tick renews the copy, or ends it if nobody reads it.
func (c *laggingClock) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle.Add(1) > lagIdle {
		c.wall.Store(stopped)
		c.timer = nil
		return
	}
	c.copyLocked()
	c.timer.Reset(lagTick)
}

func (c *laggingClock) copyLocked() {
	wall, passed := c.read()
	c.elapsed.Store(passed)
	c.wall.Store(wall) // last: it says that the copy runs
}
