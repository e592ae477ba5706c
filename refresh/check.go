package refresh

import (
	"time"

	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// check looks at clock and Store, does what is due, and returns when to look
// again. Timers only wake; the wall clock decides here. If somebody else changes
// the session just now, the look is left out: who does so makes up for it when done.
func (m *Manager) check(r *run) time.Time {
	at, seen, ok := m.glance(r)
	if ok {
		return at
	}
	c := m.hold()
	defer c.release()
	at = c.check(r, seen)
	c.cooled()
	if c.unused() {
		go m.pool.dropIdle(m)
	}
	return at
}

// check looks properly. seen is what the Store has just said of the record, nil if it
// was not asked.
func (m *managed) check(r *run, seen *stamp) (next time.Time) {
	m.leftOut.Store(true) // before the try: whoever has the turn will see it then
	next = m.now().Add(m.cfg.CheckInterval)
	m.tryTurn(func() {
		m.leftOut.Store(false)
		ctx := r.background()
		m.retrySave(ctx)
		if err := m.lookIfChanged(ctx, seen); err != nil {
			m.cfg.Logger.Warn("saved session cannot be read", "session", m.session, "error", err)
		}
		m.announceEnd()
		m.hearOfClient(ctx)
		if m.unread() && !m.cfg.Follower {
			_ = m.stillUnread() // by what an earlier manager has noted
		}
		if due := m.attention(); !due.IsZero() && remaining(m.now(), due) <= 0 {
			m.flyHere(want{stale: m.cur.Load()})
		}
		next = m.nextLook()
	})
	m.emit(Event{Kind: EventChecked})
	return next
}

// nextLook returns when to look again at the latest. The caller has the turn.
func (m *managed) nextLook() time.Time {
	return schedule.NextWake(m.now(), m.cfg.CheckInterval, m.attention(), m.state.Load().saveAt)
}

// attention returns when to refresh, or zero if there is nothing to wait for.
// The caller has the turn.
func (m *managed) attention() time.Time {
	s, h, now := m.cur.Load(), m.state.Load(), m.now()
	if s == nil && !m.empty() || h.ended() {
		return time.Time{}
	}
	// What somebody wanted before its time is not given up either.
	switch {
	case m.unread():
		return time.Time{}
	case m.lost(), h.failures > 0:
	case m.idle():
		return time.Time{}
	case s != nil && !s.isDue(now):
		return s.dueAt(now)
	}
	return later(later(later(now, m.nextOwn(h)), m.asksElsewhere()), m.deferred)
}

// announceEnd tells once that the refresh token's end comes near.
func (m *managed) announceEnd() {
	s := m.cur.Load()
	if s == nil || s.ending.IsZero() || m.now().Before(s.ending) || m.announced(s) {
		return
	}
	m.notified = s.pair.RefreshExpiresAt
	m.emit(Event{Kind: EventRefreshTokenEnding})
}

func (m *managed) announced(s *snapshot) bool { return m.notified.Equal(s.pair.RefreshExpiresAt) }
