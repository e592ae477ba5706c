package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/tokenstore"
)

// Everything in this file is called by the turn's holder.

// judge decides what a failed spend means for the session. lost tells that an
// answer to this refresh token may have been lost before.
func (m *managed) judge(ctx context.Context, pair *oauth.TokenPair, err error, lost bool) error {
	v := failure.Verdict(err)
	if v == oauth.VerdictClient && !m.refuseClient(ctx, err) {
		v = oauth.VerdictUnclear // perhaps this session's matter alone
	}
	anew := m.cfg.asksAnew(pair)
	doubt := v == oauth.VerdictEnded && !anew && m.doubted(pair, lost)
	m.mark(ctx, func(rec *tokenstore.Record) {
		if v == oauth.VerdictUnread || !lost && failure.NotSpent(err, v) {
			rec.Pending = nil
		}
		if at := failure.RetryAt(err); !at.IsZero() {
			rec.NotBefore = later(rec.NotBefore, at.UTC())
		}
		if notes(v) && !anew || doubt {
			rec.Refused, rec.Dead = m.refusedAgain(pair, err, v), nil
		}
	})
	if !m.holds(pair) {
		return tokenstore.ErrConflict
	}
	switch {
	case anew:
		return m.notObtained(ctx, err, v)
	case doubt:
		return m.awaitSecondOpinion(ctx, pair, err)
	case v == oauth.VerdictEnded:
		if lost {
			err = failure.WithKind(err, oauth.ErrLoginRequired, errAnswerLost)
		}
		return m.condemn(ctx, pair, err)
	case v == oauth.VerdictClient:
		return m.clientRefused(err)
	case v == oauth.VerdictUnread, v == oauth.VerdictSettings:
		return m.misconfigured(err)
	case m.unread(): // what it was asked for once more does not bring the tokens back
		_ = m.stillUnread()
		return err
	case v == oauth.VerdictUnclear:
		return m.refusal(err)
	}
	return m.failed(ctx, err)
}

// holds reports whether pair is still the session's. What became of one that is not is
// no failure of its successor's, which would be spent to mend it.
func (m *managed) holds(pair *oauth.TokenPair) bool {
	return m.rec != nil && !differs(m.rec.Tokens, pair)
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
// by anybody, which lagging servers and caches do not know of yet. It costs nothing,
// since a dead grant stays dead.
func (m *managed) doubted(pair *oauth.TokenPair, lost bool) bool {
	now, wait := m.now(), opinion(pair)
	if first := refusedSince(m.rec, m.cfg.configID); first != nil && first.Certain {
		return now.Sub(first.At).Abs() < wait
	}
	renewed := m.rec.RefreshedAt
	return lost || !renewed.IsZero() && now.Sub(renewed).Abs() < wait
}

// awaitSecondOpinion asks again when the word has stood for long enough.
func (m *managed) awaitSecondOpinion(ctx context.Context, pair *oauth.TokenPair, err error) error {
	err = m.failed(ctx, failure.WithKind(err, oauth.ErrTransient, errDoubted))
	first := m.now()
	if mark := refusedSince(m.rec, m.cfg.configID); mark != nil { // none if the Store could not be written
		first = m.inWaiting(mark.At)
	}
	m.setHealth(func(h *health) { h.next, h.firm = later(h.next, first.Add(opinion(pair))), true })
	return err
}

// misconfigured reports a mistake in the configuration once, and goes on slowly:
// somebody may be correcting the server's side of it.
func (m *managed) misconfigured(err error) error {
	first := m.state.Load().state != StateMisconfigured
	m.suffer(StateMisconfigured, err, m.lasting(), slowly*m.cfg.CheckInterval)
	if first {
		m.emit(Event{Kind: EventMisconfigured, Err: err, NextAttempt: m.state.Load().next.Round(0)})
	}
	return err
}

// A verdict is the server's word on a refresh token, by fingerprint.
type verdict struct {
	token string
	err   error
}

// condemn follows the server's word that the grant is dead, after checking it:
// if the Store holds another pair by now, somebody else has renewed. While the
// Store cannot be read, the word is remembered, and the token not spent again.
func (m *managed) condemn(ctx context.Context, pair *oauth.TokenPair, err error) error {
	switch lookErr := m.look(ctx); {
	case lookErr != nil:
		m.unchecked = verdict{tokenstore.Fingerprint(pair.RefreshToken), err}
		return m.failed(ctx, failure.Transient(fmt.Errorf("the server refuses the session, which cannot be checked in the Store: %w", lookErr)))
	case m.displaced():
		return m.state.Load().err
	case m.rec == nil || m.rec.Tokens.RefreshToken != pair.RefreshToken:
		return tokenstore.ErrConflict
	}
	// Quarantine: the pair stays, and nobody spends it again.
	m.mark(ctx, func(rec *tokenstore.Record) {
		rec.Pending, rec.Refused = nil, nil
		rec.Dead = &tokenstore.Mark{
			Token: tokenstore.Fingerprint(pair.RefreshToken), At: m.now().Round(0).UTC(),
			Code: failure.Code(err), By: m.cfg.configID, Certain: true,
		}
	})
	if m.rec == nil || m.rec.Tokens.RefreshToken != pair.RefreshToken {
		return tokenstore.ErrConflict
	}
	m.declareDead(err)
	return m.state.Load().err
}

// declareDead makes the session ended for this manager and tells the program.
func (m *managed) declareDead(err error) {
	if !errors.Is(err, oauth.ErrLoginRequired) {
		err = failure.WithKind(err, oauth.ErrLoginRequired, nil)
	}
	m.setHealth(func(h *health) { h.state, h.err, h.next = StateLoginRequired, err, time.Time{} })
	m.report(Event{Kind: EventLoginRequired, Err: err})
}

// report emits an event that a login may be needed, and tells the program, once for
// each grant.
func (m *managed) report(e Event) {
	fingerprint := tokenstore.Fingerprint(m.rec.Tokens.RefreshToken)
	if m.reported == fingerprint && fingerprint != "" {
		return
	}
	m.reported = fingerprint
	m.emit(e)
	m.tellProgram(e.Err)
}

// failed records a failure after which the session goes on, and returns err.
func (m *managed) failed(ctx context.Context, err error) error {
	if m.displaced() {
		return err // which matters more, and is no failure
	}
	at, epoch := failure.RetryAt(err), m.cfg.server.currentEpoch()
	m.setHealth(func(h *health) {
		h.fail(m.now(), err)
		h.state, h.epoch, h.firm = StateRetrying, epoch, false
		h.next, h.callers = h.failed.Add(m.wait(h)), h.failed.Add(h.callerWait())
		if asked := m.inWaiting(at); asked.After(h.next) {
			h.next, h.firm = asked, true
		}
	})
	m.emit(Event{Kind: EventRefreshFailed, Err: err, NextAttempt: m.state.Load().next.Round(0)})
	return err
}

// mark edits what the record says about attempts. It is advice to other
// processes: if it cannot be written, the session goes on without.
func (m *managed) mark(ctx context.Context, change func(rec *tokenstore.Record)) {
	for range 3 {
		if m.rec == nil {
			return
		}
		rec := edit(m.rec)
		change(rec)
		if rec.NotBefore.Equal(m.rec.NotBefore) && sameMark(rec.Pending, m.rec.Pending) &&
			sameMark(rec.Refused, m.rec.Refused) && sameMark(rec.Dead, m.rec.Dead) {
			return
		}
		if m.unsaved.store {
			m.rec = rec // goes along with the next save
			return
		}
		err := m.set(ctx, rec)
		if err == nil || !errors.Is(err, tokenstore.ErrConflict) {
			m.rec = rec
			return
		}
		before := m.rec.Tokens
		if m.look(ctx) != nil || m.rec == nil || differs(m.rec.Tokens, before) {
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

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
