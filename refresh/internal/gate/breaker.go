package gate

import (
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// A breaker is open while a server does not answer: then one request at a time finds out
// whether it does (half-open). The first answer closes it.
type breaker struct {
	failures int            // outages in a row, of any session
	since    moment.Instant // when the first of them was that reached the server
	failed   moment.Instant // when the last one was
	probeAt  moment.Instant // when the next attempt of our own is due, while it is open
	probing  bool           // half-open
}

const (
	// openAfter is how many outages in a row, of any sessions, open the breaker.
	openAfter = 5
	// probePause is how long after an outage a caller without a token may make
	// another attempt while the breaker is open.
	probePause = time.Second
)

func (b *breaker) open() bool { return b.failures >= openAfter }

// admits reports whether a request may begin, and when to ask again if not.
func (b *breaker) admits(q Request) (until moment.Instant, ok bool) {
	if !b.open() {
		return until, true
	}
	probeAt := b.probeAt
	if q.Urgent {
		probeAt = b.failed.Add(schedule.CallerPause(b.failed.Since(b.since), probePause))
	}
	if b.probing || !q.Now.Reached(probeAt) {
		return probeAt.And(q.Now.Add(probePause)), false
	}
	return until, true
}

// begin notes that a request was admitted.
func (b *breaker) begin() { b.probing = b.open() }

// fail notes an outage.
func (b *breaker) fail(a Attempt) {
	if b.failures == 0 || !failure.Arrived(a.Err) {
		b.since = a.Now
	}
	b.failures++
	b.failed = a.Now
	b.probeAt = a.Now.Add(schedule.Backoff(b.failures-openAfter+1, a.Interval, a.Jitter))
}

// openUntil opens the breaker because another process has found the server down.
func (b *breaker) openUntil(probeAt, now moment.Instant) {
	if b.failures == 0 {
		b.since = now
	}
	b.failures = max(b.failures, openAfter)
	b.probeAt = b.probeAt.And(probeAt)
}
