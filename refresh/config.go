package refresh

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/hosttime"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
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

// A Refresher renews token pairs. *oauth.Client is one; so is anything else that
// can trade t's refresh token for a new pair in one attempt.
//
// Refresh must not modify t, must not repeat the spend by itself, and returns a
// complete pair (see TokenPair.Keeping). Its errors should be *oauth.Error: any
// other error counts as transient with an unknown outcome. Their texts are passed
// on, so they must hold no secret. A pair beside an error is heeded only with
// oauth.ErrDowngraded, as of (*oauth.Client).Refresh.
//
// More methods are heeded if it has them: ConfigID() string identifies the
// configuration it refreshes with; RenewsWithoutRefreshToken() bool tells that it
// needs neither a refresh token nor a pair before (client credentials), so that
// Refresh may get an empty one; RenewsGrant(grantType string) bool tells the same of
// pairs of one TokenPair.GrantType; RefreshIdleLimit() time.Duration is
// the default of Config.RefreshIdleLimit; RefreshGrace() (time.Duration, bool) tells
// how long the server takes a spent refresh token again, if that is known, and so
// how long an attempt goes on asking for an answer that got lost: until the grace
// is nearly over, a minute at most, and fifteen seconds if it is not known;
// CanRevoke() bool and Revoke(ctx, *oauth.TokenPair) error end a session at the
// server (Manager.Logout); Server() string names the server that it asks, for the
// sessions of a Pool that have it in common and for processes that share a Store.
type Refresher interface {
	Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error)
}

// RefresherFunc makes a function a Refresher.
type RefresherFunc func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error)

// Refresh calls f.
func (f RefresherFunc) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	return f(ctx, t)
}

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
	// LocalWhenUnavailable is then without effect. Since nobody knows when the next
	// process comes, a refresh token whose end is known is renewed from half of its
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
	// Limits bound what the server of OAuthClient is asked. In a Pool, sessions with
	// the same server share those of the session that was opened first.
	Limits Limits
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

// A setup is a configuration with its defaults and what follows from it. It is
// not modified, so that the sessions of a pool can share one.
type setup struct {
	Config
	locker   tokenstore.Locker  // Store, if it is one
	stamper  tokenstore.Stamper // Store, if it is one
	records  tokenstore.Store   // Store, for Get and Set: with times by the host's clock
	configID string
	server   *server
	watching *atomic.Bool  // the Store says what changes
	grace    time.Duration // what OAuthClient says by RefreshGrace; zero: not known
	// tokenless: OAuthClient obtains pairs without a refresh token, whatever there was
	// before. Otherwise renewsGrant tells of which grants it does so.
	tokenless   bool
	renewsGrant func(grantType string) bool
	origins     []allowedOrigin // Config.AllowedOrigins
	// certificate is what OAuthClient presents and APIs may want to see, if anything.
	certificate certificate
	proofs      dpop.Memory // what APIs say about DPoP proofs, by origin; it has a lock of its own
}

func newSetup(cfg Config) *setup {
	s := &setup{Config: cfg.withDefaults()}
	s.locker, _ = s.Store.(tokenstore.Locker)
	s.origins = allowOrigins(s.AllowedOrigins)
	s.stamper, _ = s.Store.(tokenstore.Stamper)
	s.records = hosttime.Of(s.Store, s.Clock.Now, s.CheckInterval, s.Logger)
	s.ask()
	s.certificate = certificateOf(s.OAuthClient)
	s.watching = new(atomic.Bool)
	s.server = newServer(serverName(s.OAuthClient), s.Limits, DefaultWorkers)
	return s
}

// ask completes the configuration by what OAuthClient says.
func (s *setup) ask() {
	if c, ok := s.OAuthClient.(interface{ ConfigID() string }); ok {
		s.configID = c.ConfigID()
	}
	if c, ok := s.OAuthClient.(interface{ RenewsWithoutRefreshToken() bool }); ok {
		s.tokenless = c.RenewsWithoutRefreshToken()
	}
	s.renewsGrant = func(string) bool { return false }
	if c, ok := s.OAuthClient.(interface{ RenewsGrant(string) bool }); ok {
		s.renewsGrant = c.RenewsGrant
	}
	if c, ok := s.OAuthClient.(interface{ RefreshIdleLimit() time.Duration }); ok && s.RefreshIdleLimit == 0 {
		s.RefreshIdleLimit = c.RefreshIdleLimit()
	}
	if c, ok := s.OAuthClient.(interface {
		RefreshGrace() (time.Duration, bool)
	}); ok {
		if grace, known := c.RefreshGrace(); known {
			s.grace = grace
		}
	}
}

// serverName returns what r calls its server, or "".
func serverName(r Refresher) string {
	if c, ok := r.(interface{ Server() string }); ok {
		return c.Server()
	}
	return ""
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

// timing returns what the configuration and the pair alone say.
func (s *setup) timing(pair *oauth.TokenPair) schedule.Timing {
	return schedule.Timing{
		Issued:         pair.IssuedAt,
		Expires:        pair.ExpiresAt,
		RefreshExpires: pair.RefreshExpiresAt,
		Hint:           pair.RefreshAt,
		Renewable:      !s.Follower && s.renews(pair),
		Elsewhere:      s.Follower || s.Renewal == RenewNever,
		Threshold:      s.RefreshThreshold,
		Idle:           s.RefreshIdleLimit,
		Seldom:         s.ShortLived,
	}
}
