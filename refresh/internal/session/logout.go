package session

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

// Logout ends the session, as refresh.Manager.Logout says. The caller does not have the
// turn: inTurn calls a function with it, as WithTurn does. The lock comes first, since a
// login that has it wants the turn. A lock that the session keeps serves as well, even if
// it begins to keep it only now.
func (s *Session) Logout(ctx context.Context, inTurn func(context.Context, func() error) error) error {
	for {
		var over bool
		var waiting context.Context
		var stop func()
		err := inTurn(ctx, func() error {
			if over = s.cfg.Locker == nil || s.kept != nil; over {
				return s.logout(ctx)
			}
			waiting, stop = s.whileUnkept(ctx)
			return nil
		})
		if over || err != nil {
			return err
		}
		lease, err := s.cfg.Lock(waiting, s.name)
		kept := waiting.Err() != nil && ctx.Err() == nil
		stop()
		switch {
		case err != nil && kept:
			continue
		case err != nil:
			return err
		}
		defer func() { _ = s.cfg.Unlock(lease) }()
		return s.LogoutLocked(ctx, inTurn)
	}
}

// LogoutLocked is Logout for a caller that has the session's lock.
func (s *Session) LogoutLocked(ctx context.Context, inTurn func(context.Context, func() error) error) error {
	defer s.HasLock()()
	return inTurn(ctx, func() error { return s.logout(ctx) })
}

// whileUnkept returns a context that ends with ctx, or when the session begins to keep its
// lock. stop ends it. The caller has the turn.
func (s *Session) whileUnkept(ctx context.Context) (waiting context.Context, stop func()) {
	if s.unkept == nil {
		s.unkept, s.keeps = context.WithCancel(context.Background())
	}
	waiting, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(s.unkept, cancel)
	return waiting, func() {
		unhook()
		cancel()
	}
}

// logout ends the newest state of the session that there is. The caller has the
// turn and the lock.
func (s *Session) logout(ctx context.Context) error {
	if err := s.look(ctx); err != nil {
		return fmt.Errorf("reading session %q: %w", s.name, err)
	}
	rec := s.rec
	if rec == nil {
		return nil
	}
	var kept error                           // by the server
	if !isEmpty(rec) && !rec.Condemned("") { // shown again, a dead token can count as stolen
		switch err := s.revoke(ctx, rec.Tokens); {
		case err == nil, errors.Is(err, oauth.ErrLoginRequired): // it was over before
		case refusesToRevoke(err):
			kept = fmt.Errorf("the session is removed here, but %w: %w", oauth.ErrNotRevoked, err)
		default:
			return err
		}
	}
	if err := s.erase(ctx, rec); err != nil {
		return err
	}
	s.loggedOut()
	return kept
}

// revoke tells the server, if there is a way to. It waits for that as long as a caller
// waits for a token, and no longer for an OAuthClient that ignores its context.
func (s *Session) revoke(ctx context.Context, tokens *oauth.TokenPair) error {
	if s.cfg.Revoke == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.MaxWait)
	defer cancel()
	own := tokens.Clone()
	done := failure.Apart("OAuthClient.Revoke", func() error {
		return failure.Told("OAuthClient.Revoke", s.cfg.Revoke(ctx, own))
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(obedience):
		return failure.Transient(fmt.Errorf("%w: %w", errDeaf, context.Cause(ctx)))
	}
}

// refusesToRevoke reports whether the server will not revoke a token, so that a logout
// would never end that waited for it.
func refusesToRevoke(err error) bool {
	if _, told := errors.AsType[*oauth.Error](err); told {
		return errors.Is(err, oauth.ErrNotRevoked)
	}
	return errors.Is(err, oauth.ErrNotRevoked) || errors.Is(err, oauth.ErrMisconfigured)
}

// erase removes rec from the Store, and what writers that ignore the lock
// have made of it meanwhile; but not a new login, nor another account's session. It
// outlives ctx's cancellation, since the server may have been told. A Store whose answers
// are older than what it compares with (a replica that lags) is not asked for ever.
func (s *Session) erase(ctx context.Context, rec *tokenstore.Record) error {
	if s.cfg.Store == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	version := rec.Version
	for range 4 {
		err := s.remove(ctx, version)
		if !errors.Is(err, tokenstore.ErrConflict) {
			return unlessGone(err)
		}
		stored, err := s.get(ctx)
		if err != nil {
			return unlessGone(err)
		}
		if differs(stored.Tokens, rec.Tokens) && !stored.Descends(rec.Tokens.RefreshToken) {
			return nil
		}
		version = stored.Version
	}
	return fmt.Errorf("session %q is still in the Store, which was changed each time: log out again: %w", s.name, tokenstore.ErrConflict)
}

// remove deletes the session's record from the Store if it has this version.
func (s *Session) remove(ctx context.Context, version uint64) error {
	ctx, cancel := context.WithTimeout(ctx, schedule.StoreTimeout)
	defer cancel()
	return failure.Guard("Store.Delete", func() error { return s.cfg.Records.Delete(ctx, s.name, version) })
}

func unlessGone(err error) error {
	if errors.Is(err, tokenstore.ErrNotFound) {
		return nil
	}
	return err
}
