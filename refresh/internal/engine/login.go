package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/tokenstore"
)

// Start begins to keep the session alive; see refresh.Manager.Start. A session that is
// alone starts its engine too.
func (m *Member) Start(ctx context.Context, tokens *oauth.TokenPair) error {
	return m.startWith(ctx, tokens, (*run).queueNow)
}

// StartUnqueued is Start with the saved session, which is not looked at before something
// happens to it: nothing is renewed meanwhile but what a caller asks for.
func (m *Member) StartUnqueued(ctx context.Context) error {
	return m.startWith(ctx, nil, func(*run) {})
}

func (m *Member) startWith(ctx context.Context, tokens *oauth.TokenPair, queue func(*run)) error {
	if err := m.cfg.Session.CheckStart(m.name, tokens); err != nil {
		return err
	}
	if !m.engine.opts.Alone {
		return m.start(ctx, ctx, tokens, nil, queue)
	}
	l, err := m.engine.start(ctx)
	if err != nil {
		return err
	}
	begun := false
	defer func() {
		if !begun {
			l.cancel()
			<-l.finished
		}
	}()
	err = m.start(ctx, l.ctx, tokens, nil, queue)
	begun = err == nil
	return err
}

// start is Start with a run that outlives ctx and ends with ends. saved is for
// session.Begin. The run is handed to queue, so that the engine looks at it.
func (m *Member) start(ctx, ends context.Context, tokens *oauth.TokenPair, saved *session.Saved, queue func(*run)) error {
	r, err := m.claimRun(ctx, ends)
	if err != nil {
		return err
	}
	begun := false
	defer func() {
		if begun {
			r.begin(queue)
		} else {
			r.abandon()
		}
	}()
	err = m.WithTurn(ctx, func(s *session.Session) error { return s.Begin(ctx, tokens, saved) })
	if begun = err == nil; begun {
		m.Emit(session.Event{Kind: EventStarted})
	}
	return err
}

// Close ends the session, and with it the engine of one that is alone. With insist it
// keeps trying to save until ctx ends.
func (m *Member) Close(ctx context.Context, insist bool) error {
	err, done := m.close(ctx, insist)
	if done {
		return err
	}
	_, h := m.View()
	why := h.Unsaved
	if why == nil {
		why = errors.New("a refresh is still under way")
	}
	return fmt.Errorf("refresh: close: session %q: %w: %w: %w", m.name, session.ErrUnsaved, why, err)
}

func (m *Member) close(ctx context.Context, insist bool) (err error, done bool) {
	if m.engine.opts.Alone {
		return m.engine.Close(ctx, insist)
	}
	m.mu.Lock()
	r := m.run
	if r == nil {
		m.mu.Unlock()
		return nil, true
	}
	end := r.endLocked()
	if insist && end.grace == nil {
		end.grace = ctx
	}
	m.mu.Unlock()
	r.stop()
	select {
	case <-end.finished:
		return end.err, true
	case <-ctx.Done():
		return context.Cause(ctx), false
	}
}

// halt makes the session end, and does not wait for it.
func (m *Member) halt() {
	if r := m.runs(); r != nil {
		r.stop()
	}
}

// Update makes a new login the session; see refresh.Manager.UpdateTokens.
func (m *Member) Update(tokens *oauth.TokenPair) error {
	if err := m.cfg.Session.CheckUpdate(tokens); err != nil {
		return err
	}
	c := m.hold()
	defer m.release(c)
	m.loggingIn(c, 1)
	defer m.loggingIn(c, -1)
	if cur := m.cur.Load(); cur == nil || !session.MayBe(cur.Pair, tokens) {
		m.abandon(session.ErrReplaced)
	}
	ctx, known := context.Background(), false // a login must not be lost to the end of a run
	err := m.inTurn(ctx, c, func() (err error) {
		// What the session was does not count, unless it has ended: then the program insists.
		insist := m.needsLogin()
		if known = c.session.Was(tokens) && !insist; known {
			return nil
		}
		known, err = c.session.Login(ctx, tokens, insist)
		return err
	})
	if known {
		return err
	}
	m.Emit(session.Event{Kind: EventUpdated})
	m.Wake()
	if err != nil {
		return fmt.Errorf("refresh: %w: %w", session.ErrUnsaved, err)
	}
	return nil
}

// loggingIn counts the logins under way.
func (m *Member) loggingIn(c *awake, more int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.logins += more
}

// offer makes tokens the session if they are a new login, and not an earlier
// state of it. A pair that cannot be saved yet is in use all the same.
func (m *Member) offer(ctx context.Context, tokens *oauth.TokenPair) error {
	if tokens == nil {
		return nil
	}
	known := false
	err := m.WithTurn(ctx, func(s *session.Session) error {
		known = s.Knows(tokens)
		return nil
	})
	if err != nil || known {
		return err
	}
	if err := m.Update(tokens); !errors.Is(err, session.ErrUnsaved) {
		return err
	}
	return nil
}

// StartOrLogin is refresh.Manager.StartOrLogin.
func (m *Member) StartOrLogin(ctx context.Context, login func(context.Context) (*oauth.TokenPair, error)) error {
	follower := m.cfg.Session.Follower
	done, err := m.startSaved(ctx)
	if err == nil && !follower && m.perhapsEnded(ctx) {
		done = m.revived(ctx)
	}
	if done || follower {
		return err
	}
	return m.LoginOnce(ctx, login, func(tokens *oauth.TokenPair) error {
		if m.IsRunning() {
			return m.Update(tokens)
		}
		return m.Start(ctx, tokens)
	})
}

// A loginLock is the session's lock while a login of this process has it. Logouts go on
// under it: one that waited for it could be the login's own, which then never ended.
type loginLock struct {
	lease tokenstore.Lease
	users int // who have not left it yet; guarded by Member.mu
}

// underLogin is the key of a login's lock in the context that the login is called with.
type underLogin struct{ m *Member }

// lockForLogin takes the session's lock, or goes on under that of the login that was
// called with ctx: a program may call StartOrLogin in its Reauthenticate.
func (m *Member) lockForLogin(ctx context.Context, c *awake) (*loginLock, error) {
	if l, _ := ctx.Value(underLogin{m}).(*loginLock); l != nil && m.joins(l) {
		return l, nil
	}
	lease, err := m.cfg.Session.Lock(ctx, m.name)
	if err != nil {
		return nil, err
	}
	l := &loginLock{lease: lease, users: 1}
	m.mu.Lock()
	defer m.mu.Unlock()
	c.login = l
	return l, nil
}

// joinLogin returns the lock of the login under way here, if there is one, for a caller
// that leaves it with leaveLogin.
func (m *Member) joinLogin(c *awake) *loginLock {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.login != nil {
		c.login.users++
	}
	return c.login
}

// joins is joinLogin for a lock that may have been given back.
func (m *Member) joins(l *loginLock) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.users == 0 {
		return false
	}
	l.users++
	return true
}

// leaveLogin gives the lock back after the last of its users.
func (m *Member) leaveLogin(c *awake, l *loginLock) {
	m.mu.Lock()
	l.users--
	last := l.users == 0
	if last && c.login == l {
		c.login = nil
	}
	m.mu.Unlock()
	if last {
		_ = m.cfg.Session.Unlock(l.lease)
	}
}

// LoginOnce calls login, unless another process that had the session's lock before has
// logged in meanwhile, and hands what it returns to use. It keeps the lock until the
// login is saved.
func (m *Member) LoginOnce(ctx context.Context, login func(context.Context) (*oauth.TokenPair, error), use func(*oauth.TokenPair) error) error {
	c := m.hold()
	defer m.release(c)
	asked := ctx // what login is called with
	if m.cfg.Session.Locker != nil {
		l, err := m.lockForLogin(ctx, c)
		switch {
		case errors.Is(err, tokenstore.ErrLocked):
			return fmt.Errorf("refresh: another login of session %q is under way: %w", m.name, err)
		case err != nil:
			return fmt.Errorf("refresh: a login could not be saved: %w", err)
		}
		defer m.leaveLogin(c, l)
		if done, err := m.startSavedLocked(ctx, c); done {
			return err
		}
		asked = context.WithValue(ctx, underLogin{m}, l)
	}
	if err := m.cfg.Session.CheckStore(ctx, m.name); err != nil {
		return fmt.Errorf("refresh: a login could not be saved: %w", err)
	}
	tokens, err := login(asked)
	if err != nil {
		return err
	}
	if m.cfg.Session.Locker != nil {
		defer c.session.HasLock()()
	}
	return use(tokens)
}

// startSaved starts with the saved session and reports whether that settles it:
// false means that a login is needed, and the error says why, if the session did
// not start.
func (m *Member) startSaved(ctx context.Context) (done bool, err error) {
	if m.IsRunning() {
		err = m.WithTurn(ctx, func(s *session.Session) error { return s.Adopt(ctx) })
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

// startSavedLocked is startSaved for a caller that has the session's lock.
func (m *Member) startSavedLocked(ctx context.Context, c *awake) (done bool, err error) {
	defer c.session.HasLock()()
	return m.startSaved(ctx)
}

// needsLogin reports whether the session has ended, as far as can be said, or probably
// has.
func (m *Member) needsLogin() bool {
	_, h := m.View()
	return h.Ended() || h.State == session.StateSuspected
}

// perhapsEnded reports whether the session is suspected to have ended.
func (m *Member) perhapsEnded(ctx context.Context) (suspected bool) {
	_ = m.WithTurn(ctx, func(s *session.Session) error {
		suspected = s.PerhapsEnded()
		return nil
	})
	return suspected
}

// revived asks the server once more about a session that has perhaps ended, and reports
// whether no login is needed now.
func (m *Member) revived(ctx context.Context) bool {
	return m.Force(ctx) == nil || !m.needsLogin()
}

// Logout ends the session at the server and in the Store; see refresh.Manager.Logout.
func (m *Member) Logout(ctx context.Context) error {
	c := m.hold()
	defer m.release(c)
	inTurn := func(ctx context.Context, f func() error) error { return m.inTurn(ctx, c, f) }
	if m.cfg.Session.Locker == nil {
		if err := awaitBefore(ctx, m.engine.before(m)); err != nil {
			return err
		}
	}
	if l := m.joinLogin(c); l != nil {
		defer m.leaveLogin(c, l)
		return c.session.LogoutLocked(ctx, inTurn)
	}
	return c.session.Logout(ctx, inTurn)
}
