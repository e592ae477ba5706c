package session

import (
	"context"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
)

// Look looks at clock and Store, does what is due, and returns when to look again at
// the latest. seen is what the Store has just said of the record, nil if it was not
// asked. renew is called with what is wanted if a renewal is due. The caller has the
// turn.
func (s *Session) Look(ctx context.Context, seen *Stamp, renew func(Want)) (next moment.Instant) {
	s.retrySave(ctx)
	if err := s.lookIfChanged(ctx, seen); err != nil {
		s.cfg.Logger.Warn("saved session cannot be read", "session", s.name, "error", err)
	}
	s.announceEnd()
	s.hearOfClient(ctx)
	if s.unread() && !s.cfg.Follower {
		_ = s.stillUnread() // by what an earlier process has noted
	}
	if due := s.attention(); !due.IsZero() && s.now().Reached(due) {
		renew(Want{Stale: s.cur.Load()})
	}
	return s.NextLook()
}

// NextLook returns when to look again at the latest. The caller has the turn.
func (s *Session) NextLook() moment.Instant {
	return s.now().Add(s.cfg.CheckInterval).Or(s.attention()).Or(s.state.Load().saveAt)
}

// Adopt looks at the Store and takes over what other processes have changed there. The
// caller has the turn.
func (s *Session) Adopt(ctx context.Context) error { return s.look(ctx) }

// attention returns when to refresh, or zero if there is nothing to wait for.
func (s *Session) attention() moment.Instant {
	cur, h, now := s.cur.Load(), s.state.Load(), s.now()
	if cur == nil && !s.empty() || h.Ended() {
		return moment.Instant{}
	}
	// What a caller wanted before its time is not given up either.
	switch {
	case s.unread():
		return moment.Instant{}
	case s.lost(), h.Failures > 0:
	case s.idle():
		return moment.Instant{}
	case cur != nil && !cur.IsDue(now):
		return now.At(cur.DueAt(now))
	}
	return now.And(s.nextOwn(h)).And(s.asksElsewhere()).And(s.deferred)
}

// idle reports whether the session is not to be renewed before a caller asks for its
// token.
func (s *Session) idle() bool { return s.cfg.Paused || s.cfg.OnDemand && !s.host.InUse() }

// announceEnd tells once that the refresh token's end comes near.
func (s *Session) announceEnd() {
	cur := s.cur.Load()
	if cur == nil || cur.Ending.IsZero() || s.now().Wall().Before(cur.Ending) || s.announced(cur) {
		return
	}
	s.notified = cur.Pair.RefreshExpiresAt
	s.host.Emit(Event{Kind: EventRefreshTokenEnding})
}

func (s *Session) announced(cur *snapshot.Snapshot) bool {
	return s.notified.Equal(cur.Pair.RefreshExpiresAt)
}
