package main

import (
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// A session is what a command works on: the profile, its client, and the store
// that holds its tokens.
type session struct {
	app     *app
	profile *profile
	client  *oauth.Client
	store   *boundStore
}

// open finds the current profile's session, and has the OS keyring unlocked if the
// profile needs it. It reads no tokens yet.
func (a *app) open(ctx context.Context) (*session, error) {
	p, err := a.loadProfile()
	if errors.Is(err, errNoProfile) {
		return nil, &problem{exitLogin, "not logged in", a.loginAdvice()}
	}
	if err != nil {
		return nil, err
	}
	cfg, err := p.config()
	if err != nil {
		return nil, err
	}
	cfg.Output = a.stderr
	store, err := a.openStore(ctx, p)
	if err != nil {
		return nil, err
	}
	return &session{app: a, profile: p, client: oauth.NewClient(cfg), store: store}, nil
}

// manager returns a manager for the session that is not running yet.
func (s *session) manager(edit func(*refresh.Config)) *refresh.Manager {
	cfg := refresh.Config{
		OAuthClient: s.client,
		Store:       s.store,
		Session:     s.app.profile,
		Logger:      s.app.logger(),
	}
	if edit != nil {
		edit(&cfg)
	}
	return refresh.NewManager(cfg)
}

// with runs a manager while f works with it; callers without a living token wait
// for one as long as given. A refresh under way when f returns is followed
// through and saved; what cannot be saved is an error.
func (s *session) with(ctx context.Context, wait time.Duration, f func(m *refresh.Manager) error) (err error) {
	// Less than a second would not do for taking the lock on a busy machine.
	m := s.manager(func(cfg *refresh.Config) { cfg.MaxWait = max(wait, time.Second) })
	// The end of ctx must not end the manager before f has seen it.
	if err := m.Start(context.WithoutCancel(ctx), nil); err != nil {
		return err
	}
	defer func() { err = first(s.app.finish(ctx, m), err) }()
	return f(m)
}

// closeLimit is app.closeLimit: a little more than a refresh may take.
const closeLimit = 35 * time.Second

// finish ends a manager and waits for what it has to save. ctx only tells whether
// the person waits for it.
func (a *app) finish(ctx context.Context, m *refresh.Manager) error {
	patience := time.AfterFunc(2*time.Second, func() {
		a.say("Finishing a refresh, so that the session is not lost …")
	})
	defer patience.Stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.closeLimit)
	defer cancel()
	return m.Close(ctx)
}

// first returns the first error that there is.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
