package engine

import (
	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/dormant"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/session"
)

// look looks at clock and Store, does what is due, and returns when to look again. If
// another caller changes the session just now, the look is left out: that caller makes
// up for it when done.
func (m *Member) look(r *run) moment.Instant {
	at, seen, ok := m.glance(r)
	if ok {
		return at
	}
	c := m.hold()
	defer m.release(c)
	at = m.lookAwake(c, r, seen)
	m.mu.Lock()
	c.warm = max(c.warm-1, 0)
	unused := m.retires() && c.users == 1 && c.warm == 0 && m.Now().Reached(c.used.Add(m.engine.opts.IdleAfter)) && m.quietLocked(c)
	m.mu.Unlock()
	if unused {
		go m.engine.retire(m)
	}
	return at
}

// lookAwake is look for a session that is awake. seen is what the Store has just said
// of the record, nil if it was not asked.
func (m *Member) lookAwake(c *awake, r *run, seen *session.Stamp) (next moment.Instant) {
	c.leftOut.Store(true) // before the try: the turn's holder will see it then
	next = m.Now().Add(m.cfg.Session.CheckInterval)
	c.session.TryTurn(func() {
		c.leftOut.Store(false)
		next = c.session.Look(r.background(), seen, func(w session.Want) {
			if f, r, _ := m.join(c, w); r != nil { // else a flight waits for the turn, and does it
				m.land(c, f, c.session.Renew(f.ctx, r, w))
				r.landing.Done()
			}
		})
	})
	m.Emit(session.Event{Kind: session.EventChecked})
	return next
}

// glance looks at a dormant session and returns when to look again. It reports false
// if the session is awake, or has to be woken for a proper look, and then what the Store
// said of the record, if it was asked.
func (m *Member) glance(r *run) (at moment.Instant, seen *session.Stamp, ok bool) {
	m.mu.Lock()
	packed, awake := m.packed, m.awake
	m.mu.Unlock()
	if awake != nil {
		return at, nil, false
	}
	cfg, o, now := m.cfg.Session, dormant.Outlook(packed), m.Now()
	if now.Reached(o.Due) || o.Magnitude != cfg.Gate.Magnitude() {
		return at, nil, false
	}
	wait := min(now.Until(o.Due), schedule.MaxLife)
	if cfg.Store != nil {
		if current := cfg.ReadStamp(r.background(), m.name); !current.Known || current != o.Stamp {
			said := current // not every look is to cost memory
			return at, &said, false
		}
		interval := cfg.CheckInterval
		if m.cfg.Watched && m.engine.watching.Load() {
			interval *= rarely
		}
		wait = min(wait, interval)
	}
	return now.Add(wait), nil, true
}

// retires reports whether the engine may forget the session when no caller uses it.
func (m *Member) retires() bool { return m.cfg.Retire && m.engine.opts.IdleAfter > 0 }
