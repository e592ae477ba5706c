package session

import (
	"context"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
)

// Look looks at clock and Store, does what is due, and returns when to look again at
// the latest. seen is what the Store has just said of the record, nil if it was not
// asked. renew is called with what is wanted if a renewal is due. The caller has the
// turn.
func (s *Session) Look(ctx context.Context, seen *Stamp, renew func(Want)) (next moment.Instant) {
	s.lookAgain = moment.Instant{}
	tried := s.retrySave(ctx)
	switch err := s.lookIfChanged(ctx, seen); {
	case err != nil:
		s.cfg.Logger.Warn("saved session cannot be read", "session", s.name, "error", err)
		if s.cfg.Reach.Probes(s.now(), schedule.StoreTimeout) {
			s.lookAgain = s.now().Add(schedule.StoreTimeout)
		}
	case !tried:
		s.saveNow(ctx)
	default:
		s.retrySave(ctx) // what was found may be an old copy
	}
	s.announceEnd()
	s.hearOfClient(ctx)
	if s.unread() && !s.cfg.Follower {
		_ = s.stillUnread() // by what an earlier process has noted
	}
	if due := s.attention(); !due.IsZero() && s.now().Reached(due) {
		renew(Want{Stale: s.cur.Load()})
	}
	if !s.doubt.old.IsZero() && !s.now().Reached(s.doubt.holds(s.cfg)) {
		s.lookAgain = s.now().Add(schedule.StoreTimeout) // an outage that others meet is not to be missed here
	}
	return s.NextLook()
}

// Hears returns what a notice that has told of a version tells of the Store: if this session has
// written that version itself, that all is as it is known here. The caller has the turn.
func (s *Session) Hears(told Stamp) *Stamp {
	if s.rec != nil && slices.Contains(s.written[:], told.Value) {
		told.Value = s.rec.Version
	}
	return &told
}

// NextLook returns when to look again at the latest. The caller has the turn.
func (s *Session) NextLook() moment.Instant {
	return s.now().Add(s.cfg.CheckInterval).Or(s.attention()).Or(s.state.Load().saveAt).Or(s.lookAgain)
}

// Adopt looks at the Store and takes over what other processes have changed there. The
// caller has the turn.
func (s *Session) Adopt(ctx context.Context) error { return s.look(ctx) }

// News looks at the Store for what has taken the place of refused, which is the token of
// a resource, and reports whether there is something. If not, more says that another
// process has just announced a renewal. The caller has the turn.
func (s *Session) News(ctx context.Context, resource string, refused *snapshot.Snapshot) (news, more bool) {
	_ = s.lookIfChanged(ctx, nil)
	if cur, now := s.currentFor(resource), s.now(); !cur.Same(refused) {
		return cur.Alive(now), false
	}
	if s.rec == nil || !s.rec.Pending.On(s.rec.Tokens.RefreshToken) {
		return false, false
	}
	const recent = 5 * time.Second // by clocks that may be a little apart
	ours := s.state.Load().Failures > 0 && !s.cfg.Follower
	return false, !ours && s.now().Wall().Sub(s.rec.Pending.At).Abs() < recent
}

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
	if cur == nil || cur.Ending.IsZero() || s.now().Wall().Before(cur.EndingAt(s.now())) || s.announced(cur) {
		return
	}
	s.notified = cur.Pair.RefreshExpiresAt
	s.host.Emit(Event{Kind: EventRefreshTokenEnding})
}

func (s *Session) announced(cur *snapshot.Snapshot) bool {
	return s.notified.Equal(cur.Pair.RefreshExpiresAt)
}
