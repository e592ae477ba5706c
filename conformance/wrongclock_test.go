package conformance

import (
	"time"

	"github.com/benbjohnson/clock"
)

// A wrongClock runs as fast as a real one and shows another time.
type wrongClock struct {
	clock.Clock
	ahead time.Duration
}

func newWrongClock(ahead time.Duration) wrongClock {
	return wrongClock{Clock: clock.New(), ahead: ahead}
}

// Now, Since and Until implement clock.Clock.
func (c wrongClock) Now() time.Time                  { return time.Now().Add(c.ahead) }
func (c wrongClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c wrongClock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }
