package refresh

import (
	"context"
	"errors"
	"math"
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// Limits bound what one authorization server is asked. The sessions of a Pool that
// have the same server share them.
type Limits struct {
	// Concurrent bounds the refreshes under way at a time. Zero or less: no bound,
	// other than the pool's Workers.
	Concurrent int
	// Rate bounds the refreshes that begin in a second. Where it is too low to renew
	// all sessions within their RefreshThreshold, renewing begins earlier. Zero or
	// less: no bound, but a crowd that is due at once, as after a start or a sleep, is
	// spread over half a check interval.
	Rate float64
}

// A server is what the sessions of one authorization server have in common: how
// much is under way, how fast the next may follow, whether the server answers at
// all, and since when it wants to be left alone. A session by itself needs none of
// that, as its own backoff does the same.
type server struct {
	name   string // for people
	limits Limits
	clump  int // how many may begin at once where no rate is set

	heeding chan struct{} // held (by sending) by whoever reads what others say of it

	mu        sync.Mutex
	sessions  int
	notBefore time.Time // the server asked for it
	heeded    time.Time // when the Store was last asked for such a wish of others
	down      int       // outages in a row, of any session
	since     time.Time // when the first of them was that reached it
	failed    time.Time // when the last one was
	probeAt   time.Time // when the next attempt of our own is due, while it is down
	probing   bool
	line      time.Time // when the next refresh may begin
	front     time.Time // when the next caller may, while a crowd stands in line
	crowded   time.Time // when a place may be free for the next
	latency   time.Duration
	renewed   time.Time              // when a session was, last
	refusals  streak                 // without a clear word
	gates     map[string]*clientGate // by configuration
	epoch     uint64                 // see currentEpoch

	underway          int
	refreshes, misses uint64
}

const (
	// downAfter is how many outages in a row, of any sessions, make a server down.
	downAfter = 5
	// probePause is how long after an outage a caller without a token may make
	// another attempt at a server that is down.
	probePause = time.Second
)

func newServer(name string, limits Limits, workers int) *server {
	return &server{name: name, limits: limits, clump: workers, heeding: make(chan struct{}, 1)}
}

// join and part count the sessions. join reports whether plans that were
// made for fewer have to be made anew.
func (s *server) join() (doubled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.sizeLocked()
	s.sessions++
	return s.sizeLocked() != before
}

func (s *server) part() {
	s.mu.Lock()
	s.sessions--
	s.mu.Unlock()
}

// size is the order of magnitude of a crowd that has to keep to a rate: its binary
// logarithm, rounded up. Zero without a rate.
func (s *server) size() uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sizeLocked()
}

func (s *server) sizeLocked() uint8 {
	if s.limits.Rate <= 0 || s.sessions <= 1 {
		return 0
	}
	return uint8(bits.Len(uint(s.sessions - 1)))
}

// pace returns what timing needs to know: how long it takes to renew all sessions
// at the crowd's share of the rate, with a tenth to spare, and how long one refresh
// takes. As plans outlive the moment, the crowd counts as the next power of two.
func (s *server) pace() (crowd, latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size := s.sizeLocked(); size > 0 {
		seconds := 1.1 * crowdShare * math.Ldexp(1, int(size)) / s.limits.Rate
		crowd = time.Duration(min(seconds*float64(time.Second), float64(schedule.MaxLife)))
	}
	return crowd, s.latency
}

// errDeferred is why a refresh that nobody waits for did not begin: others come
// first. It is no failure.
var errDeferred = errors.New("refresh: put off, others come first")

var errServerDown = errors.New("the server did not answer several sessions in a row")

// A question is what a session asks before it refreshes.
type question struct {
	session, configID string

	interval time.Duration // the check interval

	now    time.Time
	urgent bool          // somebody waits for it
	insist bool          // the program asks for it
	ticket bool          // the session was given this moment before
	window time.Duration // in which all sessions would have their turn, if they were due now
}

// ask returns until when a refresh has to wait; zero means that it may begin, and
// release is to be called in the end. An error says that the server cannot be
// asked at all.
func (s *server) ask(q question) (until time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions > 1 {
		if q.now.Before(s.notBefore) {
			return s.notBefore, failure.AskedToWait(s.notBefore.Round(0))
		}
		if s.down >= downAfter {
			probeAt := s.probeAt
			if q.urgent {
				probeAt = s.failed.Add(schedule.CallerPause(s.failed.Sub(s.since), probePause))
			}
			if s.probing || q.now.Before(probeAt) {
				return later(probeAt, q.now.Add(probePause)), failure.Transient(errServerDown)
			}
		}
		if until, err := s.askClientLocked(q); err != nil {
			return until, err
		}
	}
	if at := s.turnLocked(q); at.After(q.now) {
		return at, nil
	}
	if s.limits.Concurrent > 0 && s.underway >= s.limits.Concurrent {
		return s.placeLocked(q), nil
	}
	s.probing = s.down >= downAfter
	s.underway++
	return time.Time{}, nil
}

// placeLocked returns when it is worth asking again for one of the places, which
// are all taken: for the crowd, when those before have had one.
func (s *server) placeLocked(q question) time.Time {
	each := max(s.latency/time.Duration(s.limits.Concurrent), 50*time.Millisecond)
	if q.urgent {
		return q.now.Add(each)
	}
	s.crowded = later(s.crowded, q.now).Add(each)
	return s.crowded
}

// turnLocked gives out moments to begin, one after the other. With a rate, callers
// who wait while a crowd has its turn share a fifth of it; without one they do not
// wait at all.
func (s *server) turnLocked(q question) time.Time {
	line, gap, clump := &s.line, q.window/time.Duration(max(s.sessions, 1)), s.clump
	switch {
	case q.ticket:
		return q.now
	case s.limits.Rate <= 0 && q.urgent:
		return q.now
	case s.limits.Rate > 0:
		each := float64(time.Second) / s.limits.Rate
		gap, clump = time.Duration(each*crowdShare), 1
		if q.urgent && s.line.After(q.now) {
			line, gap = &s.front, time.Duration(each*callersShare)
		}
	}
	at := later(*line, q.now.Add(-time.Duration(clump-1)*gap))
	*line = at.Add(gap)
	return at
}

// Of a rate, a crowd gets four fifths and callers who wait the last.
const crowdShare, callersShare = 1.25, 5

// release notes that a refresh that was allowed to begin is over.
func (s *server) release(configID string) {
	s.mu.Lock()
	s.underway--
	s.probing = false
	if g := s.gates[configID]; g != nil {
		g.probing = false
	}
	s.mu.Unlock()
}

// answered notes how an attempt of a configuration ended, and returns what other
// processes should know.
func (s *server) answered(configID string, err error, now time.Time, took, interval time.Duration, jitter float64) (n notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.refreshes++
		n = s.succeedLocked(configID, now)
	} else {
		s.misses++
		if failure.Verdict(err) == oauth.VerdictEnded {
			n.accepted = s.acceptLocked(configID)
		}
	}
	if failure.Outage(err) {
		if s.down == 0 || !failure.Arrived(err) {
			s.since = now
		}
		s.down++
		s.failed = now
		s.probeAt = now.Add(schedule.Backoff(s.down-downAfter+1, interval, jitter))
		if s.sessions > 1 && s.down >= downAfter {
			n.down = s.probeAt.Round(0)
		}
	} else {
		s.down = 0
		s.latency = max(took, s.latency-s.latency/8)
	}
	if at := failure.RetryAt(err); !at.IsZero() && failure.Busy(err) {
		s.notBefore = later(s.notBefore, now.Add(at.Sub(now.Round(0))))
		n.notBefore = at
	}
	return n
}

// heedNothing notes that the Store could not be asked: that says nothing.
func (s *server) heedNothing(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heeded = now
}

// heed makes what another process knows this one's too.
func (s *server) heed(n notice, configID string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.heeded.IsZero() { // a process that has just begun asks for itself
		s.heedClientLocked(n, configID, now)
	}
	s.heeded = now
	if wait := n.notBefore.Sub(now.Round(0)); wait > 0 && wait <= maxAsked {
		s.notBefore = later(s.notBefore, now.Add(wait))
	}
	if wait := n.down.Sub(now.Round(0)); wait > 0 && wait <= maxAsked {
		if s.down == 0 {
			s.since = now
		}
		s.down = max(s.down, downAfter)
		s.probeAt = later(s.probeAt, now.Add(wait))
	}
}

// admit waits until the session may refresh, or puts it off if nobody waits for
// it. release is to be called when the refresh is over.
func (m *managed) admit(ctx context.Context, r *run, w want) error {
	m.heedNotice(ctx)
	for waited := false; ; waited = true {
		now := m.now()
		q := question{
			session: m.session, configID: m.cfg.configID, interval: m.cfg.CheckInterval,
			now: now, urgent: w.urgent() || m.lost(), insist: w.insist, window: m.cfg.CheckInterval / 2,
		}
		q.ticket = waited || m.ticket && remaining(now, m.deferred) <= 0
		if s := m.cur.Load(); s.alive(now) && s.until < never {
			q.window = min(q.window, time.Duration(s.until-elapsed(now))/2)
		}
		until, err := m.cfg.server.ask(q)
		switch {
		case until.IsZero():
			m.ticket, m.deferred = false, time.Time{}
			return nil
		case !q.urgent && err != nil:
			// Not beyond a check interval: the success of another session may end the wait.
			until = earliest(until, now.Add(m.cfg.CheckInterval))
			m.deferred = until.Add(time.Duration(float64(q.window) * rand.Float64()))
			return errDeferred
		case !q.urgent:
			m.ticket, m.deferred = true, until
			return errDeferred
		case err != nil:
			m.heldBack(until, err)
			return m.state.Load().err
		}
		if !m.pause(ctx, r, until.Sub(now)) {
			return ErrStopped
		}
	}
}

// answered notes how an attempt ended, for all sessions of the server.
func (m *managed) answered(ctx context.Context, err error, begun time.Time) {
	now := m.now()
	if n := m.cfg.server.answered(m.cfg.configID, err, now, now.Sub(begun), m.cfg.CheckInterval, rand.Float64()); n != (notice{}) {
		m.postNotice(context.WithoutCancel(ctx), n)
	}
}

// heldBack notes that the server cannot be asked, for those who wait for it.
func (m *managed) heldBack(until time.Time, err error) {
	epoch := m.cfg.server.currentEpoch()
	m.setHealth(func(h *health) {
		if h.err == nil {
			h.state, h.err = StateRetrying, err
		}
		h.failed, h.epoch = m.now(), epoch
		h.callers = h.failed.Add(noticeWithin) // or they would ask again at once
		if failure.Verdict(err) == oauth.VerdictClient {
			h.state, h.err, h.callers = StateMisconfigured, err, until
		}
		h.next = later(h.next, until)
		h.firm = h.firm || !failure.RetryAt(err).IsZero()
	})
}
