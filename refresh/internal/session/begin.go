package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// CheckStart returns an error for a session that cannot begin.
func (c *Config) CheckStart(name string, tokens *oauth.TokenPair) error {
	switch {
	case c.Problem != nil:
		return fmt.Errorf("refresh: start: %w", c.Problem)
	case c.Follower && c.Store == nil:
		return fmt.Errorf("refresh: start: a follower needs Config.Store: %w", oauth.ErrMisconfigured)
	case c.Follower && tokens != nil:
		return fmt.Errorf("refresh: start: %w: %w", ErrFollower, oauth.ErrMisconfigured)
	case c.Refresh == nil && !c.Follower:
		return fmt.Errorf("refresh: start: Config.OAuthClient is nil: %w", oauth.ErrMisconfigured)
	}
	if tokens != nil {
		if err := checkPair(tokens); err != nil {
			return fmt.Errorf("refresh: start: %w", err)
		}
	}
	err := tokenstore.CheckName(name)
	if err == nil && tokenstore.IsServerRecord(name) {
		err = fmt.Errorf("%q is the name of a record about a server", name)
	}
	if err != nil {
		return fmt.Errorf("refresh: start: Config.Session: %w: %w", oauth.ErrMisconfigured, err)
	}
	return nil
}

// A Saved is a session as the Store has just told it.
type Saved struct {
	Record *tokenstore.Record
	Stamp  Stamp
}

// Begin decides which pair a run starts with: tokens if they are a new login, else the
// saved session. saved is that, and nil if the Store is yet to be asked. The caller has
// the turn.
func (s *Session) Begin(ctx context.Context, tokens *oauth.TokenPair, saved *Saved) error {
	s.account = nil // whose session it is, Start decides anew
	s.askAnew()
	var stored *tokenstore.Record
	var err error
	if saved != nil {
		stored = saved.Record
	} else {
		stored, err = s.get(ctx)
	}
	switch {
	case err == nil, errors.Is(err, tokenstore.ErrNotFound):
	case tokens == nil && !(s.cfg.Tokenless && errors.Is(err, tokenstore.ErrDamaged)): // moved aside: begin anew
		return fmt.Errorf("refresh: start: reading session %q: %w", s.name, err)
	default:
		s.cfg.Logger.Warn("saved session cannot be read", "session", s.name, "error", err)
	}
	if stored == nil && tokens != nil && s.hasRenewed(tokens, err) {
		return nil
	}
	if tokens == nil && stored == nil {
		switch {
		case s.rec != nil && s.rec.Version == 0:
			return nil // never saved, still in memory from an earlier run
		case s.rec != nil:
			s.loggedOut()
		}
		if s.cfg.Tokenless && !s.cfg.Follower {
			s.beginEmpty()
			return nil
		}
		if s.cfg.Store == nil {
			return fmt.Errorf("refresh: start: tokens are nil, and there is no Config.Store to go on from: %w", oauth.ErrLoginRequired)
		}
		return fmt.Errorf("refresh: start: tokens are nil, and no session %q is saved: %w", s.name, oauth.ErrLoginRequired)
	}
	if tokens == nil || (stored != nil && !newLogin(stored, tokens, s.now().Wall())) {
		if err := s.cfg.checkRenewable(stored.Tokens); err != nil {
			return fmt.Errorf("refresh: start: %w", err)
		}
		if s.take(stored); saved != nil {
			s.stamp = saved.Stamp
		}
		return nil
	}
	if err := s.cfg.checkRenewable(tokens); err != nil {
		return fmt.Errorf("refresh: start: %w", err)
	}
	rec := &tokenstore.Record{Tokens: settle(tokens.Clone(), s.now().Wall())}
	if stored != nil {
		takePlace(rec, stored)
	}
	// A program that hands tokens to Start has them saved already, or does not care; only
	// a shared Store has to learn of them. A failed save is reported and tried again.
	_ = s.replace(ctx, rec, unsaved{store: true, callback: s.cfg.Store != nil})
	return nil
}

// hasRenewed reports whether tokens are a seed that an earlier run has renewed, and could
// not save: err is what the Store says, and only a session that was saved can have been
// deleted there.
func (s *Session) hasRenewed(tokens *oauth.TokenPair, err error) bool {
	deleted := errors.Is(err, tokenstore.ErrNotFound) && s.rec != nil && s.rec.Version != 0
	return !deleted && s.Knows(tokens)
}

// askAnew forgets how long to wait after what an earlier run has met: a program that
// starts a manager again wants to know. A wish of the server's is in the record.
func (s *Session) askAnew() {
	s.asked = ""
	if h := s.state.Load(); h.Failures > 0 && !h.Ended() {
		s.setHealth(func(h *Health) {
			h.Next, h.callers, h.since, h.firm = moment.Instant{}, moment.Instant{}, moment.Instant{}, moment.Instant{}
		})
	}
}

// beginEmpty begins a session whose first pair is yet to be obtained.
func (s *Session) beginEmpty() {
	s.rec = &tokenstore.Record{Tokens: new(oauth.TokenPair)}
	s.setHealth(func(h *Health) { *h = NoSession })
}
