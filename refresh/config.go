package refresh

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/engine"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/hosttime"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/tokenstore"
)

const (
	// DefaultRefreshThreshold is how long before expiry a refresh is due, unless
	// a third of the token's lifetime is less.
	DefaultRefreshThreshold = 5 * time.Minute
	// DefaultCheckInterval is how often at least everything is judged anew.
	DefaultCheckInterval = time.Minute
	// MinRefreshThreshold is the least RefreshThreshold; lower ones are raised.
	MinRefreshThreshold = time.Minute

	// defaultWait is how long a caller without a living token, or a refresh
	// without the session's lock, waits: as long as people do.
	defaultWait = 30 * time.Second
	// defaultSession is the session's name in a Store.
	defaultSession = "default"
)

// DefaultWorkers is how many sessions a Pool works on at a time, unless told
// otherwise.
const DefaultWorkers = 64

// TokenStoreFunc saves a token pair, durably, before it returns nil. It is called
// for one pair at a time, with the program's own copy of it. An error means that
// nothing is known to be saved: the manager reports it and tries again.
type TokenStoreFunc func(ctx context.Context, tokens *oauth.TokenPair) error

// RefreshFailFunc hears, once per grant, that a person has to log in again: the
// server has ended the session, or probably has. In the second case err matches
// [ErrSuspected] too: it has been refusing the session for ten check intervals or more
// without saying why, and the access token has died; the session is kept, tried ever
// more rarely, and goes on if it is accepted again. Trouble of the server's, and
// refusals that are about the client, are never reported here (Config.OnEvent has
// them). Returning true tells the manager to log in by itself, through
// Config.Reauthenticate.
type RefreshFailFunc func(err error) bool

// Config configures a Manager. Only OAuthClient is required, unless it follows.
type Config struct {
	// OAuthClient renews the tokens. Required, but for a Follower.
	OAuthClient Refresher

	// TokenStore, if set, is handed every new pair to save. It is all that a
	// single process needs.
	TokenStore TokenStoreFunc
	// Store, if set, holds the session for several runs or processes. If it is
	// also a tokenstore.Locker, they coordinate: one of them refreshes, the
	// others adopt. If it is a tokenstore.Timekeeper, times count by its clock, so
	// that hosts whose clocks disagree agree. With both, Store is written first.
	Store tokenstore.Store
	// Session is the session's name in Store. Empty means "default".
	Session string

	// LocalWhenUnavailable makes the manager go on by itself while a Store that hosts
	// share cannot be reached (tokenstore.ErrUnavailable): it renews the session
	// without the lock and saves it later, and says so (EventUnlocked). Two hosts may
	// then spend one refresh token, for which strict servers end the session. By default a manager in that
	// situation serves living tokens and spends nothing.
	LocalWhenUnavailable bool

	// ShortLived says that the process is about to end, as a command's is. It cannot
	// save a pair later, so the manager spends no refresh token when it cannot announce
	// that in Store or has an older pair to save: a living token is served, and without
	// one callers get the cause, while the session goes on when that is gone.
	// LocalWhenUnavailable is then without effect. Since it is not known when
	// the next process comes, a refresh token whose end is known is renewed from half of its
	// life on. By default the process is a daemon, which goes on with the pair in memory
	// and saves it when it can.
	ShortLived bool

	// Renewal says when the session is renewed. Empty means RenewAlways.
	Renewal Renewal

	// Follower makes the manager read and watch a session that another program
	// keeps alive. It never spends a refresh token, logs in, or writes to Store,
	// which is required; OAuthClient is not. A caller whose token is dead waits for
	// the other program, up to MaxWait.
	Follower bool

	// OnRefreshFail hears of a grant that is over or probably is, on a goroutine of
	// its own.
	OnRefreshFail RefreshFailFunc
	// Reauthenticate obtains a new login when OnRefreshFail returned true. Its
	// context ends with the manager. A failure is reported as an event; the next
	// try is up to the program (UpdateTokens).
	Reauthenticate func(ctx context.Context) (*oauth.TokenPair, error)

	// RefreshThreshold is how long before expiry a refresh is due; a third of
	// the token's lifetime, if that is less. Zero means five minutes; less than
	// MinRefreshThreshold means MinRefreshThreshold.
	RefreshThreshold time.Duration
	// CheckInterval is how often at least the clock and the Store are looked at.
	// Zero or less means one minute.
	CheckInterval time.Duration
	// RefreshTimeout bounds one attempt to refresh. Zero means 30 seconds.
	RefreshTimeout time.Duration
	// MaxWait bounds how long a caller whose token is dead waits for a new one,
	// and how long a refresh waits for the session's lock. Zero means 30 seconds.
	MaxWait time.Duration
	// RefreshIdleLimit is how long a refresh token lives without being used, for
	// servers that end idle sessions without announcing it. Zero means what
	// OAuthClient says by RefreshIdleLimit, negative means no limit.
	RefreshIdleLimit time.Duration

	// AllowedOrigins are origins ("https://api.example.com") whose requests carry
	// the token. By default a request's token goes to the origin it names, and
	// not along a redirect to another one.
	AllowedOrigins []string
	// Treat403AsExpired makes Transport handle a 403 like a 401, for APIs that
	// answer 403 to a dead token. An insufficient_scope challenge never refreshes.
	Treat403AsExpired bool
	// OnInsufficientScope is called by Transport when an API wants more scope than
	// the session has, once per scope and access token (RFC 6750 section 3.1).
	// Runs on the goroutine of the request.
	OnInsufficientScope func(scope string)

	// Clock drives the manager, for programs and tests that run on a fake one.
	// Nil means real time.
	Clock clock.Clock
	// Logger receives decisions, never traffic or secrets. Nil means silence.
	Logger *slog.Logger
	// OnEvent hears what happens, in order, from the goroutine that does it.
	OnEvent func(Event)
}

// Renewal says when a session is renewed.
type Renewal string

const (
	// RenewAlways keeps a session alive by the clock, whether or not the program asks
	// for its token. The default.
	RenewAlways Renewal = "always"
	// RenewOnUse renews a session that is due only if its token was asked for lately,
	// or when it is. Sessions that are not used cost the server nothing, and end as
	// the server ends idle ones.
	RenewOnUse Renewal = "on_use"
	// RenewNever pauses: tokens are served while they live, and after that a caller
	// gets ErrPaused. Pairs that other processes save are adopted.
	RenewNever Renewal = "never"
)

// A setup is what a configuration is for the packages below, with its defaults and what
// follows from it. It is not modified, so that the sessions of a pool share one.
type setup struct {
	Config
	engine  *engine.Config
	origins []allowedOrigin // Config.AllowedOrigins
	// certificate is what OAuthClient presents and APIs may want to see; nil if it has none.
	certificate CertificateHolder
	proofs      dpop.Memory // what APIs say about DPoP proofs, by origin; it has a lock of its own
}

// newSetup completes a configuration, for one of many sessions or for one alone, whose
// server has the given gate.
func newSetup(cfg Config, pooled bool, gateOf func(name string) *gate.Gate) *setup {
	s := &setup{Config: cfg.withDefaults()}
	s.origins = allowOrigins(s.AllowedOrigins)
	if c, ok := s.OAuthClient.(CertificateHolder); ok && c.ResourceTransport() != nil {
		s.certificate = c
	}
	own := s.session()
	own.Pooled = pooled
	name := ""
	if n, ok := s.OAuthClient.(ServerNamer); ok {
		name = n.Server()
	}
	own.Gate = gateOf(name)
	s.engine = &engine.Config{
		Session: own,
		Face:    s,
		Emit:    (&reporter{s.Clock, s.Logger, s.OnEvent}).emit,

		OnRefreshFail:  s.OnRefreshFail,
		Reauthenticate: s.Reauthenticate,

		Retire:  s.Store != nil && own.OnDemand,
		Watched: true,
		Rests:   pooled || restAlone || s.Renewal == RenewOnUse, // rest is how use is told
	}
	return s
}

// restAlone lets managers that stand alone rest too. Tests set it, so that all that
// a manager promises is also tested of dormant sessions.
var restAlone = false

// session returns the part of the configuration that a session works with, completed by
// what OAuthClient says.
func (s *setup) session() *session.Config {
	c := &session.Config{
		TokenStore:           s.TokenStore,
		Store:                s.Store,
		Records:              hosttime.Of(s.Store, s.Clock.Now, s.CheckInterval, s.Logger),
		Clock:                s.Clock,
		Logger:               s.Logger,
		LocalWhenUnavailable: s.LocalWhenUnavailable,
		ShortLived:           s.ShortLived,
		Follower:             s.Follower,
		Paused:               s.Renewal == RenewNever,
		OnDemand:             s.Renewal == RenewOnUse || s.Renewal == RenewNever,
		RefreshThreshold:     s.RefreshThreshold,
		CheckInterval:        s.CheckInterval,
		RefreshTimeout:       s.RefreshTimeout,
		MaxWait:              s.MaxWait,
		RefreshIdleLimit:     s.RefreshIdleLimit,
		RenewsGrant:          func(string) bool { return false },
	}
	c.Locker, _ = s.Store.(tokenstore.Locker)
	c.Stamper, _ = s.Store.(tokenstore.Stamper)
	if s.OAuthClient != nil {
		c.Refresh = s.OAuthClient.Refresh
	}
	if r, ok := s.OAuthClient.(ConfigIdentifier); ok {
		c.ConfigID = r.ConfigID()
	}
	if r, ok := s.OAuthClient.(TokenlessRenewer); ok {
		c.Tokenless = r.RenewsWithoutRefreshToken()
	}
	if r, ok := s.OAuthClient.(GrantRenewer); ok {
		c.RenewsGrant = r.RenewsGrant
	}
	if r, ok := s.OAuthClient.(IdleLimiter); ok && c.RefreshIdleLimit == 0 {
		c.RefreshIdleLimit = r.RefreshIdleLimit()
	}
	if r, ok := s.OAuthClient.(GraceTeller); ok {
		if grace, known := r.RefreshGrace(); known {
			c.Grace = grace
		}
	}
	if r, ok := s.OAuthClient.(Revoker); ok && r.CanRevoke() {
		c.Revoke = r.Revoke
	}
	return c
}

// withDefaults returns a copy with the defaults filled in.
func (cfg Config) withDefaults() Config {
	cfg.RefreshThreshold = max(cmp.Or(cfg.RefreshThreshold, DefaultRefreshThreshold), MinRefreshThreshold)
	if cfg.CheckInterval <= 0 {
		cfg.CheckInterval = DefaultCheckInterval
	}
	if cfg.RefreshTimeout <= 0 {
		cfg.RefreshTimeout = defaultWait
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = defaultWait
	}
	cfg.Session = cmp.Or(cfg.Session, defaultSession)
	if cfg.Clock == nil {
		cfg.Clock = clock.New()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.AllowedOrigins = append([]string(nil), cfg.AllowedOrigins...)
	return cfg
}
