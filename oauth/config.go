package oauth

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// ClientAuth is how the client proves who it is at the token endpoint, by its
// registered name (RFC 8414, token_endpoint_auth_methods_supported).
type ClientAuth string

const (
	// AuthNone sends client_id in the body: a public client.
	AuthNone ClientAuth = "none"
	// AuthBasic sends ID and secret by HTTP Basic, each form-encoded as RFC 6749
	// section 2.3.1 asks.
	AuthBasic ClientAuth = "client_secret_basic"
	// AuthBasicRaw sends ID and secret by HTTP Basic without form-encoding them.
	// Servers that fail to decode need it when either holds a special character.
	AuthBasicRaw ClientAuth = "client_secret_basic_raw"
	// AuthPost sends client_id and client_secret in the body.
	AuthPost ClientAuth = "client_secret_post"
	// AuthPrivateKeyJWT sends a new assertion, signed with Config.ClientKey, with
	// every request (RFC 7523 section 2.2, OpenID Connect Core section 9).
	AuthPrivateKeyJWT ClientAuth = "private_key_jwt"
	// AuthMTLS sends client_id in the body, and a certificate that an authority
	// has signed with the TLS connection (RFC 8705 section 2.1).
	AuthMTLS ClientAuth = "tls_client_auth"
	// AuthSelfSignedMTLS is AuthMTLS with a certificate that is itself registered
	// (RFC 8705 section 2.2).
	AuthSelfSignedMTLS ClientAuth = "self_signed_tls_client_auth"
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
	// that Issuer alone counts.
	IssuerTemplate string
	// ClientID is the client's identifier. Required.
	ClientID string
	// ClientSecret is empty for public clients, such as programs people install.
	ClientSecret string
	// ClientSecretExpiresAt is when the secret ends, by the server's clock (RFC 7591
	// section 3.2.1). Zero: not known, or never. It is tried in any case; a server
	// that refuses it later than that is [ErrClientSecretExpired].
	ClientSecretExpiresAt time.Time
	// ClientKey signs the assertions of AuthPrivateKeyJWT: RSA, ECDSA on P-256,
	// P-384 or P-521, or Ed25519. Sign is called for every request, by several
	// goroutines at once; it may ask a device or service, and must return by
	// itself. An error of its own is ErrTransient.
	ClientKey crypto.Signer
	// ClientKeyID is the kid that the server knows ClientKey by. Optional where
	// one key is registered.
	ClientKeyID string
	// ClientKeyAlg is the JWS algorithm. Empty means EdDSA for Ed25519, ES256,
	// ES384 or ES512 by curve, and for RSA RS256, or PS256 if Discover finds that
	// the server lists only that.
	ClientKeyAlg string
	// AssertionAudience is the aud of assertions. Empty means Issuer, or TokenURL
	// if there is none. The successor of RFC 7523 allows nothing but the issuer,
	// since an endpoint's address can be another server's doing; servers from
	// before it may want their token endpoint, whatever endpoint is asked.
	AssertionAudience string
	// AssertionType is the typ of assertions. Empty means JWT, which all but the
	// newest servers take; those may want client-authentication+jwt.
	AssertionType string
	// ClientCertificate is presented to servers that ask for one, with its chain:
	// for AuthMTLS, and to have tokens bound to it. Nil means none but those that
	// HTTPClient presents. It needs an HTTPClient that is nil or has a
	// *http.Transport, of which a copy is used, with a new connection for each
	// request. APIs see it through [Client.ResourceTransport].
	ClientCertificate *tls.Certificate

	// Endpoints. Discover fills in those that are empty; TokenURL is required
	// for everything, the others for what they serve. All must be https, or http
	// to a loopback address.
	AuthURL          string
	TokenURL         string
	DeviceAuthURL    string
	RevocationURL    string
	IntrospectionURL string
	UserinfoURL      string
	PushedAuthURL    string
	EndSessionURL    string
	RegistrationURL  string
	// JWKSURL is where the keys are that ID tokens are signed with. It is handed
	// to VerifyIDToken, and used for nothing else.
	JWKSURL string

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
	// It is safe only for a client with a secret or key that nobody else has, since
	// then nothing but that keeps somebody who gets hold of a code from redeeming it;
	// best with the scope openid, since then the nonce of the ID token keeps a code out
	// of this program that belongs to somebody else's login (RFC 9700 sections 2.1.1
	// and 4.5). For a public client it is [ErrMisconfigured] at login.
	DisablePKCE bool
	// RequirePushedAuth makes logins push their request to PushedAuthURL (RFC 9126)
	// instead of sending it through the browser. Discover sets it when the server's
	// metadata requires it.
	RequirePushedAuth bool

	// ClientAuth defaults to AuthPrivateKeyJWT with a ClientKey, else AuthMTLS
	// with a ClientCertificate, else AuthBasic with a secret and AuthNone without;
	// Discover prefers what the server's metadata lists.
	ClientAuth ClientAuth
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
	// has one that does so by JWKSURL. Nil means no more than the claims, which
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
	// Timeout bounds every single request. Zero means 30 seconds.
	Timeout time.Duration
	// HTTPClient sends the requests; its redirect policy is not used. Nil means a
	// client that opens one connection for each request.
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

// wrong returns the error for a field of a Config that is wrong, in a text that names it.
func wrong(field, format string, args ...any) error {
	return &wire.FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// withDefaults returns a copy of cfg that shares nothing with it and has every
// default filled in.
func (cfg Config) withDefaults() Config {
	cfg.Scopes = slices.Clone(cfg.Scopes)
	cfg.Resources = slices.Clone(cfg.Resources)
	cfg.AuthParams = cloneParams(cfg.AuthParams)
	cfg.TokenParams = cloneParams(cfg.TokenParams)
	if cfg.ClientAuth == "" {
		cfg.ClientAuth = AuthNone
		switch {
		case cfg.ClientKey != nil:
			cfg.ClientAuth = AuthPrivateKeyJWT
		case cfg.ClientCertificate != nil:
			cfg.ClientAuth = AuthMTLS
		case cfg.ClientSecret != "":
			cfg.ClientAuth = AuthBasic
		}
	}
	if cfg.ClientKey != nil && cfg.ClientKeyAlg == "" {
		if algs := keyAlgs(cfg.ClientKey.Public()); len(algs) > 0 {
			cfg.ClientKeyAlg = algs[0]
		}
	}
	if cfg.AssertionType == "" {
		cfg.AssertionType = defaultAssertionType
	}
	if cfg.ClientCertificate != nil {
		cert := *cfg.ClientCertificate
		cfg.ClientCertificate = &cert
	}
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

// check returns what makes cfg unusable for any request, or nil.
func (cfg Config) check() error {
	if cfg.ClientID == "" {
		return errors.New("Config.ClientID is empty")
	}
	switch cfg.ClientAuth {
	case AuthNone:
		return nil
	case AuthBasic, AuthBasicRaw, AuthPost:
		if cfg.ClientSecret == "" {
			return fmt.Errorf("Config.ClientAuth %s needs a ClientSecret", cfg.ClientAuth)
		}
		return nil
	case AuthPrivateKeyJWT:
		return cfg.checkKey()
	case AuthMTLS, AuthSelfSignedMTLS:
		return cfg.checkCertificate()
	}
	return fmt.Errorf("Config.ClientAuth %q is not one of none, client_secret_basic, client_secret_basic_raw, client_secret_post, "+
		"private_key_jwt, tls_client_auth, self_signed_tls_client_auth", cfg.ClientAuth)
}

// String describes the configuration without its secret, key or certificate.
func (cfg Config) String() string {
	return fmt.Sprintf("oauth.Config{issuer:%q client:%q secret:%s%s token:%q}",
		cfg.Issuer, cfg.ClientID, wire.Presence(cfg.ClientSecret), cfg.keysPresent(), wire.WithoutQuery(cfg.TokenURL))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (cfg Config) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, cfg.String()) }

// LogValue implements slog.LogValuer.
func (cfg Config) LogValue() slog.Value { return slog.StringValue(cfg.String()) }
