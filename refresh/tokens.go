package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/tokenstore"
)

// Token returns the current access token, making the manager an
// oauth2.TokenSource. It is TokenContext without a context: it waits at most
// Config.MaxWait. The token is shared and must not be modified.
//
// Token is for libraries that take nothing but a TokenSource: oauth2.NewClient,
// option.WithTokenSource of google.golang.org/api. They keep the token, until
// shortly before its Expiry or until then. So Expiry is not when the token dies but
// when a renewal is due, which ends the old access token at some servers. While that
// is less than ten seconds away, or has not come yet, Token hands out one that
// x/oauth2 calls valid, and that its cache keeps until the renewal is due or for a
// tenth of a second; so each token is valid until the last ten seconds of its life.
// Until then it is the same each time. Programs that save the token when it has
// changed should compare AccessToken.
//
// Its extra field "expires_at" (RFC 3339) has the real end, which oauth.FromOAuth2
// reads; GetExpiresAt tells it too. An end that is not known is a zero Expiry.
//
// No Expiry can help when the token is replaced before its renewal was due: by
// ForceRefresh, UpdateTokens, or another process that shares the session. A cache
// then goes on with the old one until its Expiry, and fails where the server has
// ended it. A library that takes an *http.Client or an http.RoundTripper should get
// Client or Transport instead: they ask for each request, and send one that was
// rejected with 401 once more.
func (m *Manager) Token() (*oauth2.Token, error) {
	s, err := m.current(context.Background())
	if err != nil {
		return nil, err
	}
	return m.handOut(s), nil
}

// TokenContext returns the current pair. While its access token lives, that costs
// a few atomic loads and a look at the clock, whatever the refresher is going
// through. Otherwise it waits for a refresh, through failed
// attempts if need be, until ctx ends or Config.MaxWait is over; it returns at once
// with the reason when waiting cannot help: an error that matches
// oauth.ErrLoginRequired, oauth.ErrMisconfigured, or oauth.ErrTransient for a server
// that wants to be left alone for longer. Without a living token a manager that is
// not running returns ErrStopped.
//
// The pair is shared and must not be modified; see GetTokens for a copy.
func (m *Manager) TokenContext(ctx context.Context) (*oauth.TokenPair, error) {
	s, err := m.current(ctx)
	if err != nil {
		return nil, err
	}
	return s.pair, nil
}

// current returns the session's token if it lives, or else waits for one.
func (m *Manager) current(ctx context.Context) (*snapshot, error) {
	if s := m.cur.Load(); s.alive(m.now()) {
		return s, nil
	}
	return m.await(ctx, "")
}

// await waits for a living token.
func (m *Manager) await(ctx context.Context, resource string) (*snapshot, error) {
	c := m.use()
	defer c.release()
	if s, now := m.currentFor(resource), m.now(); s.alive(now) {
		if s.isDue(now) {
			m.wakeUp() // nobody has renewed it because nobody asked
		}
		return s, nil // it was at rest
	}
	return c.await(ctx, resource)
}

func (m *managed) await(ctx context.Context, resource string) (*snapshot, error) {
	deadline := m.now().Add(m.cfg.MaxWait)
	limit := m.cfg.Clock.Timer(m.cfg.MaxWait)
	defer limit.Stop()
	for {
		if s := m.currentFor(resource); s.alive(m.now()) {
			return s, nil
		}
		changed := m.changes() // before looking again, so that no change is missed
		s, h, now := m.currentFor(resource), m.state.Load(), m.now()
		if s.alive(now) {
			return s, nil
		}
		pause := remaining(now, m.nextForCaller(h))
		if h.ended() || pause > deadline.Sub(now) || h.hopeless() || pause > 0 && h.told() {
			return nil, h.err // waiting cannot help
		}
		var retry <-chan time.Time
		var f *flight
		if pause > 0 {
			if !m.IsRunning() {
				return nil, errors.Join(ErrStopped, h.err)
			}
			timer := m.cfg.Clock.Timer(pause)
			defer timer.Stop()
			retry = timer.C
		} else {
			var err error
			if f, err = m.fly(want{stale: s, resource: resource, force: true}); err != nil {
				return nil, errors.Join(err, h.err)
			}
			changed = f.done
		}
		select {
		case <-changed:
			if f != nil && errors.Is(f.err, ErrPaused) {
				return nil, f.err
			}
		case <-retry:
		case <-ctx.Done():
			return nil, fmt.Errorf("refresh: waiting for a token: %w", context.Cause(ctx))
		case <-limit.C:
			return m.lastResort(ctx, resource)
		}
	}
}

// lastResort is for a caller whose patience is over while a refresh still waits
// for the session's lock: whoever has that may have saved a pair by now.
func (m *managed) lastResort(ctx context.Context, resource string) (*snapshot, error) {
	cur := m.currentFor(resource)
	if cur.alive(m.now()) {
		return cur, nil
	}
	if resource == "" && m.cfg.Store != nil {
		ctx, cancel := context.WithTimeout(ctx, time.Second) // the caller has waited enough
		defer cancel()
		if rec, err := m.get(ctx); err == nil && (cur == nil || differs(cur.pair, rec.Tokens)) {
			if s := newSnapshot(rec.Tokens, m.timing(rec.Tokens), m.now()); s.alive(m.now()) {
				return s, nil
			}
		}
	}
	if h := m.state.Load(); h.err != nil {
		return nil, h.err
	}
	return nil, failure.Transient(errors.New("no new token in time"))
}

// ForceRefresh renews the session now, although its token may still live, and
// waits for the outcome or for the end of ctx, which ends only the wait. A
// refresh under way is shared, and a pair that somebody else has renewed counts.
// It does not wait for a backoff of the manager's own, but it does not ask a
// server that wants to be left alone or has ended the session.
func (m *Manager) ForceRefresh(ctx context.Context) error {
	c := m.hold()
	defer c.release()
	w := want{stale: m.cur.Load(), force: true, insist: true}
	if ctx.Done() == nil {
		return c.flyAlong(w)
	}
	if err := c.flyAndWait(ctx, w); ctx.Err() == nil || !errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("refresh: waiting for a refresh: %w", context.Cause(ctx))
}

// UpdateTokens makes a new login the session: it is saved, shown to callers, and
// revives a session that had ended. A refresh of the old one under way is
// abandoned. tokens are copied.
//
// An error means that the pair is in use but could not be saved yet (it matches
// ErrUnsaved; saving is tried again while the manager runs), or that the pair was
// not taken: it has no token at all, or OAuthClient cannot renew it (see Start).
func (m *Manager) UpdateTokens(tokens *oauth.TokenPair) error {
	if tokens == nil || tokens.AccessToken == "" && tokens.RefreshToken == "" {
		return errors.New("refresh: UpdateTokens: the pair has no token")
	}
	if m.cfg.Follower {
		return fmt.Errorf("refresh: UpdateTokens: %w", ErrFollower)
	}
	if err := m.cfg.checkRenewable(tokens); err != nil {
		return fmt.Errorf("refresh: UpdateTokens: %w", err)
	}
	c := m.hold()
	defer c.release()
	c.abandonFlights()
	ctx := context.Background() // a login must not be lost to the end of a run
	err := c.withTurn(ctx, func() error {
		rec := &tokenstore.Record{Tokens: settle(tokens.Clone(), m.now())}
		stored, err := c.get(ctx)
		switch {
		case err == nil:
			rec.Version, rec.Unknown = stored.Version, stored.Unknown
		case c.rec != nil && !errors.Is(err, tokenstore.ErrNotFound) && !errors.Is(err, tokenstore.ErrDamaged):
			rec.Version = c.rec.Version
		}
		return c.replace(ctx, rec, unsaved{store: true, callback: m.cfg.TokenStore != nil})
	})
	m.emit(Event{Kind: EventUpdated})
	m.wakeUp()
	if err != nil {
		return fmt.Errorf("refresh: %w: %w", ErrUnsaved, err)
	}
	return nil
}

// offer makes tokens the session if they are a new login, and not an earlier
// state of it; see Start. A pair that cannot be saved yet is in use all the same.
func (m *Manager) offer(ctx context.Context, tokens *oauth.TokenPair) error {
	if tokens == nil {
		return nil
	}
	known := false
	err := m.withTurn(ctx, func(c *managed) error {
		known = c.rec != nil && !newLogin(c.rec, tokens, m.now())
		return nil
	})
	if err != nil || known {
		return err
	}
	if err := m.UpdateTokens(tokens); !errors.Is(err, ErrUnsaved) {
		return err
	}
	return nil
}

// GetTokens returns a copy of the current pair, also if it has expired, or nil if
// there is none.
func (m *Manager) GetTokens() *oauth.TokenPair {
	if s, _ := m.view(); s != nil {
		return s.pair.Clone()
	}
	return nil
}

// GetExpiresAt returns when the current access token dies, or zero if that is
// not known.
func (m *Manager) GetExpiresAt() time.Time {
	if s, _ := m.view(); s != nil {
		return s.pair.ExpiresAt
	}
	return time.Time{}
}

// GetLastRefreshAt returns when the session was last renewed, as far as this
// manager or the saved session knows, or zero.
func (m *Manager) GetLastRefreshAt() time.Time {
	_, h := m.view()
	return h.renewed
}
