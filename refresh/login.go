package refresh

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/tokenstore"
)

// StartOrLogin goes on with the saved session, like Start without tokens; if
// there is none, or the server has ended it, it calls login (such as
// (*oauth.Client).Authenticate) and starts with what that returns. So it does if the
// server refuses the session once more that is suspected to have ended.
//
// Over a Store with locks a login runs once: other processes that need one at the
// same time wait for it, as long as their ctx allows, and adopt it. An error of
// login is returned as it is. If Store is a tokenstore.Checker that could not save a
// session now, login is not called. A follower does not log in.
func (m *Manager) StartOrLogin(ctx context.Context, login func(context.Context) (*oauth.TokenPair, error)) error {
	done, err := m.startSaved(ctx)
	if err == nil && !m.cfg.Follower && m.perhapsEnded(ctx) {
		done = m.revived(ctx)
	}
	if done || m.cfg.Follower {
		return err
	}
	return m.loginOnce(ctx, login, func(tokens *oauth.TokenPair) error {
		if m.IsRunning() {
			return m.UpdateTokens(tokens)
		}
		return m.Start(ctx, tokens)
	})
}

// loginOnce calls login, unless somebody who had the session's lock before has
// logged in meanwhile, and hands what it returns to use. It keeps the lock until
// the login is saved.
func (m *Manager) loginOnce(ctx context.Context, login func(context.Context) (*oauth.TokenPair, error), use func(*oauth.TokenPair) error) error {
	if m.cfg.locker != nil {
		lease, err := m.cfg.locker.Lock(ctx, m.session)
		switch {
		case errors.Is(err, tokenstore.ErrLocked):
			return fmt.Errorf("refresh: another login of session %q is under way: %w", m.session, err)
		case err != nil:
			return fmt.Errorf("refresh: a login could not be saved: %w", err)
		}
		defer func() { _ = failure.Guard("Lease.Unlock", lease.Unlock) }()
		if done, err := m.startSaved(ctx); done {
			return err
		}
	}
	if err := m.checkStore(ctx); err != nil {
		return fmt.Errorf("refresh: a login could not be saved: %w", err)
	}
	tokens, err := login(ctx)
	if err != nil {
		return err
	}
	return use(tokens)
}

// checkStore finds out whether the Store would take a session, if it can tell.
func (m *Manager) checkStore(ctx context.Context) error {
	c, ok := m.cfg.Store.(tokenstore.Checker)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return failure.Guard("Store.Check", func() error { return c.Check(ctx, m.session) })
}

// startSaved starts with the saved session and reports whether that settles it:
// false means that a login is needed, and the error says why, if the manager did
// not start.
func (m *Manager) startSaved(ctx context.Context) (done bool, err error) {
	if m.IsRunning() {
		err = m.withTurn(ctx, func(c *managed) error { return c.look(ctx) })
		m.wakeUp() // a check may have been left out for this
	} else {
		err = m.Start(ctx, nil)
	}
	switch {
	case errors.Is(err, oauth.ErrLoginRequired):
		return false, err
	case errors.Is(err, tokenstore.ErrDamaged): // moved aside; there is no session any more
		return false, err
	case err != nil:
		return true, err
	}
	return !m.needsLogin(), nil
}

// needsLogin reports whether the session has ended, as far as can be said, or probably
// has.
func (m *Manager) needsLogin() bool {
	_, h := m.view()
	return h.ended() || h.state == StateSuspected
}

// perhapsEnded reports whether the session is suspected to have ended, by this manager
// or by what the record says of those before it.
func (m *Manager) perhapsEnded(ctx context.Context) (suspected bool) {
	_ = m.withTurn(ctx, func(c *managed) error {
		suspected = c.state.Load().state == StateSuspected || c.rec != nil && c.lastingBeyond(slowly*c.cfg.CheckInterval)
		return nil
	})
	return suspected
}

// revived asks the server once more about a session that has perhaps ended, and reports
// whether no login is needed now.
func (m *Manager) revived(ctx context.Context) bool {
	return m.ForceRefresh(ctx) == nil || !m.needsLogin()
}
