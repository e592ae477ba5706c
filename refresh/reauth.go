package refresh

import (
	"context"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
)

// tellProgram calls OnRefreshFail, and Reauthenticate if it says so, on a
// goroutine of its own: the program may take its time, ask a person, or stop the
// manager. Stop does not wait for it, but ends its context.
func (m *managed) tellProgram(cause error) {
	if m.cfg.OnRefreshFail == nil {
		return
	}
	m.mu.Lock()
	ctx := context.Background()
	if m.run != nil {
		ctx = m.run.contextLocked()
	}
	m.holdLocked() // a session at rest has no context
	m.mu.Unlock()
	go func() {
		defer m.release()
		var again bool
		err := failure.Guard("OnRefreshFail", func() error { again = m.cfg.OnRefreshFail(cause); return nil })
		if err == nil && (!again || m.cfg.Reauthenticate == nil || m.cfg.Follower) {
			return
		}
		if err == nil {
			err = m.reauthenticate(ctx)
		}
		if err != nil {
			m.emit(Event{Kind: EventReauthenticateFailed, Err: err})
		}
	}()
}

// reauthenticate obtains a new login from the program, unless another process
// has meanwhile, and continues with it. A login that was obtained is kept even if
// the manager has stopped meanwhile.
func (m *Manager) reauthenticate(ctx context.Context) error {
	return m.loginOnce(ctx, func(ctx context.Context) (pair *oauth.TokenPair, err error) {
		err = failure.Guard("Reauthenticate", func() error {
			pair, err = m.cfg.Reauthenticate(ctx)
			return err
		})
		return pair, err
	}, m.UpdateTokens)
}
