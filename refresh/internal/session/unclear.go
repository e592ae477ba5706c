package session

import (
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/internal/chance"
	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// This file is about refusals that do not say whether the session has ended. A dead
// refresh token is announced in many words, and so is a gateway's bad hour. Such a
// refusal ends nothing: the session is asked about at a falling rate for as long as it
// is kept, and the program is told when a login probably helps. All but the pure
// functions is called by the turn's holder.

const (
	// severalTimes is how often a refusal has to be heard before it is suspected to be
	// about the session.
	severalTimes = 3
	// lonely is the same as schedule.Slowly for a session without others to compare with whose
	// client is refused, which most likely says nothing about the session.
	lonely = 60
	// maxRefusalWait is how rarely a session is asked about in the end: some two dozen
	// requests a day.
	maxRefusalWait = time.Hour
)

// notes reports whether the record says since when, and how often, a verdict was given.
func notes(v oauth.Verdict) bool {
	return v == oauth.VerdictUnclear || v == oauth.VerdictClient || v == oauth.VerdictUnread
}

// codeUnread is the code of the mark on a refresh token that was answered with tokens
// where none are expected.
const codeUnread = "unread_answer"

// refusedSince returns the mark that says since when a record's refresh token is being
// refused under a configuration, or nil. What an earlier version took for a verdict,
// and is not one, is such a refusal.
func refusedSince(rec *tokenstore.Record, configID string) *tokenstore.Mark {
	token := rec.Tokens.RefreshToken
	if r := rec.Refused; r.On(token) && r.By == configID {
		return r
	}
	d := rec.Dead
	if !d.On(token) || d.Certain || oauth.EndsSession(d.Code) || rec.RefreshedBy != configID {
		return nil
	}
	return &tokenstore.Mark{Token: d.Token, At: d.At, Code: d.Code, Last: d.At, Count: severalTimes}
}

// refusedAgain returns the mark for another refusal of pair.
func (s *Session) refusedAgain(pair *oauth.TokenPair, err error, v oauth.Verdict) *tokenstore.Mark {
	now := s.now().Wall().UTC()
	mark := &tokenstore.Mark{
		Token: tokenstore.Fingerprint(pair.RefreshToken), At: now, Last: now, Count: 1,
		Code: failure.Code(err), By: s.cfg.ConfigID, Certain: v == oauth.VerdictEnded,
	}
	if v == oauth.VerdictUnread {
		mark.Code = codeUnread
	}
	old := refusedSince(s.rec, s.cfg.ConfigID)
	if old != nil && (old.Certain || !mark.Certain) {
		mark.At, mark.Count = old.At, old.Count+1
	}
	if old != nil && old.Code == codeUnread {
		mark.Code = codeUnread // it is spent, whatever is said of it since
	}
	return mark
}

// unread reports whether the session's refresh token was answered with tokens that
// this configuration cannot find.
func (s *Session) unread() bool {
	if s.rec == nil {
		return false
	}
	mark := refusedSince(s.rec, s.cfg.ConfigID)
	return mark != nil && mark.Code == codeUnread
}

// lasting is for how long the session has been failing, as far as the record or this
// manager knows.
func (s *Session) lasting() time.Duration {
	var lasted time.Duration
	if mark := refusedSince(s.rec, s.cfg.ConfigID); mark != nil {
		lasted = mark.Last.Sub(mark.At).Abs()
	}
	if since := s.state.Load().since; !since.IsZero() {
		lasted = max(lasted, s.now().Since(since))
	}
	return lasted
}

// suffer records a failure that is not over in a moment. A caller that waits for a
// token may have it tried four times as often as the falling rate is.
func (s *Session) suffer(state State, err error, lasted, limit time.Duration) {
	wait := schedule.FallingWait(lasted, s.cfg.CheckInterval, limit)
	wait -= time.Duration(float64(wait/10) * chance.Float64(s.cfg.Clock)) // sessions that fail together need not ask together
	epoch := s.cfg.Gate.Epoch()
	s.setHealth(func(h *Health) {
		h.fail(s.now(), err)
		h.State, h.epoch = state, epoch
		h.firm = h.failed.At(failure.RetryAt(err, h.failed.Wall()))
		h.Next, h.callers = h.failed.Add(wait).And(h.firm), h.failed.Add(wait/4)
	})
}

// unclear handles a refusal in words that do not decide. Under a status of the server's
// own trouble it is taken for that first.
func (s *Session) unclear(ctx context.Context, err error) error {
	err = undecided(err)
	limit := schedule.Slowly * s.cfg.CheckInterval
	lasts, while := s.lastingBeyond(limit), time.Duration(0)
	if lasts { // else nothing follows, however the others fare
		while = s.lookOn(limit)
	}
	others := s.cfg.Gate.Refuse(gate.Refusal{
		ConfigID: s.cfg.ConfigID, Session: s.name, Now: s.now(), Since: s.refusedAt(), Begun: s.begun, Seen: s.seen, While: while,
	})
	switch {
	case lasts && others == gate.OthersWell:
		return s.suspect(err)
	case lasts && others == gate.OthersAlike:
		s.tellAlike(err)
	case failure.ServerError(err):
		return s.failed(ctx, err)
	}
	state := StateRetrying
	if s.state.Load().State == StateSuspected {
		state = StateSuspected
	}
	return s.refusedOnce(err, state, maxRefusalWait)
}

// refusedOnce records a refusal that nothing follows from.
func (s *Session) refusedOnce(err error, state State, limit time.Duration) error {
	s.suffer(state, err, s.lasting(), limit)
	s.host.Emit(Event{Kind: EventRefreshFailed, Err: err, Next: s.state.Load().Next})
	return err
}

// lookOn is how long to look on for others whom the server may refuse too, of the time
// that suspicions take: not at all in a process that ends before others come.
func (s *Session) lookOn(limit time.Duration) time.Duration {
	if s.cfg.ShortLived && s.cfg.Gate.Alone() {
		return 0
	}
	return limit
}

// refusedAt is since when the session has been refused, by whichever process saw it.
func (s *Session) refusedAt() moment.Instant {
	if mark := refusedSince(s.rec, s.cfg.ConfigID); mark != nil {
		return s.now().At(mark.At)
	}
	return s.now() // the Store could not be written
}

// lastingBeyond reports whether the session has been refused several times and for
// longer than given, and has no living token any more.
func (s *Session) lastingBeyond(limit time.Duration) bool {
	mark := refusedSince(s.rec, s.cfg.ConfigID)
	return mark != nil && lasts(mark, limit) && !s.cur.Load().Alive(s.now())
}

// lasts reports whether a refusal was heard several times and over longer than limit.
func lasts(mark *tokenstore.Mark, limit time.Duration) bool {
	return mark.Count >= severalTimes && mark.Last.Sub(mark.At).Abs() > limit
}

// suspect tells the program, once, that a login probably helps. The session goes on.
func (s *Session) suspect(err error) error {
	err = failure.WithKind(err, oauth.ErrLoginRequired, suspicionOf(err))
	s.suffer(StateSuspected, err, s.lasting(), maxRefusalWait)
	s.report(Event{Kind: EventSuspected, Err: err, Next: s.state.Load().Next})
	return err
}

// tellAlike reports, once, that all of a server's sessions are refused alike: that is
// not the matter of any one session.
func (s *Session) tellAlike(err error) {
	if s.cfg.Gate.TellRefusals(s.cfg.ConfigID) {
		s.setHealth(func(h *Health) { h.doubted = true })
		s.host.Emit(Event{Kind: EventMisconfigured, Err: failure.WithKind(err, oauth.ErrMisconfigured, errAllRefused), Next: s.state.Load().Next})
	}
}

// refuseClient notes, for all sessions of the server, that it refuses the client, and
// reports whether it is the client that is refused, and not this session alone.
func (s *Session) refuseClient(ctx context.Context, err error) bool {
	life, known := s.rec.Tokens.Lifetime()
	if !known {
		life = maxRefusalWait
	}
	refused, n := s.cfg.Gate.RefuseClient(gate.Refusal{
		ConfigID: s.cfg.ConfigID, Session: s.name, Err: err, Now: s.now(), Interval: s.cfg.CheckInterval, Life: life,
		Since: s.refusedAt(), Begun: s.begun, Seen: s.seen,
	})
	s.tellNotice(ctx, n)
	return refused
}

// clientRefused handles the refusal of the client: told once for all sessions. A
// session that stands alone has nothing to be compared with; there servers that say so
// of a dead token are told from others by how long it lasts, if the client was in order
// before.
func (s *Session) clientRefused(err error) error {
	limit := lonely * s.cfg.CheckInterval
	if s.cfg.renewedBefore(s.rec) && s.lastingBeyond(limit) && !errors.Is(err, oauth.ErrClientSecretExpired) && s.cfg.Gate.RefusedAlone(s.cfg.ConfigID, s.now(), s.lookOn(limit)) {
		return s.suspect(err)
	}
	s.suffer(StateMisconfigured, err, s.lasting(), schedule.Slowly*s.cfg.CheckInterval)
	if s.cfg.Gate.TellClient(s.cfg.ConfigID) {
		s.host.Emit(Event{Kind: EventMisconfigured, Err: err, Next: s.state.Load().Next})
	}
	return err
}

// stillUnread is why a refresh token is left alone that was answered with tokens where
// none are expected: it is spent, and sent again it would count as reuse.
func (s *Session) stillUnread() error {
	if h := s.state.Load(); h.Hopeless() {
		return h.Err
	}
	return s.misconfigured(&oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Err: oauth.ErrUnreadAnswer, Sent: true, Field: "TokenPath",
		Hint: "say in the configuration where the tokens are (Config.TokenPath, Dialect), or log in again"})
}

// renewedBefore reports whether a session was ever renewed with this configuration.
func (c *Config) renewedBefore(rec *tokenstore.Record) bool {
	return !rec.RefreshedAt.IsZero() && rec.RefreshedBy == c.ConfigID
}

// nextOwn returns when the manager tries again by itself: at once if the server has
// shown since the last attempt that it is not what it was.
func (s *Session) nextOwn(h *Health) moment.Instant {
	if s.cleared(h) {
		return h.firm
	}
	return h.Next.And(h.firm)
}

// nextFor returns when to try again for what is wanted.
func (s *Session) nextFor(w Want, h *Health) moment.Instant {
	if w.urgent() {
		return s.nextForCaller(h)
	}
	return s.nextOwn(h)
}

// HoldsBack reports whether what is wanted is not tried at the moment because an attempt has
// failed. Safe for concurrent use.
func (s *Session) HoldsBack(w Want) bool {
	h := s.state.Load()
	return h.Err != nil && !s.now().Reached(s.nextFor(w, h))
}

// nextForCaller returns when to try again for a caller without a token that is taken:
// sooner than by itself, unless the server has asked to wait.
func (s *Session) nextForCaller(h *Health) moment.Instant {
	if s.cleared(h) {
		return h.firm
	}
	return h.Next.Or(h.callers).And(h.firm)
}

// cleared reports whether a success of another session has taken back what h says.
func (s *Session) cleared(h *Health) bool {
	return h.Err != nil && s.cfg.Gate.Epoch() != h.epoch
}

// lifted reports that a session which was in doubt is good again, whichever process has
// renewed it, and that it is to be reported anew should it be refused again.
func (s *Session) lifted(before *Health) {
	if before.inDoubt() {
		s.reported = ""
		s.host.Emit(Event{Kind: EventRecovered})
	}
}

// asksElsewhere is when a refresh token that another process has just asked about may be
// asked about again: processes that share a session share the falling rate. Each may ask
// once by itself, so that a restart does, and when a success has shown that the server
// is not what it was.
func (s *Session) asksElsewhere() moment.Instant {
	mark := refusedSince(s.rec, s.cfg.ConfigID)
	if mark == nil || mark.Certain || s.asked != mark.Token || s.cleared(s.state.Load()) {
		return moment.Instant{}
	}
	wait := schedule.FallingWait(mark.Last.Sub(mark.At), s.cfg.CheckInterval, maxRefusalWait) * 9 / 10
	return s.elsewhere.End(moment.Wait{Written: mark.Last, Until: mark.Last.Add(wait)}, s.now())
}
