package refresh

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/tokenstore"
)

// Logout ends the session: at the server, if OAuthClient can revoke tokens as
// *oauth.Client does, and then in the Store. It waits for a refresh under way,
// here or in another process, and ends what came out of it; no refresh brings the
// session back. Other processes notice within their check interval.
//
// If the server cannot be told, nothing is deleted and the error says why: the
// session lives on. To forget it here all the same, delete it from the Store.
// Without a session Logout does nothing. It also works while the manager is not
// running.
func (m *Manager) Logout(ctx context.Context) error {
	if m.cfg.Follower {
		return fmt.Errorf("refresh: logout: %w", ErrFollower)
	}
	err := m.withTurn(ctx, func(c *managed) error {
		if m.cfg.locker != nil && c.kept == nil {
			lease, err := m.cfg.locker.Lock(ctx, m.session)
			if err != nil {
				return err
			}
			defer func() { _ = failure.Guard("Lease.Unlock", lease.Unlock) }()
		}
		return c.logout(ctx)
	})
	m.wakeUp() // a check may have been left out for this
	if err != nil {
		return fmt.Errorf("refresh: logout: %w", err)
	}
	return nil
}

// logout ends the newest state of the session that there is. The caller has the
// turn and the lock.
func (m *managed) logout(ctx context.Context) error {
	if err := m.look(ctx); err != nil {
		return fmt.Errorf("reading session %q: %w", m.session, err)
	}
	rec := m.rec
	if rec == nil {
		return nil
	}
	if !isEmpty(rec) && !rec.Condemned("") { // shown again, a dead token can count as stolen
		if err := m.revoke(ctx, rec.Tokens); err != nil {
			return err
		}
	}
	if err := m.erase(context.WithoutCancel(ctx), rec); err != nil {
		return err
	}
	m.loggedOut()
	return nil
}

// revoke tells the server, if there is a way to.
func (m *Manager) revoke(ctx context.Context, tokens *oauth.TokenPair) error {
	c, ok := m.cfg.OAuthClient.(interface {
		CanRevoke() bool
		Revoke(ctx context.Context, t *oauth.TokenPair) error
	})
	if !ok || !c.CanRevoke() {
		return nil
	}
	return failure.Guard("OAuthClient.Revoke", func() error { return c.Revoke(ctx, tokens.Clone()) })
}

// erase removes rec from the Store, and what writers that do not heed the lock
// have made of it meanwhile; but not a new login, nor another account's session.
func (m *managed) erase(ctx context.Context, rec *tokenstore.Record) error {
	if m.cfg.Store == nil {
		return nil
	}
	for version := rec.Version; ; {
		err := failure.Guard("Store.Delete", func() error { return m.cfg.Store.Delete(ctx, m.session, version) })
		if !errors.Is(err, tokenstore.ErrConflict) {
			return unlessGone(err)
		}
		stored, err := m.get(ctx)
		if err != nil {
			return unlessGone(err)
		}
		if differs(stored.Tokens, rec.Tokens) && !stored.Descends(rec.Tokens.RefreshToken) {
			return nil
		}
		version = stored.Version
	}
}

func unlessGone(err error) error {
	if errors.Is(err, tokenstore.ErrNotFound) {
		return nil
	}
	return err
}
