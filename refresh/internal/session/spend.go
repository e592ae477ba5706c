package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// Everything in this file is called by the turn's holder, in a flight.

// spend announces, sends and follows through one use of the refresh token. It
// returns tokenstore.ErrConflict when the record changed under it and everything
// has to be judged anew.
func (s *Session) spend(ctx context.Context, r Run, lease tokenstore.Lease, w Want) error {
	pair := s.rec.Tokens
	if v := s.unchecked; v.err != nil && v.token == tokenstore.Fingerprint(pair.RefreshToken) {
		return s.condemn(ctx, pair, v.err)
	}
	lost := s.rec.Pending.On(pair.RefreshToken) // the process that announced this has died
	if err := s.announce(ctx, pair, w); err != nil {
		return err
	}
	s.host.Emit(Event{Kind: EventRefreshing})

	begun, last := s.now(), false
	// Hurry is for the first time that an answer is lost: what goes on after that is
	// no accident of one connection.
	hurry := s.state.Load().Failures == 0 || !lost
	s.asked = tokenstore.Fingerprint(pair.RefreshToken)
	for replay := 0; ; replay++ {
		if err := lease.Err(); err != nil {
			return s.failed(ctx, failure.Transient(err))
		}
		next, err := s.attempt(ctx, pair, w)
		wait, again := schedule.ReplayWait(replay, s.now().Since(begun), s.cfg.Grace)
		switch {
		case err == nil:
			return s.succeed(ctx, pair, next, w)
		case next != nil:
			return s.keepDowngraded(ctx, next, err)
		case ctx.Err() != nil:
			return ErrReplaced
		case !failure.Unknown(err) || last || !again || !hurry || s.cfg.asksAnew(pair): // no spent token to save
			return s.judge(ctx, pair, err, lost)
		}
		lost = true
		if !s.pauseBeforeReplay(ctx, r, err, wait) {
			return s.judge(ctx, pair, err, lost)
		}
		if ctx.Err() != nil {
			return ErrReplaced
		}
		last = r.Over()
		// The pause was long enough for a process without the lock to have renewed.
		if err := s.look(ctx); err == nil && (s.rec == nil || differs(s.rec.Tokens, pair)) {
			return tokenstore.ErrConflict
		}
	}
}

// announce writes the pending mark that tells other processes, should this one
// die, that the outcome of a spend is unknown. If it cannot be written, the spend
// waits as long as the access token lives and is taken; after that a session that
// works without a trace is better than one that does not work. In a process that
// is about to end it waits in any case.
func (s *Session) announce(ctx context.Context, pair *oauth.TokenPair, w Want) error {
	if s.cfg.ShortLived && s.unsaved.any() {
		if err := s.save(ctx); err != nil {
			return s.unspent(ctx, err)
		}
		if !s.holds(pair) {
			return tokenstore.ErrConflict
		}
	}
	if s.unsaved.store {
		return nil // the Store could not be written a moment ago
	}
	rec := edit(s.rec)
	rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint(pair.RefreshToken), At: s.now().Wall().UTC()}
	err := s.set(ctx, rec)
	switch {
	case err == nil:
		s.rec = rec
		return nil
	case errors.Is(err, tokenstore.ErrConflict):
		return tokenstore.ErrConflict
	case s.cfg.ShortLived:
		return s.unspent(ctx, err)
	case s.cur.Load().Alive(s.now()) && !w.Rejected && !s.alone(err):
		return s.failed(ctx, failure.Transient(fmt.Errorf("the refresh cannot be announced in the Store: %w", err)))
	}
	s.cfg.Logger.Warn("refreshing without announcing it in the Store", "session", s.name, "error", err)
	return nil
}

// attempt sends the refresh token once, under a deadline of its own.
func (s *Session) attempt(ctx context.Context, pair *oauth.TokenPair, w Want) (next *oauth.TokenPair, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RefreshTimeout)
	defer cancel()
	if w.Resource != "" {
		ctx = oauth.WithResource(ctx, w.Resource)
	}
	begun := s.now()
	sent := begun.Wall()
	err = failure.Guard("OAuthClient.Refresh", func() error {
		next, err = s.cfg.Refresh(ctx, pair.Clone())
		return err
	})
	s.tellNotice(ctx, s.cfg.Gate.Note(gate.Attempt{
		ConfigID: s.cfg.ConfigID, Err: err, Begun: begun, Now: s.now(), Interval: s.cfg.CheckInterval, Jitter: rand.Float64(),
	}))
	err = s.cfg.withoutLogin(pair, err)
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
func (s *Session) pauseBeforeReplay(ctx context.Context, r Run, err error, delay time.Duration) bool {
	now := s.now()
	until := now.Add(delay).And(now.At(failure.RetryAt(err)))
	if until.Since(now) > schedule.ReplayWindow {
		return false
	}
	s.setHealth(func(h *Health) { h.State, h.Err, h.Next = StateRetrying, err, until })
	s.host.Emit(Event{Kind: EventRefreshFailed, Err: err, Next: until})
	s.pause(ctx, r, until.Since(now))
	return true
}

// pause waits, and reports false if that ended with the run or with ctx.
func (s *Session) pause(ctx context.Context, r Run, wait time.Duration) (over bool) {
	timer, run := s.cfg.Clock.Timer(wait), r.Context()
	defer timer.Stop()
	r.Lend(func() {
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
func (s *Session) succeed(ctx context.Context, pair, next *oauth.TokenPair, w Want) error {
	rejected := next.IDTokenError
	next.IDTokenError = nil // told here; a later reader of the pair can do nothing about it
	session := next
	if w.Resource != "" { // of another resource's pair the session takes the refresh token
		session = pair.Clone()
		session.RefreshToken, session.RefreshExpiresAt = next.RefreshToken, next.RefreshExpiresAt
	}
	rec := edit(s.rec)
	rec.Supersede(session)
	rec.RefreshedAt, rec.RefreshedBy = s.now().Wall().UTC(), s.cfg.ConfigID
	s.rec = rec
	s.unsaved.store, s.unsaved.callback = true, s.cfg.TokenStore != nil
	_ = s.save(ctx) // reported, and tried again
	if s.rec != rec {
		return tokenstore.ErrConflict // a logout or a new login has overtaken us
	}
	if w.Resource == "" {
		s.publish(session)
	} else {
		s.show(session)
		s.publishResource(w.Resource, next)
	}
	before := s.state.Load()
	if !s.displaced() {
		s.setHealth(func(h *Health) { h.renew(rec.RefreshedAt) })
	}
	s.host.Emit(Event{Kind: EventRefreshed})
	s.lifted(before)
	if rejected != nil {
		s.host.Emit(Event{Kind: EventIDTokenRejected, Err: rejected})
	}
	if w.Resource == "" && pair.Scope != next.Scope && lessScope(pair.Scopes(), next.Scopes()) {
		s.host.Emit(Event{Kind: EventScopeReduced})
	}
	if !s.currentFor(w.Resource).Alive(s.now()) {
		s.setHealth(func(h *Health) { h.Failures = before.Failures }) // or we would ask again at once, for ever
		return s.failed(ctx, failure.Transient(errIssuedDead))
	}
	return nil
}

// lessScope reports whether a scope of before is missing from after.
func lessScope(before, after []string) bool {
	return slices.ContainsFunc(before, func(scope string) bool { return !slices.Contains(after, scope) })
}

// keepDowngraded follows an answer that had to be refused although the server
// took the refresh token: next is the pair with its successor. That is saved, for
// it is all that can be spent, and the access token that there was goes on to be
// served while it lives. The refusal itself is for a person to put right.
func (s *Session) keepDowngraded(ctx context.Context, next *oauth.TokenPair, err error) error {
	rec := s.rec.Clone()
	rec.Supersede(next)
	s.rec = rec
	s.unsaved.store, s.unsaved.callback = true, s.cfg.TokenStore != nil
	_ = s.save(ctx) // reported, and tried again
	if s.rec != rec {
		return tokenstore.ErrConflict // a logout or a new login has overtaken us
	}
	s.show(next)
	return s.misconfigured(err)
}
