// Package gate bounds what one authorization server is asked by all of its sessions: how
// many requests are in flight, how fast the next may follow, whether the server answers
// at all (a circuit breaker), whether it accepts the client (another one for each
// configuration), and since when it wants to be left alone (Retry-After). Processes that
// share a Store tell each other what they learn, by a record of the server.
//
// A server with a single session needs none of the breakers: the session's own backoff
// does the same.
package gate

import (
	"errors"
	"math"
	"math/bits"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// Limits are those of refresh.Limits.
type Limits struct {
	// Concurrent bounds the requests in flight. Zero or less: no bound.
	Concurrent int
	// Rate bounds the requests that begin in a second. Zero or less: no bound, but a
	// crowd that is due at once is spread over its window.
	Rate float64
}

// A Gate is safe for concurrent use.
type Gate struct {
	name   string
	limits Limits
	burst  int // how many may begin at once where no rate is set

	reading chan struct{} // held (by sending) by the caller that reads what other processes say

	mu           sync.Mutex // guards the fields below
	sessions     int
	notBefore    moment.Instant // Retry-After
	reads        moment.Instant // when the Store was asked last what other processes say
	breaker      breaker
	nextFree     moment.Instant // when the next request may begin
	nextUrgent   moment.Instant // when the next one with a caller may, while a crowd waits
	nextVacancy  moment.Instant // when one of the requests in flight may be over for the next
	latency      time.Duration
	renewed      moment.Instant // when a session was, last
	refusals     streak         // without a clear word
	clients      map[string]*client
	epoch        uint64 // see Epoch
	inFlight     int
	done, failed uint64
}

// New returns the gate of a server. name tells servers apart, for people and for
// other processes; it may be empty. Without a rate, burst requests may begin at once.
func New(name string, limits Limits, burst int) *Gate {
	return &Gate{name: name, limits: limits, burst: burst, reading: make(chan struct{}, 1)}
}

// Name returns the server's name.
func (g *Gate) Name() string { return g.name }

// Join adds a session, until Leave. It reports whether plans that were made for fewer
// sessions have to be made anew.
func (g *Gate) Join() (doubled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.magnitudeLocked()
	g.sessions++
	return g.magnitudeLocked() != before
}

// Leave takes a session away.
func (g *Gate) Leave() {
	g.mu.Lock()
	g.sessions--
	g.mu.Unlock()
}

// Alone reports whether the server has no more than one session here.
func (g *Gate) Alone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions <= 1
}

// Magnitude is the binary logarithm, rounded up, of the number of sessions that have
// to keep to a rate. Zero without a rate.
func (g *Gate) Magnitude() uint8 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.magnitudeLocked()
}

func (g *Gate) magnitudeLocked() uint8 {
	if g.limits.Rate <= 0 || g.sessions <= 1 {
		return 0
	}
	return uint8(bits.Len(uint(g.sessions - 1)))
}

// Pace returns how long it takes to renew all sessions at the crowd's share of the
// rate, with a tenth to spare, and how long one request takes. As plans outlive the
// moment, the crowd counts as the next power of two.
func (g *Gate) Pace() (crowd, latency time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if magnitude := g.magnitudeLocked(); magnitude > 0 {
		seconds := 1.1 * crowdShare * math.Ldexp(1, int(magnitude)) / g.limits.Rate
		crowd = time.Duration(min(seconds*float64(time.Second), float64(schedule.MaxLife)))
	}
	return crowd, g.latency
}

// Epoch counts how often a success has shown that what many sessions met, or what the
// client did, is over.
func (g *Gate) Epoch() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.epoch
}

// A Request is what a session asks of the gate before it sends a request.
type Request struct {
	Session, ConfigID string

	Interval time.Duration // the check interval
	Now      moment.Instant
	Urgent   bool          // a caller waits for it
	Insist   bool          // the program asks for it
	Reserved bool          // it waited until an earlier Admit said
	Window   time.Duration // in which all sessions would have their turn, if they were due now
}

var errDown = errors.New("the server did not answer several sessions in a row")

// Admit returns zero if the request may begin; then Release is to be called in the end.
// Otherwise it returns when to ask again. An error says that the server cannot be
// asked at all until then.
func (g *Gate) Admit(q Request) (until moment.Instant, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions > 1 {
		if !q.Now.Reached(g.notBefore) {
			return g.notBefore, failure.AskedToWait(g.notBefore.Wall())
		}
		if until, ok := g.breaker.admits(q); !ok {
			return until, failure.Transient(errDown)
		}
		if until, err := g.admitClientLocked(q); err != nil {
			return until, err
		}
	}
	if at := g.reserveLocked(q); !q.Now.Reached(at) {
		return at, nil
	}
	if g.limits.Concurrent > 0 && g.inFlight >= g.limits.Concurrent {
		return g.vacancyLocked(q), nil
	}
	g.breaker.begin()
	g.inFlight++
	return moment.Instant{}, nil
}

// vacancyLocked returns when it is worth asking again because a request in flight may
// be over: for the crowd, when those before have had theirs.
func (g *Gate) vacancyLocked(q Request) moment.Instant {
	each := max(g.latency/time.Duration(g.limits.Concurrent), 50*time.Millisecond)
	if q.Urgent {
		return q.Now.Add(each)
	}
	g.nextVacancy = g.nextVacancy.And(q.Now).Add(each)
	return g.nextVacancy
}

// reserveLocked gives out times to begin, one after the other. With a rate, callers
// who wait while a crowd has its turn share a fifth of it; without one they do not
// wait at all.
func (g *Gate) reserveLocked(q Request) moment.Instant {
	next, gap, burst := &g.nextFree, q.Window/time.Duration(max(g.sessions, 1)), g.burst
	switch {
	case q.Reserved:
		return q.Now
	case g.limits.Rate <= 0 && q.Urgent:
		return q.Now
	case g.limits.Rate > 0:
		each := float64(time.Second) / g.limits.Rate
		gap, burst = time.Duration(each*crowdShare), 1
		if q.Urgent && !q.Now.Reached(g.nextFree) {
			next, gap = &g.nextUrgent, time.Duration(each*callersShare)
		}
	}
	at := next.And(q.Now.Add(-time.Duration(burst-1) * gap))
	*next = at.Add(gap)
	return at
}

// Of a rate, a crowd gets four fifths and callers who wait the last.
const crowdShare, callersShare = 1.25, 5

// Release ends a request that was admitted.
func (g *Gate) Release(configID string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	g.breaker.probing = false
	if c := g.clients[configID]; c != nil {
		c.probing = false
	}
}

// An Attempt is a request that has come to its end.
type Attempt struct {
	ConfigID string
	Err      error // nil: a session was renewed
	Begun    moment.Instant
	Now      moment.Instant
	Interval time.Duration // the check interval
	Jitter   float64
}

// Note notes how an attempt ended, and returns what other processes should know.
func (g *Gate) Note(a Attempt) (n Notice) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.Err == nil {
		g.done++
		n = g.succeedLocked(a.ConfigID, a.Now)
	} else {
		g.failed++
		if failure.Verdict(a.Err) == oauth.VerdictEnded {
			n.accepted = g.acceptLocked(a.ConfigID)
		}
	}
	if failure.Outage(a.Err) {
		g.breaker.fail(a)
		if g.sessions > 1 && g.breaker.open() {
			n.down = g.breaker.probeAt.Wall()
		}
	} else {
		g.breaker.failures = 0
		g.latency = max(a.Now.Since(a.Begun), g.latency-g.latency/8)
	}
	if at := failure.RetryAt(a.Err); !at.IsZero() && failure.Busy(a.Err) {
		g.notBefore = g.notBefore.And(a.Now.At(at))
		n.notBefore = at
	}
	return n
}

// succeedLocked notes that a session was renewed.
func (g *Gate) succeedLocked(configID string, now moment.Instant) Notice {
	g.renewed = now
	if g.refusals.many {
		g.epoch++
	}
	g.refusals = streak{}
	return Notice{accepted: g.acceptLocked(configID)}
}

// Refuse notes a refusal of a session without a clear word, and reports whether others
// are refused alike: then nothing follows for any of them.
func (g *Gate) Refuse(session string) (alike bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refusals.add(session)
	return g.refusals.many
}

// TellRefusals reports, once until the next success, that the program is to be told
// that all sessions are refused alike.
func (g *Gate) TellRefusals() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refusals.tell()
}

// A streak is what the sessions of a server have met since one of them was renewed
// last: one alone in its misfortune, or many alike.
type streak struct {
	first string // session; "" if there is none
	many  bool
	told  bool
}

// add notes a session.
func (s *streak) add(session string) {
	switch s.first {
	case "":
		s.first = session
	case session:
	default:
		s.many = true
	}
}

// tell reports, once, that the program is to be told.
func (s *streak) tell() bool {
	first := !s.told
	s.told = true
	return first
}

// Stats are a gate's figures, for refresh.ServerStats.
type Stats struct {
	Name               string
	Sessions, InFlight int
	Done, Failed       uint64
	Latency            time.Duration
	Down               bool
	NotBefore          time.Time
}

// Stats returns the figures at a moment.
func (g *Gate) Stats(now moment.Instant) Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Stats{
		Name: g.name, Sessions: g.sessions, InFlight: g.inFlight,
		Done: g.done, Failed: g.failed, Latency: g.latency,
		Down: g.sessions > 1 && g.breaker.open(),
	}
	if !now.Reached(g.notBefore) {
		s.NotBefore = g.notBefore.Wall()
	}
	return s
}
