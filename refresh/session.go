package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// Everything in this file is called by the turn's holder.

// begin decides which pair a run starts with.
func (m *managed) begin(ctx context.Context, tokens *oauth.TokenPair) error {
	m.account = nil // whose session it is, Start decides anew
	m.askAnew()
	stored, err := m.get(ctx)
	switch {
	case err == nil:
	case errors.Is(err, tokenstore.ErrNotFound):
		stored = nil
	case tokens == nil && !(m.cfg.tokenless && errors.Is(err, tokenstore.ErrDamaged)): // moved aside: begin anew
		return fmt.Errorf("refresh: start: reading session %q: %w", m.session, err)
	default:
		m.cfg.Logger.Warn("saved session cannot be read", "session", m.session, "error", err)
	}
	if tokens == nil && stored == nil {
		switch {
		case m.rec != nil && m.rec.Version == 0:
			return nil // never saved, still in memory from an earlier run
		case m.rec != nil:
			m.loggedOut()
		}
		if m.cfg.tokenless && !m.cfg.Follower {
			m.beginEmpty()
			return nil
		}
		return fmt.Errorf("refresh: start: no saved session %q: %w", m.session, oauth.ErrLoginRequired)
	}
	if tokens == nil || (stored != nil && !newLogin(stored, tokens, m.now())) {
		if err := m.cfg.checkRenewable(stored.Tokens); err != nil {
			return fmt.Errorf("refresh: start: %w", err)
		}
		m.take(stored)
		return nil
	}
	if err := m.cfg.checkRenewable(tokens); err != nil {
		return fmt.Errorf("refresh: start: %w", err)
	}
	rec := &tokenstore.Record{Tokens: settle(tokens.Clone(), m.now())}
	if stored != nil {
		rec.Version, rec.Unknown = stored.Version, stored.Unknown
	}
	// Who hands tokens to Start has them saved already, or does not care; only a
	// shared Store has to learn of them. A failed save is reported and tried again.
	_ = m.replace(ctx, rec, unsaved{store: true, callback: m.cfg.Store != nil})
	return nil
}

// askAnew forgets how long to wait after what an earlier run has met: who starts a
// manager again wants to know. A wish of the server's is in the record.
func (m *managed) askAnew() {
	m.asked = ""
	if h := m.state.Load(); h.failures > 0 && !h.ended() {
		m.setHealth(func(h *health) {
			h.next, h.callers, h.since, h.firm = time.Time{}, time.Time{}, time.Time{}, false
		})
	}
}

// newLogin reports whether tokens are a login that stored does not know of, and
// not an earlier state of the same session.
func newLogin(stored *tokenstore.Record, tokens *oauth.TokenPair, now time.Time) bool {
	switch {
	case stored.Descends(tokens.RefreshToken), !differs(stored.Tokens, tokens):
		return false
	case tokens.RefreshToken != "" && tokens.RefreshToken == stored.Tokens.RefreshToken:
		return tokens.IssuedAt.After(stored.Tokens.IssuedAt)
	}
	issued := stored.Tokens.IssuedAt
	if issued.After(now.Round(0)) {
		return true // by a clock that was set back since: it proves nothing
	}
	return tokens.IssuedAt.IsZero() || !issued.After(tokens.IssuedAt)
}

// differs reports whether two pairs are not the same one.
func differs(a, b *oauth.TokenPair) bool {
	return a.AccessToken != b.AccessToken || a.RefreshToken != b.RefreshToken
}

// settle fills in the absolute times of a pair that has none: a fresh one, or
// one that a program has put together. The lifetime counts from the issue, if
// that is known; otherwise now is the best guess that errs on the long side, and
// IssuedAt stays open. All of them are to be compared by the wall clock, so a
// monotonic reading is removed.
func settle(t *oauth.TokenPair, now time.Time) *oauth.TokenPair {
	for _, at := range []*time.Time{&t.IssuedAt, &t.ExpiresAt, &t.RefreshAt, &t.RefreshExpiresAt} {
		*at = at.Round(0)
	}
	if t.ExpiresAt.IsZero() && t.ExpiresIn > 0 {
		from := t.IssuedAt
		if from.IsZero() {
			from = now.Round(0)
		}
		t.ExpiresAt = from.Add(time.Duration(min(t.ExpiresIn, int64(schedule.MaxLife/time.Second))) * time.Second)
	}
	return t
}

// lookIfChanged is look, if the Store does not say that there is nothing new. seen is
// what it has just said; nil if it was not asked.
func (m *managed) lookIfChanged(ctx context.Context, seen *stamp) error {
	var current stamp
	if seen != nil {
		current = *seen
	} else {
		current = m.readStamp(ctx) // first: what is written meanwhile is news then
	}
	if current.known && current == m.stamp && m.rec != nil {
		return nil
	}
	err := m.look(ctx)
	if m.stamp = current; err != nil {
		m.stamp = stamp{}
	}
	return err
}

// look reads the Store and takes over what somebody else has changed there: a
// newer pair, marks, a logout.
func (m *managed) look(ctx context.Context) error {
	if m.cfg.Store == nil {
		return nil // nobody else knows the session
	}
	stored, err := m.get(ctx)
	switch {
	case errors.Is(err, tokenstore.ErrNotFound):
		if m.rec != nil && m.rec.Version != 0 {
			m.loggedOut()
		}
		return nil
	case errors.Is(err, tokenstore.ErrDamaged) && m.rec != nil && !m.cfg.Follower:
		// Moved aside. What we hold is good: write it anew.
		m.rec.Version = 0
		m.unsaved.store = true
		return nil
	case err != nil:
		return err
	}
	m.take(stored)
	return nil
}

// take makes a record from the Store the session's state, unless it is older
// than what we hold.
func (m *managed) take(stored *tokenstore.Record) {
	switch mine := m.rec; {
	case mine != nil && !differs(mine.Tokens, stored.Tokens):
		m.rec = stored
		if m.account == nil {
			m.account = stored.Tokens
		}
		m.storeSaved()
		if m.displaced() { // and is back
			m.setHealth(func(h *health) { *h = health{state: StateValid, renewed: stored.RefreshedAt} })
		}
	case !m.account.SameAccount(stored.Tokens) && !m.unsaved.login:
		m.displace()
		return
	case mine != nil && !m.cfg.Follower && m.outdated(stored):
		mine.Version = stored.Version // ours is written over it
		m.unsaved.store = true
		return
	default:
		if mine == nil || !stored.Descends(mine.Tokens.RefreshToken) {
			m.forgetResources() // another login
			m.distrust.Store(nil)
		}
		before := m.state.Load()
		m.rec = stored
		m.unsaved = unsaved{}
		m.publish(stored.Tokens)
		m.releaseKept()
		m.setHealth(func(h *health) { *h = health{state: StateValid, renewed: stored.RefreshedAt} })
		if mine != nil {
			m.emit(Event{Kind: EventAdopted})
			m.lifted(before)
		}
	}
	if stored.Condemned(m.cfg.configID) && !m.cfg.asksAnew(stored.Tokens) && !m.state.Load().ended() {
		m.declareDead(&oauth.Error{Op: "refresh", Kind: oauth.ErrLoginRequired, Code: stored.Dead.Code})
	}
}

// outdated reports whether stored is to be replaced by what we hold: it is an
// earlier state of our session, because we could not save the later one yet or
// because somebody put an old copy back; or ours is a new login, not yet saved.
func (m *managed) outdated(stored *tokenstore.Record) bool {
	if m.unsaved.login {
		return newLogin(stored, m.rec.Tokens, m.now())
	}
	if m.rec.Descends(stored.Tokens.RefreshToken) {
		return true
	}
	if stored.Tokens.RefreshToken != m.rec.Tokens.RefreshToken {
		return false
	}
	// A server without rotation: the refresh tokens do not tell. Versions do, if
	// ours was saved; clocks need not, as they can be set back.
	if m.unsaved.store {
		return stored.Tokens.IssuedAt.Before(m.rec.Tokens.IssuedAt)
	}
	return stored.Version < m.rec.Version
}

// displace ends the session because the Store holds one of another account now,
// which the manager was not asked to work for. The token it has lives on; its
// refresh token is left alone, since others who have it cannot be asked any more.
func (m *managed) displace() {
	if m.displaced() {
		return
	}
	m.unsaved = unsaved{}
	m.releaseKept()
	m.setHealth(func(h *health) {
		*h = health{state: StateLoginRequired, err: failure.LoginRequired(ErrOtherAccount), renewed: h.renewed}
	})
	m.emit(Event{Kind: EventOtherAccount, Err: ErrOtherAccount})
}

func (m *managed) displaced() bool { return errors.Is(m.state.Load().err, ErrOtherAccount) }

// loggedOut ends the session because somebody removed it from the Store. What we
// hold is not written back: a logout must stay one.
func (m *managed) loggedOut() {
	m.rec = nil
	m.unsaved = unsaved{}
	m.releaseKept()
	m.forgetResources()
	m.cur.Store(nil)
	m.setHealth(func(h *health) { *h = health{state: StateLoggedOut, err: failure.LoginRequired(ErrLoggedOut)} })
	m.emit(Event{Kind: EventLoggedOut})
}

// publish shows a pair with a new access token to readers.
func (m *managed) publish(pair *oauth.TokenPair) {
	m.generation++
	m.show(pair)
}

// show shows a pair to readers. Without publish it has the same access token as
// the one before.
func (m *managed) show(pair *oauth.TokenPair) {
	s := newSnapshot(pair, m.timing(pair), m.now())
	s.generation = m.generation
	m.cur.Store(s)
	m.account = pair
}

func (m *Manager) timing(pair *oauth.TokenPair) schedule.Timing {
	t := m.cfg.timing(pair)
	t.Jitter = schedule.JitterOf(m.session)
	t.Crowd, t.Latency = m.cfg.server.pace()
	t.Pooled = m.pool != nil
	return t
}

// renew brings the session forward, once: by adopting what somebody else has
// saved, or by spending the refresh token. It runs in a flight, with the turn.
func (m *managed) renew(ctx context.Context, r *run, w want) error {
	// First without the lock: most news comes from somebody who has just let go
	// of it, and a token that may not be spent needs no lock.
	_ = m.look(ctx)
	if m.satisfied(w) {
		return nil
	}
	if m.empty() {
		w.resource = "" // the session's own pair comes first
	}
	if err := m.barred(w); err != nil {
		return err
	}
	if err := m.admit(ctx, r, w); err != nil {
		return err
	}
	defer m.cfg.server.release(m.cfg.configID)
	lease, err := m.lease(ctx, r)
	if r.isOver() && err != nil {
		return ErrStopped
	}
	if err != nil {
		if m.look(ctx); m.satisfied(w) {
			return nil
		}
		return m.storeFailed(ctx, err)
	}
	defer func() { m.endLease(lease) }()

	// A conflict means that somebody changed the record without the lock. Each
	// round reads it again; three of them lost to others are a matter for later.
	for range 3 {
		if err = m.look(ctx); err != nil && !m.alone(err) {
			return m.storeFailed(ctx, fmt.Errorf("reading the session: %w", err))
		}
		if m.satisfied(w) {
			return nil
		}
		if err = m.barred(w); err != nil {
			return err
		}
		if r.isOver() {
			return ErrStopped // no refresh begins any more
		}
		if err = m.spend(ctx, r, lease, w); !errors.Is(err, tokenstore.ErrConflict) {
			return err
		}
	}
	return m.failed(ctx, failure.Transient(err))
}

// satisfied reports whether the session has, by now, what w asks for.
func (m *managed) satisfied(w want) bool {
	s, now := m.currentFor(w.resource), m.now()
	return !s.same(w.stale) && s.alive(now) && !s.isDue(now)
}

// alone reports whether the manager is to go on although the Store failed.
func (m *managed) alone(err error) bool {
	return m.cfg.LocalWhenUnavailable && !m.cfg.ShortLived && m.rec != nil && errors.Is(err, tokenstore.ErrUnavailable)
}

// lost reports whether the answer to a spend is known to be lost: it can be had
// again only soon.
func (m *managed) lost() bool {
	return m.rec != nil && m.rec.Pending.On(m.rec.Tokens.RefreshToken) && !m.cfg.Follower
}

// barred returns why no refresh token may be spent now, or nil.
func (m *managed) barred(w want) error {
	h, now := m.state.Load(), m.now()
	switch {
	case h.ended():
		return h.err
	case m.rec == nil:
		return failure.LoginRequired(ErrLoggedOut)
	case m.cfg.Renewal == RenewNever:
		return ErrPaused
	case m.cfg.Follower:
		return m.failed(context.Background(), failure.Transient(errOwnerLate))
	case m.cfg.checkRenewable(m.rec.Tokens) != nil: // another program has put such a pair into the Store
		return m.misconfigured(m.cfg.checkRenewable(m.rec.Tokens))
	case !m.cfg.renews(m.rec.Tokens):
		m.declareDead(failure.LoginRequired(oauth.ErrRefreshTokenRequired))
		return m.state.Load().err
	case now.Before(m.rec.NotBefore) && m.rec.NotBefore.Sub(now) <= maxAsked:
		m.obeyNotBefore()
		return m.state.Load().err
	case m.unread() && !w.insist:
		return m.stillUnread()
	case !w.force && remaining(now, m.nextOwn(h)) > 0, !w.force && remaining(now, m.asksElsewhere()) > 0:
		return h.err
	}
	return nil
}

// maxAsked is the longest wait that oauth lets a server ask for. If the record
// asks for a longer one, the clock was set back since.
const maxAsked = time.Hour

// obeyNotBefore makes the server's wish, which another process may have left in
// the record, this manager's own.
func (m *managed) obeyNotBefore() {
	until := m.inWaiting(m.rec.NotBefore)
	m.setHealth(func(h *health) {
		if h.err == nil {
			h.state = StateRetrying
			h.err = failure.AskedToWait(m.rec.NotBefore)
		}
		h.next, h.firm = later(h.next, until), true
	})
}
