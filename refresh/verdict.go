package refresh

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// Everything in this file is called by the turn's holder.

// slowly is how many check intervals pass between attempts of a client that is
// misconfigured: somebody may be correcting the server's side of it.
const slowly = 10

// judge decides what a failed spend means for the session. lost tells that an
// answer to this refresh token may have been lost before.
func (m *managed) judge(ctx context.Context, pair *oauth.TokenPair, err error, lost bool) error {
	m.mark(ctx, func(rec *tokenstore.Record) {
		if !lost && notSpent(err) {
			rec.Pending = nil
		}
		if at := retryAt(err); !at.IsZero() {
			rec.NotBefore = later(rec.NotBefore, at.UTC())
		}
	})
	if !m.holds(pair) {
		return tokenstore.ErrConflict
	}
	switch {
	case m.cfg.asksAnew(pair):
		return m.notObtained(ctx, err)
	case errors.Is(err, oauth.ErrLoginRequired):
		if lost {
			err = withKind(err, oauth.ErrLoginRequired, errAnswerLost)
		}
		return m.condemn(ctx, pair, err)
	case errors.Is(err, oauth.ErrClientSecretExpired):
		return m.misconfigured(err) // the one refusal after success that has another known cause
	case refused(err) && (m.refreshedBefore() || errors.Is(err, oauth.ErrTokenInvalid)):
		return m.refusal(ctx, pair, err)
	case errors.Is(err, oauth.ErrMisconfigured) && !m.refreshedBefore():
		return m.misconfigured(unproven(err))
	case refused(err) && m.rec != nil && m.rec.RefreshedAt.IsZero():
		return m.refusal(ctx, pair, err)
	}
	return m.failed(ctx, err)
}

// holds reports whether pair is still the session's. What became of one that is not is
// no failure of its successor's, which would be spent to mend it.
func (m *managed) holds(pair *oauth.TokenPair) bool {
	return m.rec != nil && !differs(m.rec.Tokens, pair)
}

// refreshedBefore reports whether this session was ever renewed with this
// configuration. If so, a refusal is about the token, not about the client.
func (m *managed) refreshedBefore() bool {
	return m.rec != nil && !m.rec.RefreshedAt.IsZero() && m.rec.RefreshedBy == m.cfg.configID
}

// refusal handles a refusal in words that do not decide. Dead refresh tokens are
// announced in at least eight ways, so one that is repeated beyond a check
// interval, with the Store read in between, is a verdict. Before the first refresh
// it could be about the client, unless an oauth.Dialect knows better: then the
// program is told that something is wrong, and not that a login helps.
func (m *managed) refusal(ctx context.Context, pair *oauth.TokenPair, err error) error {
	since := m.rec.Refused
	now := m.now()
	if since.On(pair.RefreshToken) && now.Sub(since.At).Abs() > m.cfg.CheckInterval {
		if !m.refreshedBefore() && !errors.Is(err, oauth.ErrTokenInvalid) {
			return m.misconfigured(unproven(err))
		}
		cause := errKeepsRefusing
		if errors.Is(err, oauth.ErrTokenInvalid) {
			cause = errStaysInvalid
		}
		return m.condemn(ctx, pair, withKind(err, oauth.ErrLoginRequired, cause))
	}
	if !since.On(pair.RefreshToken) {
		m.mark(ctx, func(rec *tokenstore.Record) {
			rec.Refused = &tokenstore.Mark{Token: tokenstore.Fingerprint(pair.RefreshToken), At: now.Round(0).UTC(), Code: code(err)}
		})
	}
	if !m.holds(pair) {
		return tokenstore.ErrConflict
	}
	err = m.failed(ctx, undecided(err))
	m.setHealth(func(h *health) { // a few attempts until the verdict, not a dozen
		h.next, h.firm = later(h.next, now.Add(m.cfg.CheckInterval*3/5)), true
	})
	return err
}

// misconfigured reports a mistake in the configuration once, and goes on slowly.
func (m *managed) misconfigured(err error) error {
	first := m.state.Load().state != StateMisconfigured
	m.setHealth(func(h *health) {
		h.state, h.err, h.failures = StateMisconfigured, err, h.failures+1
		h.next, h.firm = later(m.now().Add(slowly*m.cfg.CheckInterval), m.inWaiting(retryAt(err))), true
	})
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
		return m.failed(ctx, transient(fmt.Errorf("the server refuses the session, which cannot be checked in the Store: %w", lookErr)))
	case m.displaced():
		return m.state.Load().err
	case m.rec == nil || m.rec.Tokens.RefreshToken != pair.RefreshToken:
		return tokenstore.ErrConflict
	}
	// Quarantine: the pair stays, and nobody spends it again.
	m.mark(ctx, func(rec *tokenstore.Record) {
		rec.Pending, rec.Refused = nil, nil
		rec.Dead = &tokenstore.Mark{Token: tokenstore.Fingerprint(pair.RefreshToken), At: m.now().Round(0).UTC(), Code: code(err)}
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
		err = withKind(err, oauth.ErrLoginRequired, nil)
	}
	m.setHealth(func(h *health) { h.state, h.err, h.next = StateLoginRequired, err, time.Time{} })
	fingerprint := tokenstore.Fingerprint(m.rec.Tokens.RefreshToken)
	if m.reported == fingerprint && fingerprint != "" {
		return
	}
	m.reported = fingerprint
	m.emit(Event{Kind: EventLoginRequired, Err: err})
	m.tellProgram(err)
}

// failed records a failure after which the session goes on, and returns err.
func (m *managed) failed(ctx context.Context, err error) error {
	if m.displaced() {
		return err // which matters more, and is no failure
	}
	at := retryAt(err)
	m.setHealth(func(h *health) {
		h.state, h.err, h.failures = StateRetrying, err, h.failures+1
		h.failed = m.now()
		h.next, h.firm = h.failed.Add(m.wait(h.failures)), false
		if asked := m.inWaiting(at); asked.After(h.next) {
			h.next, h.firm = asked, true
		}
	})
	m.emit(Event{Kind: EventRefreshFailed, Err: err, NextAttempt: m.state.Load().next.Round(0)})
	return err
}

// notSpent reports whether the refresh token is as good as before: the request
// did not arrive, or the server itself said that it failed. A gateway's word
// leaves open what the server behind it has done.
func notSpent(err error) bool {
	var fail *oauth.Error
	switch {
	case !errors.As(err, &fail):
		return false
	case !fail.Sent || fail.Refused():
		return true
	}
	return fail.Status >= 400 && fail.Status != http.StatusBadGateway && fail.Status != http.StatusGatewayTimeout
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
	return a.Token == b.Token && a.At.Equal(b.At) && a.Code == b.Code
}

func code(err error) string {
	var fail *oauth.Error
	if !errors.As(err, &fail) {
		return ""
	}
	return fail.Code
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
