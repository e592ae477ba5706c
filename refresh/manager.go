package refresh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/engine"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/session"
)

// A Manager keeps one session alive. Make it with [NewManager], run it with
// [Manager.Start] and end it with [Manager.Stop] or [Manager.Close]; it can be
// started again. All methods are safe for concurrent use. It prints without
// tokens.
type Manager struct {
	m      engine.Member
	visits *visits                     // nil in a Pool
	first  atomic.Pointer[firstOrigin] // the first origin that the token was used for
}

// NewManager returns a manager for one session. cfg is copied; a missing
// OAuthClient is reported by Start.
func NewManager(cfg Config) *Manager {
	set := newSetup(cfg, false, func(name string) *gate.Gate {
		return gate.Lone(name, DefaultWorkers)
	})
	e := engine.New(engine.Options{
		Clock: set.Clock, CheckInterval: set.CheckInterval, Store: set.Store, Reach: set.engine.Session.Reach, Logger: set.Logger, Alone: true,
	})
	v := newVisits()
	emit := v.hiding(set.engine.Emit)
	var m *Manager
	set.engine.Emit = func(name string, e session.Event, expiresAt time.Time) {
		emit(name, e, expiresAt)
		if e.Kind == session.EventMisconfigured && set.OnEvent == nil && errors.Is(e.Err, oauth.ErrClientRefused) && m.isPersons() {
			m.m.ClientRefused(e.Err) // the program hears of it nowhere else
		}
	}
	m = newManager(e, set, set.Session)
	m.visits = v
	return m
}

// isPersons reports whether a person has logged in, and not a program for itself.
func (m *Manager) isPersons() bool {
	tokens := m.GetTokens()
	return !m.setup().engine.Session.Tokenless && tokens != nil && tokens.GrantType == ""
}

func newManager(e *engine.Engine, set *setup, session string) *Manager {
	m := new(Manager)
	m.m.Init(e, set.engine, session, m)
	return m
}

// destinations are where the session's token may go.
func (m *Manager) destinations() destinations { return destinations{m.setup().origins, &m.first} }

func (m *Manager) setup() *setup { return m.m.Config().Face.(*setup) }

// Start begins to keep the session alive and returns. With nil tokens it goes on
// with the session saved in Config.Store (or with the one it had before Stop);
// if there is none, the error matches oauth.ErrLoginRequired. An OAuthClient that
// needs no refresh token (oauth.ClientCredentialsRefresher, JWTBearerRefresher and the like)
// needs no first pair either: it is obtained in the background, for as long as that
// takes, and callers wait for it as for any other. So a daemon may start before its
// server does.
//
// Tokens that the saved session is known to descend from, or that are older, do
// not replace it, nor do those of a login that it has replaced, unless they were issued
// later: a program may start with the same seed every time. Other
// tokens are a new login and replace what is saved. A pair without IssuedAt is
// judged by the threshold alone. tokens are copied.
//
// Tokens have to be printable ASCII without space around them (RFC 6749 appendix A): others
// are refused as oauth.ErrMisconfigured, by UpdateTokens too. An end that is more than ten
// years away, or that cannot be written in RFC 3339, counts as unknown.
//
// The end of ctx has the effect of Stop. Start fails with ErrRunning if the
// manager runs, and with oauth.ErrMisconfigured if it cannot, or could not renew the
// session: a pair from client credentials or token exchange needs an OAuthClient
// that renews those. A *oauth.Client does so with the former.
func (m *Manager) Start(ctx context.Context, tokens *oauth.TokenPair) error {
	return m.betweenVisits(ctx, func() error { return m.m.Start(ctx, tokens) })
}

// betweenVisits calls start when no ForceRefresh of a stopped manager is in its way.
func (m *Manager) betweenVisits(ctx context.Context, start func() error) error {
	if m.visits == nil {
		return start()
	}
	return m.visits.between(ctx, start)
}

// StartOrLogin goes on with the saved session, like Start without tokens; if
// there is none, or the server has ended it, it calls login (such as
// (*oauth.Client).Authenticate) and starts with what that returns. So it does if the
// server refuses the session once more that is suspected to have ended.
//
// Over a Store with locks a login runs once: other processes that need one at the
// same time wait for it, as long as their ctx allows, and adopt it. An error of
// login is returned as it is. If Store is a tokenstore.Checker that could not save a
// session now, login is not called. A follower does not log in. login may call the manager;
// a StartOrLogin in it needs the context that login is called with, or it waits for itself.
func (m *Manager) StartOrLogin(ctx context.Context, login func(context.Context) (*oauth.TokenPair, error)) error {
	// login takes its time, and may ask the manager: the turn is not held meanwhile.
	if err := m.betweenVisits(ctx, func() error { return nil }); err != nil {
		return err
	}
	return m.m.StartOrLogin(ctx, login)
}

// Stop ends the manager: no refresh begins any more, one under way is followed
// through for up to Config.MaxWait, and what could not be saved is tried to save once
// more. It waits for all that. Then it hangs up: whether the refresh token was spent is
// for the next start to find out. Tokens stay readable while they live. Stop does nothing
// if the manager is not running. Use [Manager.Close] to wait for a longer or a shorter
// time, and to learn what is unsaved.
func (m *Manager) Stop() {
	_ = m.m.Close(context.Background(), false)
	if m.visits != nil {
		if visit := m.visits.now(); visit != nil {
			<-visit
		}
	}
}

// Close is Stop with a limit of the program's: it waits, and keeps trying to save, until
// ctx ends, and then returns an error that matches ErrUnsaved and names the session, while
// a refresh still under way goes on in the background, for up to Config.RefreshTimeout,
// and is saved when it ends.
func (m *Manager) Close(ctx context.Context) error { return m.m.Close(ctx, true) }

// IsRunning reports whether the manager keeps the session alive. It is false from
// the moment that Stop is called or the context of Start ends.
func (m *Manager) IsRunning() bool {
	return (m.visits == nil || m.visits.now() == nil) && m.m.IsRunning()
}

// ForceRefresh renews the session now, although its token may still live, and
// waits for the outcome or for the end of ctx, which ends only the wait. A
// refresh under way is shared, and a pair that another process has renewed counts.
// It does not wait for a backoff of the manager's own, but it does not ask a
// server that wants to be left alone or has ended the session.
//
// A manager that is not running, before Start or after Stop, renews the tokens that it holds,
// if it does, and stays stopped; without any the error is ErrStopped. (One of a Pool that has
// stopped does not.) A Start at that moment waits until that is done.
func (m *Manager) ForceRefresh(ctx context.Context) error {
	if m.visits != nil && !m.IsRunning() && m.GetTokens() != nil {
		return m.visit(ctx)
	}
	err := m.m.Force(ctx)
	if errors.Is(err, ErrStopped) && m.GetTokens() == nil {
		return fmt.Errorf("refresh: ForceRefresh: tokens are nil: %w", ErrStopped)
	}
	return err
}

// UpdateTokens makes a new login the session: it is saved, shown to callers, and
// revives a session that had ended. A refresh of the old one under way is
// abandoned. The pair that the session has, or one that it has had, is not a login while the
// session lives, and changes nothing: a refresh under way is waited for. tokens are copied.
//
// An error means that the pair is in use but could not be saved yet (it matches
// ErrUnsaved; saving is tried again while the manager runs), or that the pair was
// not taken: it has no token at all, or OAuthClient cannot renew it (see Start).
func (m *Manager) UpdateTokens(tokens *oauth.TokenPair) error { return m.m.Update(tokens) }

// Logout ends the session: at the server, if OAuthClient can revoke tokens as
// *oauth.Client does, and then in the Store. It waits for a refresh under way,
// here or in another process, and ends what came out of it; no refresh brings the
// session back. Other processes notice within their check interval.
//
// If the server will not revoke the session for this client (by 401, 403, 404, 405, 501
// and the like), the session is removed here all the same, and the error matches
// oauth.ErrNotRevoked: at the server it lives on until it ends by itself. If the server
// cannot be told, nothing is deleted and the error says why; try again later, or delete the
// session from the Store to forget it here alone.
//
// Where OAuthClient wants an access token that lives for that ([LivingRevoker]), one that is
// dead, or of which the end is not known, is renewed first.
//
// A login of this manager that is under way is not waited for: what it brings is a new
// session. One in another process is, and what it brings is ended.
//
// Without a session Logout does nothing. It also works while the manager is not running.
func (m *Manager) Logout(ctx context.Context) error {
	if m.setup().Follower {
		return fmt.Errorf("refresh: logout: %w", ErrFollower)
	}
	m.revive(ctx)
	if err := m.m.Logout(ctx); err != nil {
		return fmt.Errorf("refresh: logout: %w", err)
	}
	return nil
}

// revive renews an access token that may be dead, where a logout wants one that lives. What
// came of it, the logout finds out.
func (m *Manager) revive(ctx context.Context) {
	r, ok := m.setup().OAuthClient.(LivingRevoker)
	if !ok || !r.RevokesByAccessToken() {
		return
	}
	s, h := m.m.View()
	switch {
	case s == nil, s.Pair.RefreshToken == "", h.Ended(), State(h.State) == StateSuspected:
	case !s.Pair.ExpiresAt.IsZero() && s.Alive(m.m.Now()):
	default:
		_ = m.ForceRefresh(ctx)
	}
}

// GetTokens returns a copy of the current pair, also if it has expired, or nil if
// there is none.
func (m *Manager) GetTokens() *oauth.TokenPair {
	if s, _ := m.m.View(); s != nil {
		return s.Pair.Clone()
	}
	return nil
}

// GetExpiresAt returns when the current access token dies, or zero if that is
// not known.
func (m *Manager) GetExpiresAt() time.Time {
	if s, _ := m.m.View(); s != nil {
		return s.Pair.ExpiresAt
	}
	return time.Time{}
}

// GetLastRefreshAt returns when the session was last renewed, as far as this
// manager or the saved session knows, or zero.
func (m *Manager) GetLastRefreshAt() time.Time {
	_, h := m.m.View()
	return h.Renewed
}

// String describes the manager without tokens.
func (m *Manager) String() string { return m.m.String() }

// Format implements fmt.Formatter: every verb prints what String returns.
func (m *Manager) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, m.String()) }
