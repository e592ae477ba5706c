package refresh

import "time"

// remaining is how much is left of a wait until at, which is zero or a reading of
// the clock that now is a reading of: less than nothing if it is over. It is over
// when the wall clock says so, which goes on while a machine sleeps, or when the
// monotonic clock does, which nobody sets back.
func remaining(now, at time.Time) time.Duration {
	return min(at.Sub(now), at.Round(0).Sub(now.Round(0)))
}

// earliest returns the earlier of two times, ignoring zero ones.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
