package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A session is what a command works on: the profile, its client, and the store
// that holds its tokens.
type session struct {
	app     *app
	profile *profile.Profile
	client  *oauth.Client
	store   *stores.Bound
}

// open finds the current profile's session, and has the OS keyring unlocked if the
// profile needs it. It reads no tokens yet.
func (a *app) open(ctx context.Context) (*session, error) {
	p, err := a.loadProfile()
	if errors.Is(err, profile.ErrNone) {
		return nil, a.noProfile()
	}
	if err != nil {
		return nil, err
	}
	return a.openProfile(ctx, p)
}

// openProfile is open for a profile that has been loaded.
func (a *app) openProfile(ctx context.Context, p *profile.Profile) (*session, error) {
	cfg, err := p.Config()
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

// config returns how the session is kept alive: by a command that ends soon.
func (s *session) config() refresh.Config {
	return refresh.Config{
		OAuthClient:      s.client,
		Store:            s.store,
		Session:          s.app.Profile,
		RefreshIdleLimit: time.Duration(s.profile.RefreshIdle), // zero: the preset's
		ShortLived:       true,
		Logger:           s.app.logger(),
	}
}

// judge says how the saved session fares now.
func (s *session) judge(rec *tokenstore.Record) *refresh.RefreshStatus {
	return refresh.Judge(s.config(), rec, time.Now())
}

// with runs a manager while f works with it; callers without a living token wait
// for one as long as given. A refresh under way when f returns is followed
// through and saved; what cannot be saved is an error.
func (s *session) with(ctx context.Context, wait time.Duration, f func(m *refresh.Manager) error) (err error) {
	cfg := s.config()
	cfg.MaxWait = max(wait, leastWait)
	m := refresh.NewManager(cfg)
	// The end of ctx must not end the manager before f has seen it.
	if err := m.Start(context.WithoutCancel(ctx), nil); err != nil {
		return err
	}
	defer func() { err = cmp.Or(s.app.finish(ctx, m), err) }()
	return f(m)
}

// leastWait is what taking the lock may need on a busy machine.
const leastWait = time.Second
