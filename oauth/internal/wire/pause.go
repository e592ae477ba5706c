package wire

import (
	"sync"
	"time"
)

// A Pause is how long a server wants no refreshes (Retry-After): a wish that concerns
// all of a client's sessions. The zero value is none. It is safe for concurrent use.
type Pause struct {
	mu        sync.Mutex // guards notBefore; never held across I/O
	notBefore time.Time  // as a reading of the clock
}

// Refusal returns the failure of a request that is not to be sent because the server
// has asked to wait, or nil.
func (p *Pause) Refusal(op string, now time.Time) *Failure {
	until := p.until(now)
	if until.IsZero() {
		return nil
	}
	return &Failure{Op: op, Kind: ErrTransient, RetryAt: until, Hint: "the server asked to wait"}
}

// until returns until when the server wants no refreshes, or zero.
func (p *Pause) until(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Over when either clock says so: the wall clock goes on while a machine
	// sleeps, and the monotonic one is not set back.
	left := min(p.notBefore.Sub(now), p.notBefore.Round(0).Sub(now.Round(0)))
	if left <= 0 {
		return time.Time{}
	}
	return now.Round(0).Add(left)
}

// Remember keeps the wish of the server that fail tells, if there is one.
func (p *Pause) Remember(fail *Failure, now time.Time) {
	if fail.RetryAt.IsZero() || fail.Kind != ErrTransient {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// As a reading of the clock, so that setting it back does not prolong the wait.
	if until := now.Add(fail.RetryAt.Sub(now.Round(0))); until.After(p.notBefore) {
		p.notBefore = until
	}
}
