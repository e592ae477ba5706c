package gate

import (
	"errors"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// A breaker is open while a server does not answer. Then few requests find out whether
// it does (half-open): one every second or so while callers wait, one in time for a
// token's death, and one now and then without a caller. The first answer closes it.
type breaker struct {
	failures int            // outages in a row, of any session
	since    moment.Instant // when the first of them was
	busy     string         // the session that failed last
	probed   moment.Instant // when the last request began, since then
	pause    time.Duration  // from there to the next probe for a caller
	probeAt  moment.Instant // when the next probe is due that no caller waits for
	begun    []moment.Instant
}

const (
	// openAfter is how many outages in a row, of any sessions, open the breaker. So many
	// requests are in flight, too, before the server has answered for the first time.
	openAfter = 5
	// mostProbes is how many requests a server in trouble gets in a minute.
	mostProbes = 60
	// lastLook is how long a session that was to make its last attempt before its token
	// dies waits for what another session's brings.
	lastLook = 200 * time.Millisecond
)

var errDown = errors.New("the server did not answer several attempts in a row")

func (b *breaker) open() bool { return b.failures >= openAfter }

// breakerAdmitsLocked reports whether a request may begin although the server is in trouble, and
// when to ask again if not.
func (g *Gate) breakerAdmitsLocked(q Request) (until moment.Instant, ok bool) {
	b := &g.breaker
	if !b.open() {
		return until, true
	}
	inFlight := g.inFlight
	if q.admitted {
		inFlight--
	}
	switch {
	case q.lastChance(q.Now):
		if q.lastChance(b.probed) { // another session's request tells as much
			until = q.Now.Add(lastLook)
		}
	case q.Urgent:
		until = b.nextForCaller()
	default:
		if until = b.probeAt; inFlight > 0 {
			until = until.And(q.Now.Add(schedule.ProbePause))
		}
	}
	if len(b.begun) == mostProbes {
		until = until.And(b.begun[0].Add(time.Minute))
	}
	if inFlight >= max(g.burst/2, 1) { // they hang: the workers are for other servers, too
		until = until.And(q.Now.Add(schedule.ProbePause))
	}
	return until, q.Now.Reached(until)
}

// nextForCaller returns when the next probe for a caller may begin.
func (b *breaker) nextForCaller() moment.Instant {
	if b.probed.IsZero() {
		return moment.Instant{}
	}
	return b.probed.Add(b.pause)
}

// begin notes that a request begins.
func (b *breaker) begin(q Request) {
	if b.failures == 0 {
		return
	}
	b.note(q.Now)
	b.probed, b.pause = q.Now, schedule.ProbeWait(q.Jitter)
	b.probeAt = q.Now.Add(schedule.Backoff(max(b.failures-openAfter+2, 1), q.Interval, q.Jitter))
}

// note notes when a request began.
func (b *breaker) note(at moment.Instant) {
	if len(b.begun) == mostProbes {
		b.begun = append(b.begun[:0], b.begun[1:]...)
	}
	b.begun = append(b.begun, at)
}

// fail notes an outage.
func (b *breaker) fail(a Attempt) {
	if b.failures == 0 {
		b.since = a.Now
	}
	if !a.Begun.After(b.since) { // else begin has noted it
		b.note(a.Begun)
	}
	if !b.probed.After(a.Begun) {
		b.probed, b.pause = a.Begun, schedule.ProbeWait(a.Jitter)
	}
	b.failures++
	b.busy = a.Session
	if a.Now.Reached(b.probeAt) { // else begin has planned it, and the others know
		b.probeAt = a.Now.Add(schedule.Backoff(b.failures-openAfter+1, a.Interval, a.Jitter))
	}
}

// openUntil opens the breaker because another process has found the server down.
func (b *breaker) openUntil(probeAt, now moment.Instant) {
	if b.failures == 0 {
		b.since = now
	}
	b.failures = max(b.failures, openAfter)
	b.probeAt = b.probeAt.And(probeAt)
}

// A wait is until when a server wants to be left alone by all of its sessions
// (Retry-After): because it said so to several of them, or that it is not available. What
// it says to one session alone is that session's matter.
type wait struct {
	until  moment.Instant
	asked  moment.Instant // when that was last said
	first  string         // the session that heard it first, while no other one has
	alone  moment.Instant // until when that one is to wait
	probes int            // how many requests were made all the same,
	next   moment.Instant // and when the next one may be
}

// heed notes what an answer asks for, and reports whether it is for all sessions.
func (w *wait) heed(a Attempt) (all bool) {
	at := failure.RetryAt(a.Err, a.Now.Wall())
	if at.IsZero() {
		return false
	}
	until := a.Now.At(at)
	switch failure.Status(a.Err) {
	case http.StatusServiceUnavailable:
	case http.StatusTooManyRequests:
		if a.Now.Reached(w.until) && (w.first == "" || w.first == a.Session || a.Now.Reached(w.alone)) {
			w.first, w.alone = a.Session, w.alone.And(until)
			return false
		}
		until = until.And(w.alone)
	default:
		return false
	}
	w.until, w.asked = w.until.And(until), a.Now
	return true
}

// admits reports whether a request may begin although the server wants to be left alone:
// one now and then, of a session whose token is dead or about to die. Sessions that were
// told themselves do not ask.
func (w *wait) admits(q Request) (until moment.Instant, ok bool) {
	if q.Now.Reached(w.until) {
		return until, true
	}
	if !q.lastChance(q.Now) && !(q.Urgent && q.Dies.IsZero()) {
		return w.until, false
	}
	until = w.next.Or(w.until)
	if q.lastChance(q.Now) { // what another session's request brings is known before the death
		until = until.Or(q.Now.Add(lastLook))
	}
	return until, q.Now.Reached(w.next)
}

// begin notes that a request begins.
func (w *wait) begin(q Request) {
	if q.Now.Reached(w.until) {
		return
	}
	w.probes++
	w.next = q.Now.Add(schedule.Backoff(w.probes, q.Interval, q.Jitter))
}

// answeredLocked notes that the server has answered, and frees all sessions if it was in
// trouble until then.
func (g *Gate) answeredLocked(a Attempt) {
	back := g.breaker.open()
	g.breaker = breaker{}
	if a.Err == nil && (g.wait.until.IsZero() || a.Begun.After(g.wait.asked)) {
		back = back || !a.Now.Reached(g.wait.until)
		g.wait = wait{}
	} else if a.Err == nil {
		g.wait.first, g.wait.alone = "", moment.Instant{} // it is that session's alone
	}
	if back {
		g.backLocked()
	}
}

// backLocked frees all sessions, as the trouble is over.
func (g *Gate) backLocked() {
	g.epoch++
	if g.back != nil {
		close(g.back)
		g.back = nil
	}
}

// Back returns what is closed when the server is found to be back after trouble that
// concerned all of its sessions, which are to try then.
func (g *Gate) Back() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.back == nil {
		g.back = make(chan struct{})
	}
	return g.back
}

// A client is the breaker of one configuration, which is open while the server refuses
// its client: then one session asks for all of them, now and then, until the client is
// accepted again. Another configuration's client may be in order.
type client struct {
	streak
	open    bool
	shared  bool // the Store has told of it
	err     error
	opened  moment.Instant
	failed  moment.Instant // when the client was refused last
	probeAt moment.Instant // when the next attempt of our own is due
	probing string         // the session that makes one; "": none does

	outsiderAt moment.Instant // when a session that was not refused may ask next
}

// clientLocked returns the breaker of a configuration, a new one if there is none.
func (g *Gate) clientLocked(configID string) *client {
	if g.clients == nil {
		g.clients = make(map[string]*client, 1)
	}
	c := g.clients[configID]
	if c == nil {
		c = new(client)
		g.clients[configID] = c
	}
	return c
}

// TellClient reports, once until the client is accepted, that the program is to be told
// that it is refused.
func (g *Gate) TellClient(configID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clientLocked(configID).tell()
}

// ClientRefused returns how the client of a configuration is refused, or nil.
func (g *Gate) ClientRefused(configID string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.clients[configID]; c != nil && c.open {
		return c.err
	}
	return nil
}

// acceptLocked notes that the server has accepted the client, whatever it said of the
// session. It reports whether other processes have to hear of that.
func (g *Gate) acceptLocked(configID string) (tell bool) {
	c := g.clients[configID]
	if c == nil {
		return false
	}
	if c.open {
		g.epoch++
	}
	delete(g.clients, configID)
	return c.open
}

// admitClientLocked is Admit for the client's breaker: without an error the request may
// begin, as far as that is concerned.
func (g *Gate) admitClientLocked(q Request) (until moment.Instant, err error) {
	c := g.clients[q.ConfigID]
	if c == nil || !c.open {
		return until, nil
	}
	if c.probing == q.Session || c.probing == "" && c.asksOutsider(q) {
		return until, nil
	}
	probeAt := c.probeAt
	if q.Urgent {
		probeAt = probeAt.Or(c.failed.Add(q.Interval / 4))
	}
	// Some servers spend the refresh token in a request that they refuse: so the session
	// that was refused first probes for all, unless it is gone.
	if q.Session != c.first {
		probeAt = probeAt.Add(q.Interval)
	}
	if c.probing != "" || !q.Now.Reached(probeAt) && !q.Insist {
		return probeAt.And(q.Now.Add(schedule.ProbePause)), c.err
	}
	return until, nil
}

// outsiders is how rarely a session asks about the client that was not refused itself.
const outsiders = time.Hour

// asksOutsider reports whether a session may ask that was not refused itself: the two that
// were may both have ended, and then all others would wait for them for good. The first does
// so after the time that suspicions take, as some servers spend what they refuse.
func (c *client) asksOutsider(q Request) bool {
	dying := q.Dies.IsZero() || q.Dies.Since(q.Now) <= 2*q.Interval
	return dying && !q.Refused && q.Now.Since(c.opened) >= schedule.Slowly*q.Interval && q.Now.Reached(c.outsiderAt)
}

// hearOfClientLocked follows what another process says of the client of a configuration:
// that it is refused, until when a probe is not due, or nothing. The Store has room for
// one of them: what it says of another client says nothing about this one.
func (g *Gate) hearOfClientLocked(n Notice, configID string, now moment.Instant) {
	c := g.clients[configID]
	until := g.refused.End(n.probe, now)
	switch {
	case n.config == configID && !now.Reached(until):
		c = g.clientLocked(configID)
		if !c.open {
			c.open, c.opened, c.failed = true, now, now
			c.err = &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Err: oauth.ErrClientRefused, Sent: true}
		}
		c.shared = true
		c.probeAt = c.probeAt.And(until)
	case c == nil:
	case n.config != "":
		c.shared = n.config == configID
	case c.open && c.shared:
		delete(g.clients, configID) // it was accepted elsewhere
		g.epoch++
	}
}
