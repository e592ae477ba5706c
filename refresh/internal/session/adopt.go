package session

import (
	"context"
	"errors"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

// lookIfChanged is look, if the Store does not say that there is nothing new. seen is
// what it has just said; nil if it was not asked.
func (s *Session) lookIfChanged(ctx context.Context, seen *Stamp) error {
	var current Stamp
	if seen != nil {
		current = *seen
	} else {
		current = s.cfg.ReadStamp(ctx, s.name) // first: what is written meanwhile is news then
	}
	if current.Known && current == s.stamp && s.rec != nil {
		return nil
	}
	err := s.look(ctx)
	if s.stamp = current; err != nil {
		s.stamp = Stamp{}
	}
	return err
}

// look reads the Store and takes over what other writers have changed there: a
// newer pair, marks, a logout.
func (s *Session) look(ctx context.Context) error {
	if s.cfg.Store == nil {
		return nil // no other process knows the session
	}
	stored, err := s.get(ctx)
	switch {
	case errors.Is(err, tokenstore.ErrNotFound):
		if s.rec != nil && s.rec.Version != 0 {
			s.loggedOut()
		}
		return nil
	case errors.Is(err, tokenstore.ErrDamaged) && s.rec != nil && !s.cfg.Follower:
		// Moved aside. What we hold is good: write it anew.
		s.rec.Version = 0
		s.unsaved.store = true
		return nil
	case err != nil:
		return err
	}
	s.take(stored)
	return nil
}

// take makes a record from the Store the session's state, unless it is older
// than what we hold.
func (s *Session) take(stored *tokenstore.Record) {
	switch mine := s.rec; {
	case mine != nil && !differs(mine.Tokens, stored.Tokens):
		s.rec = stored
		if s.account == nil {
			s.account = stored.Tokens
		}
		s.storeSaved()
		if s.displaced() { // and is back
			s.setHealth(func(h *Health) { *h = Health{State: StateValid, Renewed: stored.RefreshedAt} })
		}
	case !s.account.SameAccount(stored.Tokens) && !s.unsaved.login:
		s.displace()
		return
	case mine != nil && !s.cfg.Follower && s.outdated(stored):
		mine.Version = stored.Version // ours is written over it
		s.unsaved.store = true
		return
	default:
		if mine == nil || !stored.Descends(mine.Tokens.RefreshToken) {
			s.forgetResources() // another login
			s.distrust.Store(nil)
		}
		before := s.state.Load()
		s.rec = stored
		s.unsaved = unsaved{}
		s.publish(stored.Tokens)
		s.releaseKept()
		s.setHealth(func(h *Health) { *h = Health{State: StateValid, Renewed: stored.RefreshedAt} })
		if mine != nil {
			s.host.Emit(Event{Kind: EventAdopted})
			s.lifted(before)
		}
	}
	if stored.Condemned(s.cfg.ConfigID) && !s.cfg.asksAnew(stored.Tokens) && !s.state.Load().Ended() {
		s.declareDead(&oauth.Error{Op: "refresh", Kind: oauth.ErrLoginRequired, Code: stored.Dead.Code})
	}
}

// outdated reports whether stored is to be replaced by what we hold: it is an
// earlier state of our session, because we could not save the later one yet or
// because an old copy was put back; or ours is a new login, not yet saved.
func (s *Session) outdated(stored *tokenstore.Record) bool {
	if s.unsaved.login {
		return newLogin(stored, s.rec.Tokens, s.now().Wall())
	}
	if s.rec.Descends(stored.Tokens.RefreshToken) {
		return true
	}
	if stored.Tokens.RefreshToken != s.rec.Tokens.RefreshToken {
		return false
	}
	// A server without rotation: the refresh tokens do not tell. Versions do, if
	// ours was saved; clocks need not, as they can be set back.
	if s.unsaved.store {
		return stored.Tokens.IssuedAt.Before(s.rec.Tokens.IssuedAt)
	}
	return stored.Version < s.rec.Version
}

// displace ends the session because the Store holds one of another account now,
// which the manager was not asked to work for. The token it has lives on; its
// refresh token is left alone, since other processes that have it cannot be asked any more.
func (s *Session) displace() {
	if s.displaced() {
		return
	}
	s.unsaved = unsaved{}
	s.releaseKept()
	s.setHealth(func(h *Health) {
		*h = Health{State: StateLoginRequired, Err: failure.LoginRequired(ErrOtherAccount), Renewed: h.Renewed}
	})
	s.host.Emit(Event{Kind: EventOtherAccount, Err: ErrOtherAccount})
}

func (s *Session) displaced() bool { return errors.Is(s.state.Load().Err, ErrOtherAccount) }

// loggedOut ends the session because it was removed from the Store. What we
// hold is not written back: a logout must stay one.
func (s *Session) loggedOut() {
	s.rec = nil
	s.unsaved = unsaved{}
	s.releaseKept()
	s.forgetResources()
	s.cur.Store(nil)
	s.setHealth(func(h *Health) { *h = Health{State: StateLoggedOut, Err: failure.LoginRequired(ErrLoggedOut)} })
	s.host.Emit(Event{Kind: EventLoggedOut})
}

// publish shows a pair with a new access token to readers.
func (s *Session) publish(pair *oauth.TokenPair) {
	s.generation++
	s.show(pair)
}

// show shows a pair to readers. Without publish it has the same access token as
// the one before.
func (s *Session) show(pair *oauth.TokenPair) {
	s.cur.Store(snapshot.New(pair, s.timing(pair), s.generation, s.now()))
	s.account = pair
}

func (s *Session) timing(pair *oauth.TokenPair) schedule.Timing {
	t := s.cfg.timing(pair)
	t.Jitter = schedule.JitterOf(s.name)
	t.Crowd, t.Latency = s.cfg.Gate.Pace()
	t.Pooled = s.cfg.Pooled
	return t
}

// publishResource shows a resource's new token. The caller has the turn.
func (s *Session) publishResource(resource string, pair *oauth.TokenPair) {
	t := s.timing(pair)
	t.Idle, t.RefreshExpires = 0, pair.ExpiresAt // the session looks after the refresh token
	s.generation++
	s.Cell(resource).Store(snapshot.New(pair, t, s.generation, s.now()))
}
