package oauthtest

import (
	"context"
	"crypto/x509"
	"maps"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
)

// Defaults of Config.
const (
	DefaultClientID             = "evertoken-test"
	DefaultUser                 = "alice"
	DefaultPassword             = "wonderland"
	DefaultScope                = "openid profile offline_access"
	DefaultAccessTokenLifetime  = 15 * time.Minute
	DefaultRefreshTokenLifetime = 7 * 24 * time.Hour

	// From RFC 8628 section 3.2: the lifetime of its example, and the interval for
	// clients that are told none.
	defaultDeviceCodeLifetime = 30 * time.Minute
	defaultDeviceInterval     = 5 * time.Second

	// From the example of RFC 9126 section 2.2.
	defaultPushedRequestLifetime = time.Minute
)

// Config describes a server. The zero value is a sensible, strict one.
type Config struct {
	// AccessTokenLifetime defaults to 15 minutes, RefreshTokenLifetime to 7 days.
	// expires_in announces whole seconds, rounded down.
	AccessTokenLifetime, RefreshTokenLifetime time.Duration

	// Users maps names to passwords. Nil means alice with wonderland.
	Users map[string]string

	// ClientID and ClientSecret register one client: evertoken-test by default,
	// and public if it has no secret. Clients registers more; one with the same ID
	// replaces it.
	ClientID, ClientSecret string
	Clients                []RegisteredClient
	// TokenEndpointAudience makes the server want its token endpoint as the
	// audience of client assertions, as servers of before the successor of RFC 7523
	// may, and not its issuer.
	TokenEndpointAudience bool
	// ClientCAs sign the certificates of clients with a SubjectDN.
	ClientCAs *x509.CertPool
	// MTLSAliases makes NewTLSServer publish mtls_endpoint_aliases (RFC 8705
	// section 5) on a second port, and ask for certificates only there.
	MTLSAliases bool

	// FetchClient gets the document of a client whose ID is an https URL (Client ID Metadata
	// Documents), from wherever the test has it. Nil: the server has no such clients, and
	// its metadata says so.
	FetchClient func(ctx context.Context, clientID string) ([]byte, error)
	// TrustedIssuers are those whose assertions are taken for whom they speak for (JWT
	// bearer grant, RFC 7523 section 2.1), also from a program that is not a client. An identity assertion
	// (ID-JAG) must be for the client that shows it, and is good once.
	TrustedIssuers []TrustedIssuer
	// ClientsElsewhere are the IDs that this server's clients have at other servers, by
	// issuer, for identity assertions in a token exchange. Clients have the same ID
	// elsewhere by default.
	ClientsElsewhere map[string]string

	// DefaultScope is granted when a client asks for none. Empty means "openid
	// profile offline_access".
	DefaultScope string
	// OfflineScope makes the server give a refresh token only to clients that ask
	// for offline_access (OpenID Connect Core section 11).
	OfflineScope bool
	// ReduceScope, if set, is the scope of every refreshed access token.
	ReduceScope string
	// ResourceScope, if set, is needed at the protected resource; a token without
	// it gets 403 insufficient_scope.
	ResourceScope string

	// API is how the protected resource describes itself.
	API APIShape

	// NoRotation makes refresh tokens usable until they expire. The answer to a
	// refresh then has no refresh_token.
	NoRotation bool
	// SlidingRefresh prolongs refresh tokens that stay the same (NoRotation): each
	// use gives one RefreshTokenLifetime from then on.
	SlidingRefresh bool
	// GrantLifetime is how long a session lives after its login, however often it is
	// renewed. Zero means that it does not end so.
	GrantLifetime time.Duration
	// ScopeOnRefresh makes the server refuse a refresh that names no scope. The
	// refresh token is not spent.
	ScopeOnRefresh bool
	// NoReuseDetection makes a spent refresh token merely invalid: using it
	// again does not end the user's sessions.
	NoReuseDetection bool
	// Grace is how long a spent refresh token is accepted again, as long as its
	// successor was not used. It is answered with the same successor and a new
	// access token. Zero means not at all.
	Grace time.Duration
	// ForkSuccessors changes Grace: each replay gets a successor of its own, and
	// only the newest of them is valid.
	ForkSuccessors bool
	// RevokeOldAccess makes a refresh end the session's earlier access tokens.
	RevokeOldAccess bool
	// SingleSession makes a login end the user's earlier sessions with the same
	// client.
	SingleSession bool
	// AnnounceRefreshLifetime adds refresh_token_expires_in (seconds) to answers
	// that carry a refresh token.
	AnnounceRefreshLifetime bool
	// JWTRefreshTokens makes refresh tokens JWTs with exp. Otherwise they are
	// opaque strings with the characters that must be encoded: + / = and colon.
	JWTRefreshTokens bool

	// RequireDPoP makes the token endpoint refuse requests without a DPoP proof
	// (RFC 9449). Without it, clients choose: tokens are bound to the key of those
	// that send a proof.
	RequireDPoP bool
	// DPoPNonceLifetime, if set, makes proofs carry a nonce of the server's: the
	// token endpoint and the resources have each their own, a new one after this
	// time. A nonce is good for once or twice as long.
	DPoPNonceLifetime time.Duration

	// RefreshTokens keeps the refresh tokens that can be spent, by hash. Nil means
	// memory.
	RefreshTokens RefreshTokenStore
	// RefreshTokenNotFound is the error by which RefreshTokens says that it has no
	// such token. Nil means ErrRefreshTokenNotFound; stores of another package
	// bring their own.
	RefreshTokenNotFound error

	// DeviceCodeLifetime defaults to 30 minutes. DeviceInterval is how far apart
	// polls must be, 5 seconds by default.
	DeviceCodeLifetime, DeviceInterval time.Duration

	// RequirePushedAuth refuses authorization requests that were not pushed (RFC
	// 9126). PushedRequestLifetime is how long a pushed one can be used, once: 60
	// seconds by default.
	RequirePushedAuth     bool
	PushedRequestLifetime time.Duration

	// ClientSecretLifetime is how long secrets are good of clients that register
	// themselves. An update after that gives another one. Zero means for ever.
	ClientSecretLifetime time.Duration

	// ExactRedirectPort compares the port of loopback redirects too, unlike RFC
	// 8252 section 7.3. It has an effect for clients with RedirectURIs.
	ExactRedirectPort bool
	// IssuerPath is the path of the issuer, such as "/tenant"; all endpoints are
	// below it. Empty means none.
	IssuerPath string

	// Backends are what the teams behind the home-grown backends have set.
	Backends BackendSettings

	// Quirks are what real servers do beside the specifications.
	Quirks Quirks

	// Now replaces time.Now, for programs that run on a clock of their own.
	Now func() time.Time
}

// withDefaults returns a copy that shares no map or slice with cfg.
func (cfg Config) withDefaults() Config {
	setDefault(&cfg.AccessTokenLifetime, DefaultAccessTokenLifetime)
	setDefault(&cfg.RefreshTokenLifetime, DefaultRefreshTokenLifetime)
	setDefault(&cfg.DeviceCodeLifetime, defaultDeviceCodeLifetime)
	setDefault(&cfg.DeviceInterval, defaultDeviceInterval)
	setDefault(&cfg.PushedRequestLifetime, defaultPushedRequestLifetime)
	setDefault(&cfg.ClientID, DefaultClientID)
	setDefault(&cfg.DefaultScope, DefaultScope)
	setDefault(&cfg.RefreshTokenNotFound, ErrRefreshTokenNotFound)
	if cfg.Users == nil {
		cfg.Users = map[string]string{DefaultUser: DefaultPassword}
	}
	cfg.Users = maps.Clone(cfg.Users)
	cfg.Clients = slices.Clone(cfg.Clients)
	cfg.ClientsElsewhere = maps.Clone(cfg.ClientsElsewhere)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.RefreshTokens == nil {
		cfg.RefreshTokens = &refreshtokens.Memory{Now: cfg.Now}
	}
	return cfg
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
