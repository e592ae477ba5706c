package main

import (
	"time"

	"github.com/benbjohnson/clock"
)

// A skewedClock is real time, off by a constant. It stands in for the clock of a
// host that nobody has set.
type skewedClock struct {
	clock.Clock
	by time.Duration
}

func (c skewedClock) Now() time.Time                  { return c.Clock.Now().Add(c.by) }
func (c skewedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c skewedClock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }
