package refresh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// Everything in this file is called by the turn's holder, in a flight.

// spend announces, sends and follows through one use of the refresh token. It
// returns tokenstore.ErrConflict when the record changed under it and everything
// has to be judged anew.
func (m *managed) spend(ctx context.Context, r *run, lease tokenstore.Lease, w want) error {
	pair := m.rec.Tokens
	if v := m.unchecked; v.err != nil && v.token == tokenstore.Fingerprint(pair.RefreshToken) {
		return m.condemn(ctx, pair, v.err)
	}
	lost := m.rec.Pending.On(pair.RefreshToken) // whoever announced this has died
	if err := m.announce(ctx, pair, w); err != nil {
		return err
	}
	m.emit(Event{Kind: EventRefreshing})

	begun, last := m.now(), false
	// Hurry is for the first time that an answer is lost: what goes on after that is
	// no accident of one connection.
	hurry := m.state.Load().failures == 0 || !lost
	m.asked = tokenstore.Fingerprint(pair.RefreshToken)
	for replay := 0; ; replay++ {
		if err := lease.Err(); err != nil {
			return m.failed(ctx, failure.Transient(err))
		}
		next, err := m.attempt(ctx, pair, w)
		wait, again := schedule.ReplayWait(replay, m.now().Sub(begun), m.cfg.grace)
		switch {
		case err == nil:
			return m.succeed(ctx, pair, next, w)
		case next != nil:
			return m.keepDowngraded(ctx, next, err)
		case ctx.Err() != nil:
			return errReplaced
		case !failure.Unknown(err) || last || !again || !hurry || m.cfg.asksAnew(pair): // no spent token to save
			return m.judge(ctx, pair, err, lost)
		}
		lost = true
		if !m.pauseBeforeReplay(ctx, r, err, wait) {
			return m.judge(ctx, pair, err, lost)
		}
		if ctx.Err() != nil {
			return errReplaced
		}
		last = r.isOver()
		// The pause was long enough for somebody without a lock to have renewed.
		if err := m.look(ctx); err == nil && (m.rec == nil || differs(m.rec.Tokens, pair)) {
			return tokenstore.ErrConflict
		}
	}
}

// announce writes the pending mark that tells other processes, should this one
// die, that the outcome of a spend is unknown. If it cannot be written, the spend
// waits as long as the access token lives and is taken; after that a session that
// works without a trace is better than one that does not work. In a process that
// is about to end it waits in any case.
func (m *managed) announce(ctx context.Context, pair *oauth.TokenPair, w want) error {
	if m.cfg.ShortLived && m.unsaved.any() {
		if err := m.save(ctx); err != nil {
			return m.unspent(ctx, err)
		}
		if !m.holds(pair) {
			return tokenstore.ErrConflict
		}
	}
	if m.unsaved.store {
		return nil // the Store could not be written a moment ago
	}
	rec := edit(m.rec)
	rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint(pair.RefreshToken), At: m.now().Round(0).UTC()}
	err := m.set(ctx, rec)
	switch {
	case err == nil:
		m.rec = rec
		return nil
	case errors.Is(err, tokenstore.ErrConflict):
		return tokenstore.ErrConflict
	case m.cfg.ShortLived:
		return m.unspent(ctx, err)
	case m.cur.Load().alive(m.now()) && !w.rejected && !m.alone(err):
		return m.failed(ctx, failure.Transient(fmt.Errorf("the refresh cannot be announced in the Store: %w", err)))
	}
	m.cfg.Logger.Warn("refreshing without announcing it in the Store", "session", m.session, "error", err)
	return nil
}

// attempt sends the refresh token once, under a deadline of its own.
func (m *managed) attempt(ctx context.Context, pair *oauth.TokenPair, w want) (next *oauth.TokenPair, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.RefreshTimeout)
	defer cancel()
	if w.resource != "" {
		ctx = oauth.WithResource(ctx, w.resource)
	}
	begun := m.now()
	sent := begun.Round(0)
	err = failure.Guard("OAuthClient.Refresh", func() error {
		next, err = m.cfg.OAuthClient.Refresh(ctx, pair.Clone())
		return err
	})
	m.answered(ctx, err, begun)
	err = m.cfg.withoutLogin(pair, err)
	if errors.Is(err, oauth.ErrDowngraded) && next != nil && next.RefreshToken != "" {
		return next, err // the one error that comes with a pair
	}
	if err != nil {
		return nil, err
	}
	if next == nil || next.AccessToken == "" {
		return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Err: errors.New("OAuthClient returned no token")}
	}
	next = next.Keeping(pair)
	if next.IssuedAt.IsZero() {
		next.IssuedAt = sent
	}
	return settle(next, sent), nil
}

// pauseBeforeReplay waits a moment, or as long as the server asked for. It
// reports false when the token should not be sent again in this flight. A
// manager that is stopping sends it once more right away: the window in which
// that helps will not wait for the next start.
func (m *managed) pauseBeforeReplay(ctx context.Context, r *run, err error, delay time.Duration) bool {
	now := m.now()
	until := later(now.Add(delay), m.inWaiting(failure.RetryAt(err)))
	if until.Sub(now) > schedule.ReplayWindow {
		return false
	}
	m.setHealth(func(h *health) { h.state, h.err, h.next = StateRetrying, err, until })
	m.emit(Event{Kind: EventRefreshFailed, Err: err, NextAttempt: until.Round(0)})
	m.pause(ctx, r, until.Sub(now))
	return true
}

// pause waits, and reports false if that ended with the run or with ctx.
func (m *managed) pause(ctx context.Context, r *run, wait time.Duration) (over bool) {
	timer, run := m.cfg.Clock.Timer(wait), r.context()
	defer timer.Stop()
	r.queue.Workers().Lend(func() {
		select {
		case <-timer.C:
			over = true
		case <-run.Done():
		case <-ctx.Done():
		}
	})
	return over
}

// succeed saves the new pair, then shows it.
func (m *managed) succeed(ctx context.Context, pair, next *oauth.TokenPair, w want) error {
	rejected := next.IDTokenError
	next.IDTokenError = nil // told here; whoever reads the pair later can do nothing about it
	session := next
	if w.resource != "" { // of another resource's pair the session takes the refresh token
		session = pair.Clone()
		session.RefreshToken, session.RefreshExpiresAt = next.RefreshToken, next.RefreshExpiresAt
	}
	rec := edit(m.rec)
	rec.Supersede(session)
	rec.RefreshedAt, rec.RefreshedBy = m.now().Round(0).UTC(), m.cfg.configID
	m.rec = rec
	m.unsaved.store, m.unsaved.callback = true, m.cfg.TokenStore != nil
	_ = m.save(ctx) // reported, and tried again
	if m.rec != rec {
		return tokenstore.ErrConflict // a logout or a new login has overtaken us
	}
	if w.resource == "" {
		m.publish(session)
	} else {
		m.show(session)
		m.publishResource(w.resource, next)
	}
	before := m.state.Load()
	if !m.displaced() {
		m.setHealth(func(h *health) { h.renew(rec.RefreshedAt) })
	}
	m.emit(Event{Kind: EventRefreshed})
	m.lifted(before)
	if rejected != nil {
		m.emit(Event{Kind: EventIDTokenRejected, Err: rejected})
	}
	if w.resource == "" && pair.Scope != next.Scope && lessScope(pair.Scopes(), next.Scopes()) {
		m.emit(Event{Kind: EventScopeReduced})
	}
	if !m.currentFor(w.resource).alive(m.now()) {
		m.setHealth(func(h *health) { h.failures = before.failures }) // or we would ask again at once, for ever
		return m.failed(ctx, failure.Transient(errIssuedDead))
	}
	return nil
}

// lessScope reports whether a scope of before is missing from after.
func lessScope(before, after []string) bool {
	return slices.ContainsFunc(before, func(scope string) bool { return !slices.Contains(after, scope) })
}
