package refresh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Manager keeps one session alive. Make it with [NewManager], run it with
// [Manager.Start] and end it with [Manager.Stop] or [Manager.Close]; it can be
// started again. All methods are safe for concurrent use. It prints without
// tokens.
type Manager struct {
	cfg     *setup // shared by the sessions of a pool
	session string
	pool    *Pool // nil: the manager stands alone

	// cur is what readers see; nil means no session, or one at rest. Replaced by
	// the turn's holder, or under mu by who lays the session to rest.
	cur atomic.Pointer[snapshot]

	mu    sync.Mutex // guards the fields below; never held across I/O or callbacks
	awake *managed   // nil: at rest
	rest  string     // packed: the session at rest, or as it was then
	run   *run       // nil when stopped
}

// NewManager returns a manager for one session. cfg is copied; a missing
// OAuthClient is reported by Start.
func NewManager(cfg Config) *Manager {
	set := newSetup(cfg)
	return newManager(set, set.Session, nil)
}

func newManager(cfg *setup, session string, pool *Pool) *Manager {
	m := &Manager{cfg: cfg, session: session, pool: pool}
	m.awake = newManaged(m)
	return m
}

// Start begins to keep the session alive and returns. With nil tokens it goes on
// with the session saved in Config.Store (or with the one it had before Stop);
// if there is none, the error matches oauth.ErrLoginRequired. An OAuthClient that
// needs no refresh token (oauth.ClientCredentialsRefresher, TokenExchangeRefresher)
// needs no first pair either: it is obtained in the background, for as long as that
// takes, and callers wait for it as for any other. So a daemon may start before its
// server does.
//
// Tokens that the saved session is known to descend from, or that are older, do
// not replace it: a program may start with the same seed every time. Other
// tokens are a new login and replace what is saved. A pair without IssuedAt is
// judged by the threshold alone. tokens are copied.
//
// The end of ctx has the effect of Stop. Start fails with ErrRunning if the
// manager runs, and with oauth.ErrMisconfigured if it cannot, or could not renew the
// session: a pair from client credentials or token exchange needs an OAuthClient
// that renews those. A *oauth.Client does so with the former.
func (m *Manager) Start(ctx context.Context, tokens *oauth.TokenPair) error {
	return m.start(ctx, ctx, tokens)
}

// start is Start with a run that outlives ctx and ends with life.
func (m *Manager) start(ctx, life context.Context, tokens *oauth.TokenPair) error {
	switch {
	case m.cfg.Follower && m.cfg.Store == nil:
		return fmt.Errorf("refresh: start: a follower needs Config.Store: %w", oauth.ErrMisconfigured)
	case m.cfg.Follower && tokens != nil:
		return fmt.Errorf("refresh: start: %w: %w", ErrFollower, oauth.ErrMisconfigured)
	case m.cfg.OAuthClient == nil && !m.cfg.Follower:
		return fmt.Errorf("refresh: start: Config.OAuthClient is nil: %w", oauth.ErrMisconfigured)
	}
	if err := tokenstore.CheckName(m.session); err != nil {
		return fmt.Errorf("refresh: start: Config.Session: %w: %w", oauth.ErrMisconfigured, err)
	}
	r, err := m.claimRun(ctx, life)
	if err != nil {
		return err
	}
	if err := m.withTurn(ctx, func(c *managed) error { return c.begin(ctx, tokens) }); err != nil {
		r.abandon()
		return err
	}
	m.emit(Event{Kind: EventStarted})
	r.begin()
	return nil
}

// Stop ends the manager: no refresh begins any more, one under way is followed
// through, and what could not be saved is tried to save once more. It waits for
// all that. Tokens stay readable while they live. Stop does nothing if the
// manager is not running. Use [Manager.Close] to bound the wait and to learn
// what is unsaved.
func (m *Manager) Stop() { _ = m.close(context.Background(), false) }

// Close is Stop with a limit: it keeps trying to save until ctx ends, and then
// returns an error that matches ErrUnsaved and names the session, while a refresh
// still under way goes on in the background and is saved when it lands.
func (m *Manager) Close(ctx context.Context) error { return m.close(ctx, true) }

func (m *Manager) close(ctx context.Context, insist bool) error {
	m.mu.Lock()
	r := m.run
	if r == nil {
		m.mu.Unlock()
		return nil
	}
	end := r.endLocked()
	if insist && end.grace == nil {
		end.grace = ctx
	}
	m.mu.Unlock()
	r.stop()
	select {
	case <-end.finished:
		return end.err
	case <-ctx.Done():
	}
	_, h := m.view()
	why := h.unsaved
	if why == nil {
		why = errors.New("a refresh is still under way")
	}
	return fmt.Errorf("refresh: close: session %q: %w: %w: %w", m.session, ErrUnsaved, why, context.Cause(ctx))
}

// halt is Stop without waiting.
func (m *Manager) halt() {
	m.mu.Lock()
	r := m.run
	m.mu.Unlock()
	if r != nil {
		r.stop()
	}
}

// IsRunning reports whether the manager keeps the session alive. It is false from
// the moment that Stop is called or the context of Start ends.
func (m *Manager) IsRunning() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runningLocked()
}

func (m *Manager) runningLocked() bool { return m.run != nil && !m.run.overLocked() }

// String describes the manager without tokens.
func (m *Manager) String() string {
	_, h := m.view()
	return fmt.Sprintf("refresh.Manager{session:%q state:%s}", m.session, h.state)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (m *Manager) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, m.String()) }

func (m *Manager) now() time.Time { return m.cfg.Clock.Now() }

// instant returns the instant of a time, which need not have a monotonic part: then it
// is as far away as the wall clock says now.
func (m *Manager) instant(at time.Time) moment.Instant {
	now := m.now()
	return moment.Of(now).Add(at.Sub(now))
}

// wakeUp makes the manager look now.
func (m *Manager) wakeUp() {
	m.mu.Lock()
	r := m.run
	m.mu.Unlock()
	if r != nil {
		r.queue.Add(r)
	}
}

// wakeBy makes the manager look within the given time, if it would look later.
func (m *Manager) wakeBy(within time.Duration) {
	m.mu.Lock()
	r := m.run
	m.mu.Unlock()
	if r != nil {
		r.queue.Advance(r, m.instant(m.now().Add(within)))
	}
}

// emit hands an event to the program. A panicking OnEvent is the program's
// mistake; it must not take the session with it.
func (m *Manager) emit(e Event) {
	if m.cfg.OnEvent == nil && !m.logs(e) {
		return
	}
	e.Session, e.Time = m.session, m.now().Round(0)
	if s := m.cur.Load(); s != nil {
		e.ExpiresAt = s.pair.ExpiresAt
	}
	_ = failure.Guard("Logger", func() error { m.log(e); return nil })
	if m.cfg.OnEvent == nil {
		return
	}
	if err := failure.Guard("OnEvent", func() error { m.cfg.OnEvent(e); return nil }); err != nil {
		m.cfg.Logger.Error("callback failed", "session", m.session, "error", err)
	}
}

// log writes decisions, each at the level at which somebody should look.
func (m *Manager) log(e Event) {
	if !m.logs(e) {
		return
	}
	ctx, level := context.Background(), e.level()
	log := m.cfg.Logger.With("session", e.Session)
	switch e.Kind {
	case EventRefreshFailed, EventSaveFailed, EventScopeReduced, EventRefreshTokenEnding:
		log.Log(ctx, level, string(e.Kind), "error", e.Err, "next_attempt", e.NextAttempt, "expires", e.ExpiresAt)
	case EventLoginRequired, EventSuspected, EventMisconfigured, EventReauthenticateFailed:
		log.Log(ctx, level, string(e.Kind), "error", e.Err)
	case EventRefreshing:
		log.Log(ctx, level, string(e.Kind))
	default:
		if level == slog.LevelWarn {
			log.Log(ctx, level, string(e.Kind), "error", e.Err)
			return
		}
		log.Log(ctx, level, string(e.Kind), "expires", e.ExpiresAt)
	}
}

// logs reports whether an event is written, which is asked before one is put
// together. A Logger that panics is none.
func (m *Manager) logs(e Event) (enabled bool) {
	_ = failure.Guard("Logger", func() error {
		enabled = e.Kind != EventChecked && m.cfg.Logger.Enabled(context.Background(), e.level())
		return nil
	})
	return enabled
}

func (e Event) level() slog.Level {
	switch e.Kind {
	case EventRefreshFailed, EventSaveFailed, EventScopeReduced, EventRefreshTokenEnding:
		return slog.LevelWarn
	case EventLoginRequired, EventSuspected, EventMisconfigured, EventReauthenticateFailed:
		return slog.LevelError
	case EventRefreshing:
		return slog.LevelDebug
	}
	if e.Err != nil && !errors.Is(e.Err, context.Canceled) {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
