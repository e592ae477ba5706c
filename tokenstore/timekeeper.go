package tokenstore

import (
	"context"
	"time"
)

// A Timekeeper is a Store with a clock that all processes sharing it can read, and by which
// its records are kept. Hosts whose own clocks disagree then agree on when a token
// ends: what one of them writes would otherwise be early or late for the others by
// the difference, and a token that lives shorter than that would have ended before
// it is read.
//
// A refresh.Manager translates: its program sees times by the host's clock, and the
// Store those by its own. A program that calls Get and Set of a Timekeeper
// directly does so unaided, which matters only on a host whose clock is off.
type Timekeeper interface {
	// Time returns the time by the Store's clock, at a moment between the call and
	// its return. The clock need not be right, and may differ from one host's to
	// another's only by what they can overlook.
	Time(ctx context.Context) (time.Time, error)
}
