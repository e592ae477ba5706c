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
	client  client
	oauth   *oauth.Client // the client, if the server speaks OAuth, or nil
	store   *stores.Bound
	apis    []string // the origins that the token may go to, if it is sent anywhere
}

// A client renews a session, and ends it if the server can.
type client interface {
	refresh.Refresher
	refresh.Revoker
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
	return a.openProfile(ctx, a.settled(ctx, p))
}

// openProfile is open for a profile that has been loaded.
func (a *app) openProfile(ctx context.Context, p *profile.Profile) (*session, error) {
	s := &session{app: a, profile: p}
	if p.Backend != nil {
		s.client = p.Backend.Client(p.Lifetime)
	} else {
		cfg, err := p.Config()
		if err != nil {
			return nil, err
		}
		cfg.Output = a.stderr
		s.oauth = oauth.NewClient(cfg)
		s.client = s.oauth
	}
	var err error
	s.store, err = a.openStore(ctx, p)
	return s, err
}

// config returns how the session is kept alive: by a command that ends soon.
func (s *session) config() refresh.Config {
	return refresh.Config{
		OAuthClient:      s.client,
		Store:            s.store,
		Session:          s.app.Profile,
		RefreshIdleLimit: time.Duration(s.profile.RefreshIdle), // zero: the preset's
		Grace:            time.Duration(s.profile.Grace),       // likewise
		Presentation:     s.profile.Presentation.OAuth(),       // zero: the dialect's, or OAuth's
		AllowedOrigins:   s.apis,
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
// through and saved; what cannot be saved is an error. f's context ends, with the
// failure for its cause, when the server could not be reached for as long as w has
// patience.
func (s *session) with(ctx context.Context, w patience, f func(ctx context.Context, m *refresh.Manager) error) (err error) {
	cfg := s.config()
	cfg.MaxWait = max(w.wait, leastWait)
	waiting, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	cfg.OnEvent = func(e refresh.Event) {
		if e.Kind == refresh.EventCopied {
			s.app.warn("evertoken: %s", s.app.guide().Event(e))
		}
		fail, ok := errors.AsType[*oauth.Error](e.Err)
		if e.Kind == refresh.EventRefreshFailed && ok && !fail.Sent {
			time.AfterFunc(w.unreached, func() { giveUp(e.Err) })
		}
	}
	m := refresh.NewManager(cfg)
	// The end of ctx must not end the manager before f has seen it.
	if err := m.Start(context.WithoutCancel(ctx), nil); err != nil {
		return err
	}
	defer func() { err = cmp.Or(s.app.finish(ctx, m), err) }()
	return f(waiting, m)
}

// A patience is how long to wait for a new token: at all, and while the server cannot be
// reached.
type patience struct{ wait, unreached time.Duration }

// leastWait is what taking the lock may need on a busy machine.
const leastWait = time.Second
