package refresh

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/engine"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/hosttime"
	"github.com/evertoken/evertoken/refresh/internal/reach"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/refresh/internal/witness"
	"github.com/evertoken/evertoken/tokenstore"
)

const (
	// DefaultRefreshThreshold is how long before expiry a refresh is due, unless
	// a third of the token's lifetime is less. Jitter makes it up to a tenth of that
	// earlier, and never later: of a token that lives for an hour between 5m30s and 5m before
	// its end, by another share for each session and process, so that sessions which began
	// together are not renewed together. Many that are due at once are spread further.
	DefaultRefreshThreshold = 5 * time.Minute
	// DefaultCheckInterval is how often at least everything is judged anew.
	DefaultCheckInterval = time.Minute
	// MinRefreshThreshold is the least RefreshThreshold; lower ones are raised.
	MinRefreshThreshold = time.Minute

	// defaultWait is how long a caller without a living token, or a refresh
	// without the session's lock, waits: as long as people do.
	defaultWait = 30 * time.Second
	// defaultRefreshTimeout is how long the answer to a refresh is waited for: while
	// servers pause for a snapshot or a failover, and short enough for a second attempt
	// within DefaultRefreshThreshold.
	defaultRefreshTimeout = 3 * time.Minute
	// defaultSession is the session's name in a Store.
	defaultSession = "default"
)

// DefaultWorkers is how many sessions a Pool works on at a time, unless told
// otherwise.
const DefaultWorkers = 64

// TokenStoreFunc saves a token pair, durably, before it returns nil. It is called
// for one pair at a time, with the program's own copy of it. An error means that
// nothing is known to be saved: the manager reports it and tries again. So it does if the
// function has not returned a second after ctx has ended, which is after ten.
type TokenStoreFunc func(ctx context.Context, tokens *oauth.TokenPair) error

// RefreshFailFunc hears, once per grant, that a person has to log in again: the
// server has ended the session, or probably has. In the second case err matches
// [ErrSuspected] too: it has been refusing the session for ten check intervals or more
// without saying why, and the access token has died; the session is kept, tried ever
// more rarely, and goes on if it is accepted again. Trouble of the server's is never
// reported here. Neither is a refusal that is about the client: Config.OnEvent has it
// (EventMisconfigured). But a Manager without OnEvent reports that here too, once: err then
// matches oauth.ErrMisconfigured and not oauth.ErrLoginRequired, and what is returned does not
// count, since a login does not help. All this holds from the first
// refresh on. Returning true tells the manager to log in by itself, through
// Config.Reauthenticate.
type RefreshFailFunc func(err error) bool

// Config configures a Manager. Only OAuthClient is required, unless it follows.
type Config struct {
	// OAuthClient renews the tokens. Required, but for a Follower. A nil pointer in it counts
	// as none: Start fails with oauth.ErrMisconfigured.
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
	// its own, unless a login has replaced that grant in the meantime.
	OnRefreshFail RefreshFailFunc
	// Reauthenticate obtains a new login when OnRefreshFail returned true. Its
	// context ends with the manager. A failure is reported as an event; the next
	// try is up to the program (UpdateTokens). It may call anything of the manager; a
	// StartOrLogin needs its context, or it waits for itself.
	Reauthenticate func(ctx context.Context) (*oauth.TokenPair, error)

	// RefreshThreshold is how long before expiry a refresh is due; a third of
	// the token's lifetime, if that is less. Jitter makes it up to a tenth earlier. Zero means
	// five minutes (DefaultRefreshThreshold); less than MinRefreshThreshold means
	// MinRefreshThreshold.
	RefreshThreshold time.Duration
	// CheckInterval is how often at least the clock and the Store are looked at.
	// Zero or less means one minute.
	CheckInterval time.Duration
	// RefreshTimeout bounds how long the answer to a refresh is waited for while its
	// connection lives. Zero means three minutes. It is not a caller's wait: the server may
	// have spent the refresh token, and only the answer has its successor. Until then the
	// session's lock is held, and the token is not sent again, unless OAuthClient knows
	// that the server's grace is about to end (GraceTeller). An OAuthClient that ignores
	// its context is left to itself a second later; a pair that it returns after all is
	// saved if the session has not gone on without it, also after Stop.
	RefreshTimeout time.Duration
	// MaxWait bounds how long a caller waits: for a new token if its own is dead or was
	// rejected, and for a refresh under way in Stop. A refresh waits as long for the
	// session's lock. Zero means 30 seconds.
	MaxWait time.Duration
	// RefreshIdleLimit is how long a refresh token lives without being used, for
	// servers that end idle sessions without announcing it. Zero means what
	// OAuthClient says by RefreshIdleLimit, negative means no limit.
	RefreshIdleLimit time.Duration
	// Grace is how long the server takes a refresh token again that it has spent, and so
	// how long an attempt goes on asking for an answer that got lost: until that is nearly
	// over, a minute at most. oauth.GraceNone: a token whose answer got lost is never sent
	// again; see there. oauth.GraceUntilUsed: until its successor is used. Zero means what
	// OAuthClient says by RefreshGrace, or fifteen seconds.
	Grace time.Duration

	// Witness notes which refresh tokens this machine has spent, outside of Store, so that
	// one which comes back with an older copy of it is not sent again ([ErrOldCopy]). Nil
	// means what is in the user's cache and runtime directories, shared by all programs of
	// the user, if Store is in a directory of this machine (tokenstore.Local), and
	// new(Witness), which is in memory alone, otherwise.
	Witness *Witness

	// AllowedOrigins are the session's APIs: origins ("https://api.example.com") to which
	// Transport, Client and gRPC send the token. Empty means the first origin that it was used
	// for since the manager was made (one of a Pool may be made anew after it was idle), so that
	// a program with one API need not name it. One to which there was no connection is not it.
	// AnyOrigin means whichever the program's requests name. Of a URL what is behind the port
	// does not count, and an entry that is not an http or https URL allows nothing. A port, an upper
	// case letter, a dot at the host's end or an international name is the same in every
	// spelling. Tokens of a Resource go to that alone.
	AllowedOrigins []string
	// InsecurePlaintextGRPC lets gRPC send the token on connections without transport
	// security, where RequireTransportSecurity is otherwise true: on loopback, to a Unix
	// socket, or to a sidecar that encrypts what leaves the machine. gRPC cannot tell these
	// from the open network, where everybody reads the token: what the connection is like is for
	// the program to know. The origins still count, http for https.
	InsecurePlaintextGRPC bool
	// Presentation is how the APIs want the access token: as a header of another name, with
	// another scheme, in cookies. Zero means what OAuthClient says by Presentation, or
	// "Authorization: Bearer". It is for Transport, Client and gRPC.
	Presentation oauth.Presentation
	// Treat403AsExpired makes Transport handle a 403 like a 401, for APIs that
	// answer 403 to a dead token. An insufficient_scope challenge never refreshes.
	Treat403AsExpired bool
	// OnInsufficientScope is called by Transport when an API wants more scope than
	// the session has, once per scope and access token (RFC 6750 section 3.1), and for
	// no more than 64 scopes. scope is the API's word: "" if the API names none, or text
	// that cannot be one: longer than 4 KiB, or not printable ASCII.
	// Runs on the goroutine of the request.
	OnInsufficientScope func(scope string)

	// Clock drives the manager, for programs and tests that run on a fake one.
	// Nil means real time.
	Clock clock.Clock
	// Logger receives decisions, never traffic or secrets. What of a record came from
	// outside, such as names of sessions and texts of errors, is escaped, for whatever
	// handler it has: nothing in it can write on a terminal. Nil means silence.
	Logger *slog.Logger
	// OnEvent hears what happens, in order, from the goroutine that does it. That waits for
	// it, so it should return soon, and must call Start, Stop, Close, UpdateTokens,
	// ForceRefresh, Logout and Pool.Drop on another goroutine: here they would wait for
	// themselves.
	OnEvent func(Event)
}

// A Witness is what a machine knows of spent refresh tokens: their fingerprints, and
// nothing of those that are still good. The zero Witness keeps a few thousand in memory,
// one of [OpenWitness] in directories. It is safe for concurrent use.
type Witness = witness.Book

// OpenWitness returns a Witness that processes of one user share, in directories that they
// do not keep sessions in. Missing ones are made when there is something to write. What
// cannot be written is not known later, and does no other harm.
func OpenWitness(dirs ...string) *Witness { return witness.Open(dirs...) }

// witnessOf returns the witness for sessions in a Store.
func witnessOf(store tokenstore.Store) *Witness {
	if store == nil {
		return nil // which cannot go back
	}
	if local, is := store.(tokenstore.Local); is {
		return witness.Open(witness.Default()...).For(local.Dir())
	}
	return new(Witness)
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
	origins originLimits // Config.AllowedOrigins
	// certificate is what OAuthClient presents and APIs may want to see; nil if it has none.
	certificate CertificateHolder
	proofs      dpop.Memory // what APIs say about DPoP proofs, by origin; it has a lock of its own
}

// newSetup completes a configuration, for one of many sessions or for one alone, whose
// server has the given gate.
func newSetup(cfg Config, pooled bool, gateOf func(name string) *gate.Gate) *setup {
	s := &setup{Config: cfg.withDefaults()}
	noStore := isNil(s.Store)
	if isNil(s.OAuthClient) {
		s.OAuthClient = nil
	}
	if noStore {
		s.Store = nil
	}
	s.origins = allowOrigins(s.AllowedOrigins)
	own, name, problem := s.ask()
	switch {
	case noStore && cfg.Store != nil:
		problem = errNilStore
	case isNil(cfg.Clock) && cfg.Clock != nil:
		problem = errNilClock
	case problem == nil:
		problem = s.Presentation.Check()
	}
	own.Problem, own.Gate = problem, gateOf(name)
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

// ask returns what OAuthClient says of the configuration, and the name of its server. The
// error is of one that panics when it is asked, such as a struct around a client that is nil.
func (s *setup) ask() (own *session.Config, server string, err error) {
	err = failure.Guard("OAuthClient", func() error {
		if c, ok := s.OAuthClient.(CertificateHolder); ok && c.ResourceTransport() != nil {
			s.certificate = c
		}
		if p, ok := s.OAuthClient.(Presenter); ok && s.Presentation == (oauth.Presentation{}) {
			s.Presentation = p.Presentation()
		}
		if n, ok := s.OAuthClient.(ServerNamer); ok {
			server = n.Server()
		}
		own = s.session()
		return nil
	})
	if err == nil {
		return own, server, nil
	}
	s.OAuthClient, s.certificate = nil, nil
	err = fmt.Errorf("Config.OAuthClient cannot be asked how it is configured; see whether a client within it is nil: %w: %w", err, oauth.ErrMisconfigured)
	return s.session(), "", err
}

// What is a nil pointer. To go on without a Store would lose sessions, and by another clock
// would surprise the program.
var (
	errNilStore = fmt.Errorf("Config.Store is a nil pointer: %w", oauth.ErrMisconfigured)
	errNilClock = fmt.Errorf("Config.Clock is a nil pointer: %w", oauth.ErrMisconfigured)
)

// isNil reports whether v is nil, or an interface that holds a nil pointer, function or map:
// a variable that was declared and not set, or the result of a constructor whose error was
// not looked at.
func isNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Interface, reflect.Chan, reflect.Slice:
		return r.IsNil()
	}
	return false
}

// way returns how the APIs want tokens, or nil if by an Authorization header.
func (s *setup) way() *oauth.Presentation {
	if s.Presentation == (oauth.Presentation{}) {
		return nil
	}
	return &s.Presentation
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
		Grace:                s.Grace,
		RenewsGrant:          func(string) bool { return false },
	}
	c.Reach = new(reach.Line)
	c.Records = c.Reach.Bound(hosttime.Of(s.Store, s.Clock.Now, s.CheckInterval, s.Logger))
	if c.Witness = s.Witness; c.Witness == nil {
		c.Witness = witnessOf(s.Store)
	}
	if local, is := s.Store.(tokenstore.Local); is {
		c.Dir = local.Dir()
	}
	c.Place = tokenstore.PlaceOf(s.Store)
	if locker, ok := s.Store.(tokenstore.Locker); ok {
		c.Locker = c.Reach.BoundLocker(locker)
	}
	if stamper, ok := s.Store.(tokenstore.Stamper); ok {
		c.Stamper = c.Reach.BoundStamper(stamper)
	}
	if _, ok := s.Store.(tokenstore.Spender); ok {
		c.Spender, _ = c.Records.(tokenstore.Spender)
	}
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
	if r, ok := s.OAuthClient.(GraceTeller); ok && c.Grace == 0 {
		c.Grace = r.RefreshGrace()
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
		cfg.RefreshTimeout = defaultRefreshTimeout
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = defaultWait
	}
	cfg.Session = cmp.Or(cfg.Session, defaultSession)
	if isNil(cfg.Clock) {
		cfg.Clock = clock.New()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = outside.NewLogger(cfg.Logger)
	cfg.AllowedOrigins = append([]string(nil), cfg.AllowedOrigins...)
	return cfg
}
