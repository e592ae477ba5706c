// Package gate bounds what one authorization server is asked by all of its sessions: how
// many requests are in flight, how fast the next may follow, whether the server answers
// at all (a circuit breaker), whether it accepts the client (another one for each
// configuration), and until when it wants to be left alone by all (Retry-After). Processes
// that share a Store tell each other what they learn, by a record of the server, and share
// the few requests that find out whether it is back.
package gate

import (
	"maps"
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
	burst  int  // how many may begin at once where no rate is set
	lone   bool // there will never be a second session

	reading chan struct{} // held (by sending) by the caller that reads what other processes say

	mu           sync.Mutex // guards the fields below
	sessions     int
	wait         wait           // Retry-After
	asked        moment.Kept    // what the Store says of it,
	down         moment.Kept    // of the server being down,
	refused      moment.Kept    // and of a client that is refused
	reads        moment.Instant // when the Store was asked last what other processes say
	looked       moment.Instant // when it was looked at last for what they say of trouble
	breaker      breaker
	answered     moment.Instant // when it answered last
	well         moment.Instant // when a request began last that renewed a session
	asking       moment.Instant // when the first request began of those in flight, or since it answered,
	begun        moment.Instant // and when the last one did
	back         chan struct{}  // see Back; nil: no session waits
	mine         time.Time      // when a request of this process began that it told the others of last
	shared       bool           // the Store says that the server is in trouble
	nextFree     moment.Instant // when the next request may begin
	nextUrgent   moment.Instant // when the next one with a caller may, while a crowd waits
	nextVacancy  moment.Instant // when one of the requests in flight may be over for the next
	latency      time.Duration
	renewed      moment.Instant // when a session was, last, by any process that is known of
	refusals     streak         // without a clear word
	clients      map[string]*client
	epoch        uint64 // see Epoch
	inFlight     int
	done, failed uint64
	due          map[int64]int // how many sessions are due in a dueSpan, by its number; see Expect
	dueLimit     int           // spans after which those that are over are forgotten
}

// New returns the gate of a server. name tells servers apart, for people and for
// other processes; it may be empty. Without a rate, burst requests may begin at once.
func New(name string, limits Limits, burst int) *Gate {
	return &Gate{name: name, limits: limits, burst: burst, reading: make(chan struct{}, 1)}
}

// Lone returns the gate of a server for a session that stays without others.
func Lone(name string, burst int) *Gate {
	g := New(name, Limits{}, burst)
	g.lone = true
	return g
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

// Leave takes a session away. What the last one has met is not held against the next.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions--; g.sessions == 0 {
		g.breaker = breaker{begun: g.breaker.begun}
	}
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
	if g.limits.Rate <= 0 {
		return 0
	}
	return uint8(bits.Len(uint(max(g.sessions-1, 0))))
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

// Expect notes that a new pair of a session is due to be renewed at a time.
func (g *Gate) Expect(due, now time.Time) {
	if due.IsZero() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.due) >= g.dueLimit {
		over := spanOf(now.Add(-time.Hour))
		maps.DeleteFunc(g.due, func(span int64, _ int) bool { return span < over })
		g.dueLimit = 2*len(g.due) + 64
	}
	if g.due == nil {
		g.due = make(map[int64]int)
	}
	g.due[spanOf(due)]++
}

// Crowded reports whether so many sessions are due about a time that they had better be
// spread over a while before it: more than may begin at once, and twice as many as if all
// sessions of the server were spread evenly over that while.
func (g *Gate) Crowded(due time.Time, while time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.due[spanOf(due)]
	return n > g.burst && float64(n)*float64(while) > 2*float64(g.sessions)*float64(dueSpan)
}

// dueSpan is the time in which sessions count as due at once.
const dueSpan = 10 * time.Second

func spanOf(t time.Time) int64 { return t.Unix() / int64(dueSpan/time.Second) }

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
	Dies     moment.Instant // when the session's token does; zero: it is dead, or does not
	Urgent   bool           // a caller waits for it
	Lost     bool           // the answer to the last one was lost: it can be had again only soon
	Insist   bool           // the program asks for it
	Refused  bool           // the session was refused before, in words that may be about it
	Reserved bool           // it waited until an earlier Admit said
	Shared   bool           // other processes may ask the server, too: see Claim
	Window   time.Duration  // in which all sessions would have their turn, if they were due now
	Jitter   float64        // in [0,1)

	admitted bool          // it is in flight
	latency  time.Duration // of the server
}

// lastChance reports whether a session's token dies so soon that a request that begins at
// a time is the last one before.
func (q Request) lastChance(begins moment.Instant) bool {
	return !q.Dies.IsZero() && !begins.IsZero() && q.Dies.Since(begins) <= schedule.LastSecond(q.latency)
}

// Admit returns zero if the request may begin; then Release is to be called in the end.
// Otherwise it returns when to ask again. An error says that the server cannot be
// asked at all until then. If the server is in trouble, a Shared request has to be
// claimed, too.
func (g *Gate) Admit(q Request) (until moment.Instant, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until, err := g.admitLocked(q); err != nil {
		return until, err
	}
	if at := g.reserveLocked(q); !q.Now.Reached(at) {
		return at, nil
	}
	if at := g.cautiousLocked(q); !q.Now.Reached(at) {
		return at, nil
	}
	if g.limits.Concurrent > 0 && g.inFlight >= g.limits.Concurrent {
		return g.vacancyLocked(q), nil
	}
	g.beginLocked(q)
	g.inFlight++
	if c := g.clients[q.ConfigID]; c != nil && c.open {
		if c.probing = q.Session; !q.Refused {
			c.outsiderAt = q.Now.Add(outsiders)
		}
	}
	return moment.Instant{}, nil
}

// Again is Admit for another request of one that was admitted: without an error it may
// begin.
func (g *Gate) Again(q Request) (until moment.Instant, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.admitted = true
	if until, err := g.admitLocked(q); err != nil {
		return until, err
	}
	g.beginLocked(q)
	return moment.Instant{}, nil
}

// Forbids returns an error, and when to ask Admit, if the server cannot be asked now.
func (g *Gate) Forbids(q Request) (until moment.Instant, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.admitLocked(q)
}

// beginLocked notes that a request begins, unless it is to be claimed first.
func (g *Gate) beginLocked(q Request) {
	if q.Shared && g.troubledLocked(q.Now) {
		return
	}
	if g.asking.IsZero() {
		g.asking = q.Now
	}
	g.begun = q.Now
	g.breaker.begin(q)
	g.wait.begin(q)
}

// admitLocked is Admit as far as the server's troubles are concerned.
func (g *Gate) admitLocked(q Request) (until moment.Instant, err error) {
	q.latency = g.latency
	if g.sessions <= 1 && q.Insist {
		return until, nil // its own backoff is all there is, and this goes before it
	}
	if until, ok := g.wait.admits(q); !ok {
		return until, failure.AskedToWait(g.wait.until.Wall())
	}
	if until, ok := g.breakerAdmitsLocked(q); !ok {
		return until, failure.Transient(errDown)
	}
	if g.sessions <= 1 {
		return until, nil
	}
	return g.admitClientLocked(q)
}

// cautiousLocked keeps a server that may be down from hearing of all sessions at once:
// while it has not answered lately, few requests are in flight, and one more every
// second. Others wait for the first answer, and look for it again and again.
func (g *Gate) cautiousLocked(q Request) moment.Instant {
	if g.sessions <= 1 || g.inFlight < openAfter || !g.answered.IsZero() && q.Now.Since(g.answered) < q.Interval {
		return q.Now
	}
	next, look := g.begun.Add(schedule.ProbePause), max(q.Now.Since(g.asking)/4, 10*time.Millisecond)
	if q.Urgent || q.Lost || q.lastChance(q.Now) {
		look = min(look, lastLook)
	}
	if q.Now.Reached(next) {
		return q.Now
	}
	return q.Now.Add(look)
}

// vacancy is how soon a request in flight may be over.
const vacancy = 50 * time.Millisecond

// vacancyLocked returns when it is worth asking again because a request in flight may
// be over: for the crowd, when those before have had theirs.
func (g *Gate) vacancyLocked(q Request) moment.Instant {
	each := max(g.latency/time.Duration(g.limits.Concurrent), vacancy)
	if q.Urgent || q.Lost {
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
	case g.limits.Rate <= 0 && (q.Urgent || q.Lost):
		return q.Now
	case g.limits.Rate > 0:
		each := float64(time.Second) / g.limits.Rate
		gap, burst = time.Duration(each*crowdShare), 1
		if (q.Urgent || q.Lost) && !q.Now.Reached(g.nextFree) {
			next, gap = &g.nextUrgent, time.Duration(each*callersShare)
		}
	}
	at := next.And(q.Now.Add(-time.Duration(burst-1) * gap))
	*next = at.Add(gap)
	return at
}

// Of a rate, a crowd gets four fifths and callers who wait the last.
const crowdShare, callersShare = 1.25, 5

// Release ends a request of a session that was admitted.
func (g *Gate) Release(configID, session string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inFlight--; g.inFlight == 0 {
		g.asking = moment.Instant{}
	}
	if c := g.clients[configID]; c != nil && c.probing == session {
		c.probing = ""
	}
}

// An Attempt is a request that has come to its end, or goes on without an answer.
type Attempt struct {
	Session, ConfigID string

	Err      error // nil: the session was renewed
	Begun    moment.Instant
	Now      moment.Instant
	Interval time.Duration // the check interval
	Jitter   float64       // in [0,1)
}

// Note notes how an attempt ended, and returns what other processes should know.
func (g *Gate) Note(a Attempt) (n Notice) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.Err == nil {
		g.done++
		g.well = a.Begun
		n.accepted = g.succeedLocked(a.ConfigID, a.Now)
	} else {
		g.failed++
		if failure.Verdict(a.Err) == oauth.VerdictEnded {
			n.accepted = g.acceptLocked(a.ConfigID)
		}
	}
	all, busy := g.wait.heed(a), a.Err != nil && failure.Busy(a.Err)
	switch {
	case failure.Outage(a.Err), busy && g.breaker.busy != a.Session:
		g.breaker.fail(a)
	case busy:
	default:
		g.latency = max(a.Now.Since(a.Begun), g.latency-g.latency/8)
		g.answered, g.asking = a.Now, moment.Instant{}
		g.answeredLocked(a)
	}
	g.tellLocked(&n, a, all)
	return n
}

// tellLocked completes what other processes are told after an attempt: of an outage only
// once, as Claim does after that.
func (g *Gate) tellLocked(n *Notice, a Attempt, all bool) {
	if all {
		n.asked = moment.Wait{Written: a.Now.Wall(), Until: failure.RetryAt(a.Err, a.Now.Wall()).Round(0)}
		g.asked.End(n.asked, a.Now)
	}
	trouble := g.troubledLocked(a.Now)
	switch {
	case g.breaker.failures > 0 && !g.shared:
		n.down = g.downLocked(a.Begun)
	case g.shared && !trouble:
		n.back, g.shared = true, false
	}
}

// troubledLocked is Troubled.
func (g *Gate) troubledLocked(now moment.Instant) bool {
	return g.breaker.failures > 0 || !now.Reached(g.wait.until)
}

// downLocked is what other processes are to know of a server that did not answer a
// request that began at a moment, or may not answer it. No other process is to try by
// itself before this one has done so again.
func (g *Gate) downLocked(begun moment.Instant) moment.Wait {
	g.mine = begun.Wall()
	w := moment.Wait{Written: begun.Wall(), Until: g.breaker.probeAt.And(begun).Add(3 * schedule.ProbePause).Wall()}
	g.down.End(w, begun)
	return w
}

// succeedLocked notes that a session was renewed, and reports whether other processes
// have to hear that the client is accepted.
func (g *Gate) succeedLocked(configID string, now moment.Instant) (accepted bool) {
	g.renewed = now
	g.endRefusalsLocked()
	return g.acceptLocked(configID)
}

// endRefusalsLocked notes that what sessions were refused for is over.
func (g *Gate) endRefusalsLocked() {
	if g.refusals.many || g.refusals.unsure {
		g.epoch++
	}
	g.refusals = streak{}
}

// HearOfRenewal notes when a session was renewed by another process, or an earlier one. It
// ends what was met here before that.
func (g *Gate) HearOfRenewal(configID string, at moment.Instant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.renewed.IsZero() && !at.After(g.renewed) {
		return
	}
	g.renewed = at
	if g.refusals.first != "" && at.After(g.refusals.last) {
		g.endRefusalsLocked()
	}
	if c := g.clients[configID]; c != nil && at.After(c.last.And(c.failed)) {
		g.acceptLocked(configID)
	}
}

// Renewed returns when a session was renewed last; zero if that is not known.
func (g *Gate) Renewed() moment.Instant {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.renewed
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
	if !now.Reached(g.wait.until) {
		s.NotBefore = g.wait.until.Wall()
	}
	return s
}
