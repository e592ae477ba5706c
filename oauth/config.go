package oauth

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Config describes a client and the authorization server it talks to. It prints
// without its secret, key or certificate.
type Config struct {
	// Issuer is the server's issuer identifier (RFC 8414). Optional for
	// NewClient; when set, the iss of a login's answer must equal it, but for a
	// missing https:// (OpenID Connect Core section 15.6.2: Google's).
	Issuer string
	// IssuerTemplate is for a server of many tenants whose metadata names no issuer
	// but a pattern, such as https://login.microsoftonline.com/{tenantid}/v2.0 for
	// Entra's common. Discover then takes metadata with this very pattern, and an ID
	// token may be of the issuer that has the token's tid claim in the place of
	// {tenantid}. Which tenants may log in is for the program to decide. Empty means
	// that Issuer alone counts, which then may have {tenantid} itself.
	IssuerTemplate string
	// AssumeEndpoints goes on where metadata is missing, as the Model Context Protocol had
	// it before 2025-06-18: [DiscoverResource] takes the origin of an API that publishes
	// nothing for its authorization server, and [Discover] and register.Client assume the
	// endpoints /authorize, /token and /register at an origin that publishes nothing, and
	// take metadata at an origin that names an issuer below it. It
	// is for APIs that are known to be so old: nothing but the API's address then says
	// where a person's password belongs. Metadata that cannot be read, or is about
	// another server, is never replaced.
	AssumeEndpoints bool
	// ClientID is the client's identifier. Required, but for ClientAuth: Anonymous().
	ClientID string
	// ClientSecret is the secret of a client that has one, and empty for public clients,
	// such as programs people install. It is short for ClientAuth: Secret(…).
	ClientSecret string
	// ClientAuth is how the client authenticates where ClientSecret does not say it all:
	// by a key, by a certificate, or by a secret in a way that the server does not list.
	ClientAuth ClientAuth

	// The endpoints that most programs use. Discover fills in those that are empty;
	// TokenURL is required for everything, the others for what they serve. All must be
	// https, or http to a loopback address.
	AuthURL       string
	TokenURL      string
	DeviceAuthURL string
	RevocationURL string
	// Endpoints are the others.
	Endpoints Endpoints

	// RedirectURL is where a login returns to. For Authenticate, empty means
	// http://127.0.0.1 on a free port; set it (with a port) for servers that want
	// a registered one. For AuthCodeURL it is the program's own callback.
	//
	// A program that logs in to several servers, one of which sends no iss (see
	// RequireIss), gives each of them one with a path of its own, such as
	// http://127.0.0.1/acme/callback: an answer on another's path is not taken (RFC
	// 9700 section 4.4.2.2).
	RedirectURL string
	// Scopes are asked for at login. They are not sent on refresh, unless Preset
	// says so: some servers end the session over a scope they do not like.
	Scopes []string
	// OfflineAccess asks for a refresh token at login where the server's metadata lists
	// the scope offline_access, and nowhere else: by that scope, and by prompt=consent
	// unless AuthParams names a prompt (OpenID Connect Core section 11). Servers that do
	// not list the scope may refuse it; they give refresh tokens without it, or not at all.
	// It is for programs that do not know the server: Preset has what known ones want.
	OfflineAccess bool
	// ScopeSeparator stands between scopes in requests. Empty means a space (RFC 6749
	// section 3.3); some services want a comma. In answers both are understood, see
	// [TokenPair.Scopes].
	ScopeSeparator string
	// AuthParams are added to the authorization request: prompt, audience, …
	AuthParams url.Values
	// TokenParams are added to the body of every request to the token endpoint,
	// such as the audience that some servers want with client credentials. What a
	// request has by itself they do not replace.
	TokenParams url.Values
	// Resources are the resource indicators (RFC 8707) sent at login and refresh.
	// WithResource replaces them for one call.
	Resources []string

	// DisablePKCE leaves PKCE (RFC 7636) out of logins through the browser, for a
	// server that refuses code_verifier from clients that authenticate. A server that
	// merely does not know PKCE passes over it: leave this false.
	//
	// It is safe only for a client with a secret or key that no other program has,
	// since then nothing but that keeps an attacker from redeeming a stolen code;
	// best with the scope openid, since then the nonce of the ID token keeps a code out
	// of this program that belongs to another person's login (RFC 9700 sections 2.1.1
	// and 4.5). For a public client it is [ErrMisconfigured] at login.
	DisablePKCE bool
	// RequirePushedAuth makes logins push their request to Endpoints.PushedAuth (RFC 9126)
	// instead of sending it through the browser. Discover sets it when the server's
	// metadata requires it.
	RequirePushedAuth bool

	// RequireIss makes a login fail whose answer lacks iss (RFC 9207). Discover
	// sets it when the metadata announces the parameter.
	RequireIss bool

	// DPoP binds tokens to a key (RFC 9449): each login makes one, which the pair
	// keeps, and every token request proves it. An answer with a token that is not
	// bound is refused as ErrDowngraded; see [Client.Refresh]. False means
	// Bearer tokens. Sessions that have a key go on with it either way.
	DPoP bool
	// VerifyIDToken checks the signature of ID tokens whose claims have been
	// checked, and whatever else the program wants of them. The package oauth/oidc
	// has one that does so by Endpoints.JWKS. Nil means no more than the claims, which
	// OpenID Connect Core section 3.1.3.7 allows: the tokens come from the token
	// endpoint over TLS.
	//
	// An error makes a login fail. On refresh it makes the Client keep the ID token
	// it had (see TokenPair.IDTokenError); there it has five seconds, in which the
	// new tokens are not yet saved. An error that matches ErrTransient says that
	// nothing is known against the token. Errors are shown, so they must hold no
	// secret. It must return when ctx ends, and be safe for concurrent use.
	VerifyIDToken func(ctx context.Context, check IDTokenCheck) error

	// TokenPath is where in the token endpoint's answers the tokens are, if not at
	// the top: names of members, with dots between them, such as authed_user or
	// data.session. The tokens and what is said about them are read there and
	// nowhere else, unless the first of these members is missing altogether.
	TokenPath string
	// Preset is what this server does without telling, such as preset.Google(), and
	// what it has to be asked for.
	// oauthtest.Like makes a server to test against that does the same.
	Preset Preset
	// DefaultLifetime is an access token's life when the server does not tell.
	// Zero: derived from the token if it is a JWT, otherwise unknown.
	DefaultLifetime time.Duration
	// Timeout bounds every single request but a refresh. Zero means 30 seconds.
	//
	// The answer to a refresh may be all that is left of the session. It is waited for
	// until the context of the call ends, or for three minutes if that has no deadline
	// (with a refresh.Manager, for its Config.RefreshTimeout).
	Timeout time.Duration
	// HTTPClient sends the requests; its redirect policy is not used, and its Timeout
	// does not end a refresh. A limit in its Transport does, such as
	// ResponseHeaderTimeout of http.Transport: leave it unset, or above
	// refresh.Config.RefreshTimeout. Nil means a client that opens one connection for
	// each request.
	HTTPClient *http.Client

	// OpenBrowser shows a URL to the person. Nil means the system's browser, or
	// the program named by the environment variable BROWSER.
	OpenBrowser func(ctx context.Context, url string) error
	// Output is where logins tell the person what to do. Nil means os.Stderr.
	Output io.Writer
	// ReadRedirect, if set, lets the person paste the URL that the browser ended
	// on, for when the browser runs elsewhere and cannot reach the loopback
	// listener. It is called beside the listener, again after a paste that does
	// not fit the login, and must return when ctx ends. An error ends the pasting
	// but not the login.
	ReadRedirect func(ctx context.Context) (string, error)

	// Now replaces time.Now, for programs that run on a clock of their own.
	Now func() time.Time
}

// Endpoints are where a server does what not every program asks for. Discover fills in
// those that are empty. All must be https, or http to a loopback address.
type Endpoints struct {
	// Introspection is for [Client.Introspect] (RFC 7662).
	Introspection string
	// Userinfo is for [Client.Userinfo] (OpenID Connect Core section 5.3).
	Userinfo string
	// PushedAuth is for [Client.PushAuthCode] (RFC 9126).
	PushedAuth string
	// EndSession is for [Client.EndSessionURL] (OpenID Connect RP-Initiated Logout).
	EndSession string
	// Registration is where the package register makes clients (RFC 7591).
	Registration string
	// JWKS is where the keys are that ID tokens are signed with. It is handed to
	// Config.VerifyIDToken, and used for nothing else.
	JWKS string
}

// issuerPattern returns the pattern of the issuers that a server of many tenants has.
func (cfg Config) issuerPattern() string { return cmp.Or(cfg.IssuerTemplate, cfg.Issuer) }

// withDefaults returns a copy of cfg that shares nothing with it and has every
// default filled in.
func (cfg Config) withDefaults() Config {
	cfg.Scopes = slices.Clone(cfg.Scopes)
	cfg.Resources = slices.Clone(cfg.Resources)
	cfg.AuthParams = cloneParams(cfg.AuthParams)
	cfg.TokenParams = cloneParams(cfg.TokenParams)
	secret := cfg.ClientAuth.secret
	cfg.ClientAuth = cfg.auth()
	cfg.ClientAuth.secret = secret // Config.ClientSecret stays where the program has put it
	if cfg.Timeout <= 0 {
		cfg.Timeout = wire.DefaultTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg
}

// cloneParams returns a copy of params that shares nothing with it, and is not nil.
func cloneParams(params url.Values) url.Values {
	c := make(url.Values, len(params))
	for name, values := range params {
		c[name] = slices.Clone(values)
	}
	return c
}

// auth returns how the client authenticates.
func (cfg Config) auth() ClientAuth {
	a := cfg.ClientAuth
	switch {
	case cfg.ClientSecret == "":
	case a.method == "":
		a.method, a.open, a.secret = authBasic, true, cfg.ClientSecret
	case a.secret == "" && a.usesSecret():
		a.secret = cfg.ClientSecret // the method is what Discover has chosen
	}
	return a
}

// check returns what makes cfg unusable for any request, or nil.
func (cfg Config) check() error {
	a := cfg.auth()
	switch {
	case a.anonymous && (cfg.ClientID != "" || !a.isPublic()):
		return wire.Wrong("ClientAuth", "is Anonymous, and there is a client ID or a secret; set one of them")
	case cfg.ClientID == "" && !a.anonymous:
		return wire.Wrong("ClientID", "is empty")
	}
	if cfg.ClientSecret != "" && a.secret != cfg.ClientSecret {
		return wire.Wrong("ClientAuth", "and ClientSecret contradict each other; set one of them")
	}
	return a.check(cfg.HTTPClient != nil)
}

// String describes the configuration without its secret, key or certificate.
func (cfg Config) String() string {
	return fmt.Sprintf("oauth.Config{issuer:%q client:%q secret:%s%s token:%q}",
		wire.WithoutQuery(cfg.Issuer), cfg.ClientID, wire.Presence(cfg.auth().secret), cfg.auth().keysPresent(), wire.WithoutQuery(cfg.TokenURL))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (cfg Config) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, cfg.String()) }

// LogValue implements slog.LogValuer.
func (cfg Config) LogValue() slog.Value { return slog.StringValue(cfg.String()) }

type resourceKey struct{}

// WithResource returns a context under which token requests ask for the given
// resource indicators (RFC 8707 section 2.2) in place of Config.Resources.
func WithResource(ctx context.Context, resources ...string) context.Context {
	return context.WithValue(ctx, resourceKey{}, resources)
}

// ResourceFrom returns the resource indicators that WithResource put into ctx,
// for authors of a refresh.Refresher. The result must not be modified.
func ResourceFrom(ctx context.Context) []string {
	resources, _ := ctx.Value(resourceKey{}).([]string)
	return resources
}

func (c *Client) resources(ctx context.Context) []string {
	if list := ResourceFrom(ctx); len(list) > 0 {
		return list
	}
	return c.cfg.Resources
}

// An IDTokenCheck is what Config.VerifyIDToken is asked about. It prints without
// the token.
type IDTokenCheck struct {
	// Token is the ID token, whose claims have been checked.
	Token string
	// Issuer, ClientID and JWKSURL are those of the Config; Issuer and JWKSURL
	// may be empty. JWKSURL is https, or http to a loopback address.
	Issuer, ClientID, JWKSURL string
	// HTTPClient sends requests like the Client's own: by the same transport, and
	// following no redirect. It is shared.
	HTTPClient *http.Client
}

// String describes the check without the token.
func (i IDTokenCheck) String() string {
	return fmt.Sprintf("oauth.IDTokenCheck{issuer:%q client:%q token:%s}", wire.WithoutQuery(i.Issuer), i.ClientID, wire.Presence(i.Token))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (i IDTokenCheck) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, i.String()) }

// LogValue implements slog.LogValuer.
func (i IDTokenCheck) LogValue() slog.Value { return slog.StringValue(i.String()) }
