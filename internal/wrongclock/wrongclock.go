// Package wrongclock stands in for the clock of a host that was never set.
package wrongclock

import (
	"time"

	"github.com/benbjohnson/clock"
)

// By returns a clock that is ahead of the real one by d, or behind it if d is less
// than nothing. Its timers are real.
func By(d time.Duration) clock.Clock { return off{clock.New(), d} }

type off struct {
	clock.Clock
	by time.Duration
}

func (c off) Now() time.Time                  { return c.Clock.Now().Add(c.by) }
func (c off) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c off) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }
