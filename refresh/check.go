package refresh

import (
	"context"
	"time"
)

// check looks at clock and Store, does what is due, and returns when to look
// again. Timers only wake; the wall clock decides here.
func (m *Manager) check(r *run) time.Time {
	ctx := context.WithoutCancel(r.ctx)
	pending := false
	had := m.tryTurn(func() {
		m.retrySave(ctx)
		if err := m.look(ctx); err != nil {
			m.cfg.Logger.Warn("saved session cannot be read", "session", m.cfg.Session, "error", err)
		}
		m.announceEnd()
		// A spend that nobody finished: its answer can be had again only soon.
		pending = m.rec != nil && m.rec.Pending.On(m.rec.Tokens.RefreshToken)
	})

	s, h, now := m.cur.Load(), m.state.Load(), m.now()
	var due time.Time
	if s != nil && !h.ended() {
		if due = s.dueAt(now); pending || h.failures > 0 {
			due = now // what somebody wanted before its time is not given up either
		}
	}
	if !due.IsZero() && !now.Before(due) {
		if due = h.next; remaining(now, due) <= 0 {
			_, _ = m.fly(want{stale: s}) // its landing wakes us
			due = time.Time{}
		}
	}
	var saveAt time.Time
	if had { // otherwise a flight is under way, and its landing wakes us
		saveAt = m.state.Load().saveAt
	}
	m.emit(Event{Kind: EventChecked})
	return nextWake(now, m.cfg.CheckInterval, due, saveAt)
}

// announceEnd tells once that the refresh token's end comes near.
func (m *Manager) announceEnd() {
	s := m.cur.Load()
	if s == nil || s.ending.IsZero() || m.now().Before(s.ending) || m.notified.Equal(s.pair.RefreshExpiresAt) {
		return
	}
	m.notified = s.pair.RefreshExpiresAt
	m.emit(Event{Kind: EventRefreshTokenEnding})
}
