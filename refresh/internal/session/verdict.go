package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/internal/chance"
	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// Everything in this file is called by the turn's holder.

// judge decides what a failed spend means for the session. lost tells that an
// answer to this refresh token may have been lost before.
func (s *Session) judge(ctx context.Context, pair *oauth.TokenPair, err error, lost bool) error {
	v := failure.Verdict(err)
	if v == oauth.VerdictClient && !s.refuseClient(ctx, err) {
		v = oauth.VerdictUnclear // perhaps this session's matter alone
	}
	anew := s.cfg.asksAnew(pair)
	doubt := v == oauth.VerdictEnded && !anew && s.doubted(pair, lost)
	// A success without a token may have spent it, which matters where it is never taken again.
	good := failure.NotSpent(err, v) && !(s.cfg.neverAgain(pair) && errors.Is(err, oauth.ErrNoToken))
	settled := v == oauth.VerdictUnread || !lost && good
	s.mark(ctx, func(rec *tokenstore.Record) {
		if settled {
			rec.Pending = nil
		}
		if at := failure.RetryAt(err, s.now().Wall()); !at.IsZero() {
			s.noteAsked(rec, at)
		}
		if notes(v) && !anew || doubt {
			rec.Refused, rec.Dead = s.refusedAgain(pair, err, v), nil
		}
	})
	switch {
	case !good:
		s.unanswered = tokenstore.Fingerprint(pair.RefreshToken)
	case settled:
		s.unanswered = ""
	}
	if !s.holds(pair) {
		return tokenstore.ErrConflict
	}
	_ = s.askedToWait(s.now()) // which begins now
	switch {
	case anew:
		return s.notObtained(ctx, err, v)
	case doubt:
		return s.awaitSecondOpinion(ctx, pair, err)
	case v == oauth.VerdictEnded:
		if lost {
			err = failure.WithKind(err, oauth.ErrLoginRequired, errAnswerLost)
		}
		return s.condemn(ctx, pair, err)
	case v == oauth.VerdictClient:
		return s.clientRefused(err)
	case v == oauth.VerdictUnread, v == oauth.VerdictSettings:
		return s.misconfigured(err)
	case s.unread(): // what it was asked for once more does not bring the tokens back
		_ = s.stillUnread()
		return err
	case v == oauth.VerdictUnclear:
		return s.unclear(ctx, err)
	}
	return s.failed(ctx, err)
}

// holds reports whether pair is still the session's. What became of one that is not does
// not count as a failure of its successor, which would be spent to mend it.
func (s *Session) holds(pair *oauth.TokenPair) bool {
	return s.rec != nil && !differs(s.rec.Tokens, pair)
}

// maxOpinion is how long a server may need to agree with itself: replicas that lag,
// a cache of grants, a first request that is still being worked on.
const maxOpinion = time.Minute

// opinion is how long a word that ends the session has to stand before it is believed,
// where it may be our own doing or pass.
func opinion(pair *oauth.TokenPair) time.Duration {
	if life, known := pair.Lifetime(); known {
		return min(maxOpinion, max(life, 0)/3)
	}
	return maxOpinion
}

// doubted reports whether a word that ends the session is to be heard a second time:
// after an answer that may be lost, whose replay this was, and soon after a renewal
// by any process, which lagging servers and caches do not know of yet. It costs nothing,
// since a dead grant stays dead.
func (s *Session) doubted(pair *oauth.TokenPair, lost bool) bool {
	now, wait := s.now().Wall(), opinion(pair)
	if first := refusedSince(s.rec, s.cfg.ConfigID); first != nil && first.Certain {
		return now.Sub(first.At).Abs() < wait
	}
	renewed := s.rec.RefreshedAt
	return lost || !renewed.IsZero() && now.Sub(renewed).Abs() < wait
}

// awaitSecondOpinion asks again when the word has stood for long enough.
func (s *Session) awaitSecondOpinion(ctx context.Context, pair *oauth.TokenPair, err error) error {
	err = s.failed(ctx, failure.WithKind(err, oauth.ErrTransient, errDoubted))
	first := s.refusedAt()
	s.setHealth(func(h *Health) {
		h.Next = h.Next.And(first.Add(opinion(pair)))
		h.firm = h.Next
	})
	return err
}

// A server that is known never to take a spent refresh token again (oauth.GraceNone) may
// end far more than this session when it is sent again. So one whose answer was lost is
// left alone for good. Only a newer one helps, of another process or of a login.

// lostForGood reports whether the session's refresh token may be spent, and is not to be
// sent again. Of a mark that another process has left it says so only under the lease: that
// process may still be waiting for its answer.
func (s *Session) lostForGood() bool { return s.cfg.neverAgain(s.rec.Tokens) && s.mayBeSpent() }

// mayBeSpent reports whether the session's refresh token was sent, and no answer says that
// it is not spent. Of other processes only their marks are known. That of this one is in the
// Store also where nothing was sent: it was reported as failed, the lock was lost, or it
// could not be taken back.
func (s *Session) mayBeSpent() bool {
	token := s.rec.Tokens.RefreshToken
	fingerprint := tokenstore.Fingerprint(token)
	return s.rec.Pending.On(token) && s.doubt.others(s.rec) || fingerprint != "" && s.unanswered == fingerprint
}

// neverAgain reports whether a refresh token that may be spent is not to be sent again.
func (c *Config) neverAgain(pair *oauth.TokenPair) bool { return c.Grace < 0 && !c.asksAnew(pair) }

// newsWithin is how long another process may need to save the newer pair that it has.
func (c *Config) newsWithin() time.Duration { return min(2*c.CheckInterval, moment.LongestWait) }

// stillUnanswered goes on waiting for news of a spend whose outcome stays unknown. When
// other processes have had time to tell theirs, and no token is left to be served, a login
// is needed.
func (s *Session) stillUnanswered(w Want) error {
	alive := s.cur.Load().Alive(s.now()) && !w.Rejected
	if told := s.awaitNews(alive); !alive && s.now().Reached(told) {
		s.declareDead(failure.LoginRequired(errNotAgain))
	}
	return s.state.Load().Err
}

// awaitNews puts the session off until other processes have had time to save a newer pair,
// and longer if the one that there is lives longer. It returns the first of the two times;
// zero if no process may have one.
func (s *Session) awaitNews(alive bool) (told moment.Instant) {
	now := s.now()
	if mark := s.rec.Pending; mark.On(s.rec.Tokens.RefreshToken) {
		told = s.news.End(moment.Wait{Written: mark.At, Until: mark.At.Add(s.cfg.newsWithin())}, now)
	}
	next := told
	if cur := s.cur.Load(); alive && cur.Ends() != moment.Never {
		next = next.And(cur.Ends())
	}
	s.setHealth(func(h *Health) {
		if !errors.Is(h.Err, errNotAgain) {
			h.State, h.Err = StateRetrying, failure.Transient(errNotAgain)
		}
		h.Next = next.And(now.Add(2 * schedule.ProbePause))
		h.firm = h.Next
	})
	return told
}

// misconfigured reports a mistake in the configuration once, and goes on slowly:
// a person may be correcting the server's side of it.
func (s *Session) misconfigured(err error) error {
	first := s.state.Load().State != StateMisconfigured
	s.suffer(StateMisconfigured, err, s.lasting(), schedule.Slowly*s.cfg.CheckInterval)
	if first {
		s.host.Emit(Event{Kind: EventMisconfigured, Err: err, Next: s.state.Load().Next})
	}
	return err
}

// condemn follows the server's word that the grant is dead, after checking it:
// if the Store holds another pair by now, another process has renewed. While the
// Store cannot be read, the word is remembered, and the token not spent again.
func (s *Session) condemn(ctx context.Context, pair *oauth.TokenPair, err error) error {
	switch lookErr := s.look(ctx); {
	case ctx.Err() != nil: // a new login waits for the turn, and the verdict is not about it
		return context.Cause(ctx)
	case lookErr != nil:
		s.unchecked = refusal{tokenstore.Fingerprint(pair.RefreshToken), err}
		return s.failed(ctx, failure.Transient(fmt.Errorf("the server refuses the session, which cannot be checked in the Store: %w", lookErr)))
	case s.displaced():
		return s.state.Load().Err
	case s.rec == nil || s.rec.Tokens.RefreshToken != pair.RefreshToken:
		return tokenstore.ErrConflict
	}
	// Quarantine: the pair stays, and no process spends it again.
	s.mark(ctx, func(rec *tokenstore.Record) {
		rec.Pending, rec.Refused = nil, nil
		rec.Dead = &tokenstore.Mark{
			Token: tokenstore.Fingerprint(pair.RefreshToken), At: s.now().Wall().UTC(),
			Code: failure.Code(err), By: s.cfg.ConfigID, Certain: true,
		}
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.rec == nil || s.rec.Tokens.RefreshToken != pair.RefreshToken:
		return tokenstore.ErrConflict
	}
	s.declareDead(err)
	return s.state.Load().Err
}

// declareDead makes the session ended for this manager and tells the program.
func (s *Session) declareDead(err error) {
	if !errors.Is(err, oauth.ErrLoginRequired) {
		err = failure.WithKind(err, oauth.ErrLoginRequired, nil)
	}
	if s.keptElsewhere() && !errors.Is(err, ErrOldCopy) && !errors.Is(err, errAnswerLost) {
		err = failure.WithKind(err, oauth.ErrLoginRequired, ErrCopied)
	}
	s.setHealth(func(h *Health) { h.State, h.Err, h.Next = StateLoginRequired, err, moment.Instant{} })
	s.report(Event{Kind: EventLoginRequired, Err: err})
}

// report emits an event that a login may be needed, and tells the program, once for
// each grant.
func (s *Session) report(e Event) {
	fingerprint := tokenstore.Fingerprint(s.rec.Tokens.RefreshToken)
	if s.reported == fingerprint && fingerprint != "" {
		return
	}
	s.reported = fingerprint
	s.host.Emit(e)
	s.host.LoginRequired(fingerprint, e.Err)
}

// StillRefused reports whether the session still has the grant that Host.LoginRequired
// was told of, and needs a login for it: in the meantime a person may have logged in,
// here or in another process. An error means that the Store does not say. The caller has
// the turn.
func (s *Session) StillRefused(ctx context.Context, grant string) (still bool, err error) {
	err = s.look(ctx)
	h := s.state.Load()
	if s.rec == nil || tokenstore.Fingerprint(s.rec.Tokens.RefreshToken) != grant || s.displaced() {
		return false, err
	}
	return h.State == StateLoginRequired || h.State == StateSuspected, err
}

// failed records a failure after which the session goes on, and returns err.
func (s *Session) failed(ctx context.Context, err error) error {
	if s.displaced() {
		return err // which matters more, and does not count as a failure
	}
	at, epoch := failure.RetryAt(err, s.now().Wall()), s.cfg.Gate.Epoch()
	s.setHealth(func(h *Health) {
		h.fail(s.now(), err)
		h.State, h.epoch, h.firm = StateRetrying, epoch, h.failed.At(at)
		h.Next = h.failed.Add(s.wait(h)).Or(s.lastAttempt(h.failed)).And(h.firm)
		h.callers = h.failed.Add(schedule.ProbeWait(chance.Float64(s.cfg.Clock)))
	})
	s.host.Emit(Event{Kind: EventRefreshFailed, Err: err, Next: s.state.Load().Next})
	return err
}

// mark edits what the record says about attempts. It is advice to other
// processes: if it cannot be written, the session goes on without.
func (s *Session) mark(ctx context.Context, change func(rec *tokenstore.Record)) {
	for range 3 {
		if s.rec == nil {
			return
		}
		rec := edit(s.rec)
		change(rec)
		if rec.NotBefore.Equal(s.rec.NotBefore) && sameMark(rec.Pending, s.rec.Pending) &&
			sameMark(rec.Refused, s.rec.Refused) && sameMark(rec.Dead, s.rec.Dead) {
			return
		}
		if s.unsaved.store {
			s.rec = rec // goes along with the next save
			return
		}
		err := s.set(ctx, rec)
		if err == nil || !errors.Is(err, tokenstore.ErrConflict) {
			s.rec = rec
			return
		}
		before := s.rec.Tokens
		if s.look(ctx) != nil || s.rec == nil || differs(s.rec.Tokens, before) {
			return
		}
	}
}

func sameMark(a, b *tokenstore.Mark) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.At.Equal(b.At) && a.Last.Equal(b.Last) && a.Token == b.Token && a.Code == b.Code && a.By == b.By &&
		a.Certain == b.Certain && a.Count == b.Count
}

// unspent ends the attempt of a process that is about to end and could not announce
// it: the pair it would get might be lost with the process.
func (s *Session) unspent(ctx context.Context, cause error) error {
	return s.storeFailed(ctx, fmt.Errorf("%w: %w", errUnspent, cause))
}

// storeFailed is failed for trouble with the Store. In a process that is about to end,
// callers do not wait for a place that is full, closed or broken: they learn why at once.
// A lock that another process has, and a server that is away, may be worth the wait.
func (s *Session) storeFailed(ctx context.Context, cause error) error {
	err := s.failed(ctx, failure.Transient(cause))
	_, place := errors.AsType[*tokenstore.PlaceError](cause)
	if s.cfg.ShortLived && !errors.Is(cause, tokenstore.ErrLocked) && (place || !errors.Is(cause, tokenstore.ErrUnavailable)) {
		s.setHealth(func(h *Health) { h.vain = true })
	}
	return err
}

// lastAttempt returns when the last attempt is to be made before the token dies that
// lives now, if that is yet to come: a server that is back by then stalls no caller.
func (s *Session) lastAttempt(now moment.Instant) moment.Instant {
	cur := s.cur.Load()
	if !cur.Alive(now) || cur.Ends() == moment.Never {
		return moment.Instant{}
	}
	_, latency := s.cfg.Gate.Pace()
	at := schedule.LastAttempt(cur.Ends(), latency, chance.Float64(s.cfg.Clock))
	begun := s.begun.And(s.entered) // one that the Store ends has no request: that of an earlier one does not count
	switch {
	case !now.Reached(at):
		return at
	case !begun.IsZero() && cur.Ends().Since(begun) > schedule.LastSecond(latency):
		return now // the one in progress until now has begun too early
	}
	return moment.Instant{}
}

// wait is how long to wait after a failure: backing off up to the check interval, and
// beyond it once no caller is served any more and it has lasted for more than an hour: of
// the time that trouble lasts, a sixtieth more does not matter. A request that never
// arrives troubles no server.
func (s *Session) wait(h *Health) time.Duration {
	limit := s.cfg.CheckInterval
	if failure.Arrived(h.Err) && !s.cur.Load().Alive(h.failed) {
		limit = schedule.FallingWait(h.failed.Since(h.since)/60, limit, maxRefusalWait)
	}
	return schedule.Backoff(h.Failures, limit, chance.Float64(s.cfg.Clock))
}

// notObtained records a failure to ask for a pair anew. Whatever the server's words,
// they are about the client or the moment.
func (s *Session) notObtained(ctx context.Context, err error, v oauth.Verdict) error {
	switch v {
	case oauth.VerdictTrouble, oauth.VerdictUnknown:
		return s.failed(ctx, err)
	case oauth.VerdictClient:
		return s.clientRefused(err)
	case oauth.VerdictUnclear:
		if !errors.Is(err, oauth.ErrMisconfigured) {
			return s.refusedOnce(err, StateRetrying, schedule.Slowly*s.cfg.CheckInterval)
		}
	}
	return s.misconfigured(failure.WithKind(err, oauth.ErrMisconfigured, nil))
}
