package refresh

import (
	"math"
	"time"

	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// A session of a pool that nobody works on is at rest: all there is of it in
// memory is its Manager, its run and one string. It wakes when it is due, when the
// Store has news, or when somebody asks for its token.

// hold returns the session, awake until release is called as often.
func (m *Manager) hold() *managed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.holdLocked()
}

func (m *Manager) holdLocked() *managed {
	if m.awake == nil {
		c, s := m.unpack(m.rest)
		m.awake, m.rest = c, ""
		m.cur.Store(s)
	}
	m.awake.users++
	return m.awake
}

// warmFor is how many looks a session stays awake for after its token was asked
// for. Handing out a token leaves no trace, so a session in use is laid to rest
// now and then as well, which costs it a microsecond.
const warmFor = 2

// use is hold for somebody who asks for the token.
func (m *Manager) use() *managed {
	m.mu.Lock()
	woken := m.awake == nil
	c := m.holdLocked()
	r := m.run
	if woken {
		c.warm = warmFor
	}
	c.used = m.now()
	m.mu.Unlock()
	if woken && r != nil {
		r.queue.Advance(r, m.instant(m.now().Add(m.cfg.CheckInterval))) // to rest again
	}
	return c
}

// release lets the session rest when nobody holds it any more.
func (m *managed) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users--; m.users > 0 || m.warm > 0 || !m.rests() || !m.quiet() {
		return
	}
	m.rest = m.pack()
	m.awake = nil
	m.cur.Store(nil)
	if r := m.run; r != nil && r.pool != nil && r.live != nil && r.live.unhook == nil {
		r.live = nil
	}
}

// restAlone lets managers that stand alone rest too. Tests set it, so that all that
// a manager promises is also tested of sessions at rest.
var restAlone = false

// rests reports whether a session may rest: a crowd of them has to.
func (m *Manager) rests() bool {
	return m.pool != nil || restAlone || m.cfg.Renewal == RenewOnUse // rest is how use is told
}

// cooled notes that a look is over.
func (m *managed) cooled() {
	m.mu.Lock()
	m.warm = max(m.warm-1, 0)
	m.mu.Unlock()
}

// quiet reports whether nothing is under way with the session, and nothing known
// about it, that is lost when it rests. Nobody holds it.
func (m *managed) quiet() bool {
	h, s := m.state.Load(), m.cur.Load()
	if *h != (health{state: StateValid, renewed: h.renewed}) || s == nil || m.wants(s) {
		return false
	}
	rec := m.rec
	if rec == nil || rec.Pending != nil || rec.Refused != nil || rec.Dead != nil || rec.Tokens.IDTokenError != nil {
		return false
	}
	if m.unsaved != (unsaved{}) || m.kept != nil || m.unchecked.err != nil || m.account == nil || differs(m.account, rec.Tokens) {
		return false
	}
	if until := m.distrust.Load(); until != nil && remaining(m.now(), *until) > 0 {
		return false
	}
	return len(m.flights) == 0 && len(m.resources) == 0 && (m.stepUp.scopes == nil || m.stepUp.generation != m.generation)
}

// wants reports whether the session wants to be renewed now.
func (m *managed) wants(s *snapshot) bool {
	if m.cfg.onDemand() {
		return false // it was not asked for
	}
	return !s.alive(m.now()) || s.isDue(m.now()) && m.deferred.IsZero()
}

// droppable reports whether the pool may forget the session when nobody uses it.
func (m *Manager) droppable() bool {
	return m.pool != nil && m.pool.idleAfter > 0 && m.cfg.Store != nil && m.cfg.onDemand()
}

// unused reports whether it is time for that. Nobody but the caller holds it.
func (m *managed) unused() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.droppable() && m.users == 1 && m.warm == 0 && remaining(m.now(), m.used.Add(m.pool.idleAfter)) <= 0 && m.quiet()
}

// view returns how the session is, without waking it.
func (m *Manager) view() (*snapshot, *health) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.awake; c != nil {
		return m.cur.Load(), c.state.Load()
	}
	c, s := m.unpack(m.rest)
	return s, c.state.Load()
}

// A stamp is what the Store said of the record when it was read last.
type stamp struct {
	value uint64
	known bool
}

// An outlook is what a look needs to know of a session at rest. Its times are
// those of a snapshot, by both witnesses: nanoseconds since 1970, and since
// epoch by the clock that nobody sets. What never comes is far away.
type outlook struct {
	dueWall, dueElapsed int64
	stamp               stamp
	crowd               uint8 // server.size, as the plan takes it into account
}

const never = math.MaxInt64

func (m *managed) outlook(s *snapshot) outlook {
	now := m.now()
	o := outlook{dueWall: never, dueElapsed: never, stamp: m.stamp, crowd: m.cfg.server.size()}
	plan := func(wall, next time.Time) {
		if !wall.IsZero() && wall.Sub(now) < schedule.MaxLife {
			o.dueWall = min(o.dueWall, wall.UnixNano())
			o.dueElapsed = min(o.dueElapsed, elapsed(now)+int64(next.Sub(now.Round(0))))
		}
	}
	switch {
	case m.cfg.onDemand():
		if m.droppable() {
			in := m.used.Add(m.pool.idleAfter).Sub(now)
			plan(now.Round(0).Add(in), now.Round(0).Add(in))
		}
	case m.deferred.IsZero() || !s.isDue(now):
		plan(s.due, s.dueAt(now))
	default:
		plan(m.deferred.Round(0), now.Round(0).Add(m.deferred.Sub(now)))
	}
	if !m.announced(s) {
		plan(s.ending, s.ending)
	}
	return o
}

// untilDue is how long it is until the session wants attention.
func (o outlook) untilDue(now time.Time) time.Duration {
	return time.Duration(min(o.dueWall-now.UnixNano(), o.dueElapsed-elapsed(now)))
}

// glance looks at a session at rest and returns when to look again. It reports
// false if the session is awake, or has to be woken for a proper look, and then
// what the Store said of the record, if it was asked.
func (m *Manager) glance(r *run) (at time.Time, seen *stamp, ok bool) {
	m.mu.Lock()
	rest, awake := m.rest, m.awake
	m.mu.Unlock()
	if awake != nil {
		return at, nil, false
	}
	o, now := unpackOutlook(rest), m.now()
	wait := o.untilDue(now)
	if wait <= 0 || o.crowd != m.cfg.server.size() {
		return at, nil, false
	}
	if m.cfg.Store != nil {
		if current := m.readStamp(r.background()); !current.known || current != o.stamp {
			said := current // not every look is to cost memory
			return at, &said, false
		}
		interval := m.cfg.CheckInterval
		if m.cfg.watching.Load() {
			interval *= rarely
		}
		wait = min(wait, interval)
	}
	return now.Add(min(wait, schedule.MaxLife)), nil, true
}

// restOf are the parts of a session that outlive its rest.
type restOf struct {
	outlook
	until      int64 // the snapshot's end by the clock that nobody sets; see outlook
	generation uint64
	used       time.Duration // since epoch
	renewed    time.Time
	notified   bool   // of the refresh token's end
	deferred   bool   // what is due is put off
	ticket     bool   // as in managed
	reported   string // as in managed
	rec        *tokenstore.Record
}

// pack returns the session as one string. Nobody holds it, and it is quiet.
func (m *managed) pack() string {
	s := m.cur.Load()
	return restOf{
		outlook:    m.outlook(s),
		until:      s.until,
		generation: m.generation,
		used:       time.Duration(elapsed(m.used)),
		renewed:    m.state.Load().renewed,
		notified:   m.announced(s),
		deferred:   !m.deferred.IsZero(),
		ticket:     m.ticket,
		reported:   m.reported,
		rec:        m.rec,
	}.pack(m.cfg.configID)
}

// unpack returns a session as it was when it was packed, and what its readers see.
func (m *Manager) unpack(packed string) (*managed, *snapshot) {
	rest, now := unpackRest(packed, m.cfg.configID), m.now()
	c := newManaged(m)
	c.rec, c.account = rest.rec, rest.rec.Tokens
	c.used = now.Add(rest.used - time.Duration(elapsed(now)))
	c.generation, c.stamp, c.reported = rest.generation, rest.stamp, rest.reported
	c.state.Store(&health{state: StateValid, renewed: rest.renewed})
	if rest.deferred {
		c.deferred, c.ticket = now.Add(time.Duration(rest.dueElapsed-elapsed(now))), rest.ticket
	}
	if rest.notified {
		c.notified = rest.rec.Tokens.RefreshExpiresAt
	}
	s := newSnapshot(rest.rec.Tokens, m.timing(rest.rec.Tokens), now)
	s.generation = rest.generation
	s.until = min(s.until, rest.until)
	return c, s
}
