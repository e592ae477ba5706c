package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

// CheckUpdate returns an error for a pair that cannot become the session.
func (c *Config) CheckUpdate(tokens *oauth.TokenPair) error {
	switch {
	case tokens == nil:
		return errors.New("refresh: UpdateTokens: tokens are nil")
	case tokens.AccessToken == "" && tokens.RefreshToken == "":
		return errors.New("refresh: UpdateTokens: the pair has no token")
	case c.Follower:
		return fmt.Errorf("refresh: UpdateTokens: %w", ErrFollower)
	}
	for _, check := range []func(*oauth.TokenPair) error{checkPair, c.checkRenewable} {
		if err := check(tokens); err != nil {
			return fmt.Errorf("refresh: UpdateTokens: %w", err)
		}
	}
	return nil
}

// Login makes tokens, a new login, the session. An error means that the pair is in use
// but could not be saved yet. Unless insist, it takes what is saved over if tokens are an
// earlier state of that, and reports that they are known: another process has spent them. The
// caller has the turn.
func (s *Session) Login(ctx context.Context, tokens *oauth.TokenPair, insist bool) (known bool, err error) {
	rec := &tokenstore.Record{Tokens: settle(tokens.Clone(), s.now().Wall())}
	stored, err := s.get(ctx)
	switch {
	case err == nil && !insist && isStateOf(stored, tokens) && !stored.Condemned(""):
		s.take(stored)
		return true, nil
	case err == nil:
		takePlace(rec, stored)
	case s.rec != nil && !errors.Is(err, tokenstore.ErrNotFound) && !errors.Is(err, tokenstore.ErrDamaged):
		takePlace(rec, s.rec)
	}
	return false, s.replace(ctx, rec, unsaved{store: true, callback: s.cfg.TokenStore != nil})
}

// Knows reports whether tokens are the session, or an earlier state of it, and not a
// new login. The caller has the turn.
func (s *Session) Knows(tokens *oauth.TokenPair) bool {
	return s.rec != nil && !newLogin(s.rec, tokens, s.now().Wall())
}

// Was reports whether tokens are the session, or an earlier state of it by their refresh token,
// whatever the times say. The caller has the turn.
func (s *Session) Was(tokens *oauth.TokenPair) bool { return s.rec != nil && isStateOf(s.rec, tokens) }

// MayBe reports whether tokens look like a state of the session that shows pair, so that a
// refresh under way is not to be abandoned for them: they have its refresh token, or are older.
func MayBe(pair, tokens *oauth.TokenPair) bool {
	return sameGrant(pair, tokens) || !tokens.IssuedAt.IsZero() && tokens.IssuedAt.Before(pair.IssuedAt)
}

// PerhapsEnded reports whether the session is suspected to have ended, by this process
// or by what the record says of those before it. The caller has the turn.
func (s *Session) PerhapsEnded() bool {
	return s.state.Load().State == StateSuspected || s.rec != nil && s.lastingBeyond(schedule.Slowly*s.cfg.CheckInterval)
}

// CheckStore finds out whether the Store would take a session, if it can tell. Safe for
// concurrent use.
func (c *Config) CheckStore(ctx context.Context, name string) error {
	checker, ok := c.Store.(tokenstore.Checker)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, schedule.StoreTimeout)
	defer cancel()
	return c.Reach.Check(ctx, checker, name)
}

// Peek returns a living token that another process has saved, or the error if another has
// found out that the session has ended, for a caller whose patience is over while the turn's
// holder still waits for the session's lock; nil if there is neither. Safe for concurrent use.
func (s *Session) Peek(ctx context.Context) (*snapshot.Snapshot, error) {
	cur := s.cur.Load()
	if s.cfg.Store == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second) // the caller has waited enough
	defer cancel()
	rec, err := s.get(ctx)
	switch {
	case err != nil:
		return nil, nil
	case s.cfg.endedBy(rec):
		return nil, toldDead(rec)
	case cur != nil && !differs(cur.Pair, rec.Tokens):
		return nil, nil
	}
	found := snapshot.New(rec.Tokens, s.timing(rec.Tokens), 0, s.now())
	if !found.Alive(s.now()) {
		return nil, nil
	}
	return found, nil
}

// WaitFor returns how long a caller without a living token has to wait for the next
// attempt: less than nothing if there may be one now.
func (s *Session) WaitFor(h *Health) time.Duration { return s.now().Until(s.nextForCaller(h)) }
