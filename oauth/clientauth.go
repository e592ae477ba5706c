package oauth

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A ClientAuth is how the client proves to the server who it is: a method, with all that
// the method needs. [Secret], [PrivateKeyJWT] and [TLSClientAuth] make the usual ones.
// The zero value is that of a public client, such as a program that people install: it
// sends client_id in the body, and nothing else.
//
// It prints without its secret, key or certificate. Copies share the key and the
// certificate, which must not be changed.
type ClientAuth struct {
	method     string // by its registered name; empty for a public client
	open       bool   // Discover may choose another method for the same credential
	secret     string
	secretEnds time.Time
	anonymous  bool // there is no client ID
	key        AssertionKey
	cert       *tls.Certificate // presented to servers that ask for one
}

// Methods by their registered names (RFC 8414, token_endpoint_auth_methods_supported),
// and one that has none.
const (
	authNone           = "none"
	authBasic          = "client_secret_basic"
	authBasicRaw       = "client_secret_basic_raw"
	authPost           = "client_secret_post"
	authPrivateKeyJWT  = "private_key_jwt"
	authMTLS           = "tls_client_auth"
	authSelfSignedMTLS = "self_signed_tls_client_auth"
)

// Anonymous is for a program that is not a client of the server, and has no Config.ClientID:
// the assertion of a [Client.JWTBearer] or the subject token of a [Client.ExchangeToken]
// says all (RFC 7521 section 4.1, RFC 8693 section 2.1). Other requests fail.
func Anonymous() ClientAuth { return ClientAuth{anonymous: true} }

// Secret authenticates by a client secret: by HTTP Basic, unless [Discover] finds that
// the server lists no more than the body. Config.ClientSecret means the same.
func Secret(secret string) ClientAuth {
	return ClientAuth{method: authBasic, open: true, secret: secret}
}

// SecretBasic sends ID and secret by HTTP Basic, each form-encoded as RFC 6749 section
// 2.3.1 asks, whatever the server's metadata lists.
func SecretBasic(secret string) ClientAuth { return ClientAuth{method: authBasic, secret: secret} }

// SecretBasicRaw sends ID and secret by HTTP Basic without form-encoding them. Servers
// that fail to decode need it when either holds a special character.
func SecretBasicRaw(secret string) ClientAuth {
	return ClientAuth{method: authBasicRaw, secret: secret}
}

// SecretPost sends client_id and client_secret in the body.
func SecretPost(secret string) ClientAuth { return ClientAuth{method: authPost, secret: secret} }

// PrivateKeyJWT sends a new assertion, signed with key, with every request (RFC 7523
// section 2.2, OpenID Connect Core section 9).
func PrivateKeyJWT(key AssertionKey) ClientAuth {
	return ClientAuth{method: authPrivateKeyJWT, key: key}
}

// TLSClientAuth authenticates by a certificate that an authority has signed (RFC 8705
// section 2.1), or by one that is itself registered if [Discover] finds that the server
// lists only that. A nil cert means the one that Config.HTTPClient presents.
//
// With a cert, Config.HTTPClient must be nil or have a *http.Transport, of which a copy
// is used, with a new connection for each request. Tokens may be bound to the
// certificate: see [Client.ResourceTransport].
func TLSClientAuth(cert *tls.Certificate) ClientAuth {
	return ClientAuth{method: authMTLS, open: true, cert: cert}
}

// SelfSignedTLSClientAuth is [TLSClientAuth] with a certificate that is itself registered
// (RFC 8705 section 2.2), whatever the server's metadata lists.
func SelfSignedTLSClientAuth(cert *tls.Certificate) ClientAuth {
	return ClientAuth{method: authSelfSignedMTLS, cert: cert}
}

// ClientAuthBy returns the method of this registered name, for programs that are told
// it: none, client_secret_basic, client_secret_post, or client_secret_basic_raw for
// [SecretBasicRaw]. The Client reports a method that needs more than a secret, or that
// is not known, as [ErrMisconfigured].
func ClientAuthBy(method, secret string) ClientAuth {
	if method == authNone {
		secret = "" // registered, and not to be sent
	}
	return ClientAuth{method: method, secret: secret}
}

// Presenting returns a with a certificate that is presented to servers that ask for one,
// in addition to the method, so that tokens are bound to it (RFC 8705 section 3). See
// [TLSClientAuth] for what it needs.
func (a ClientAuth) Presenting(cert *tls.Certificate) ClientAuth {
	a.cert = cert
	return a
}

// Until returns a with the time at which its secret ends, by the server's clock (RFC
// 7591 section 3.2.1). Zero means that it is not known, or that there is none. The
// secret is tried in any case; a server that refuses it later than that is
// [ErrClientSecretExpired].
func (a ClientAuth) Until(end time.Time) ClientAuth {
	a.secretEnds = end
	return a
}

// Method returns the registered name of the method.
func (a ClientAuth) Method() string {
	if a.method == "" {
		return authNone
	}
	return a.method
}

// String names the method, and tells what else there is.
func (a ClientAuth) String() string {
	return fmt.Sprintf("oauth.ClientAuth{%s secret:%s%s}", a.Method(), wire.Presence(a.secret), a.keysPresent())
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (a ClientAuth) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, a.String()) }

// LogValue implements slog.LogValuer.
func (a ClientAuth) LogValue() slog.Value { return slog.StringValue(a.String()) }

// keysPresent tells for String of key and certificate, if there are any.
func (a ClientAuth) keysPresent() string {
	text := ""
	if a.key.Signer != nil {
		text += " key:[redacted]"
	}
	if a.cert != nil {
		text += " certificate:[redacted]"
	}
	return text
}

// check returns what makes a unusable, or nil. presents tells that the HTTP client may
// present a certificate.
func (a ClientAuth) check(presents bool) error {
	switch a.Method() {
	case authNone:
		return nil
	case authBasic, authBasicRaw, authPost:
		if a.secret == "" {
			return wire.Wrong("ClientAuth", "%s needs a secret", a.method)
		}
		return nil
	case authPrivateKeyJWT:
		return a.key.check()
	case authMTLS, authSelfSignedMTLS:
		if a.cert == nil && !presents {
			return wire.Wrong("ClientAuth", "%s needs a certificate, or an HTTPClient that presents one", a.method)
		}
		return nil
	}
	return wire.Wrong("ClientAuth", "%q is not one of none, client_secret_basic, client_secret_basic_raw, client_secret_post, "+
		"private_key_jwt, tls_client_auth, self_signed_tls_client_auth", a.method)
}

// checkEndpoint returns an error if the client authenticates by certificate, but the
// endpoint, which is that field of Config, is one without TLS.
func (a ClientAuth) checkEndpoint(field, endpoint string) error {
	if !a.mutualTLS() {
		return nil
	}
	if u, err := url.Parse(endpoint); err == nil && u.Scheme != "https" {
		return wire.Wrong(field, "must be https: %s is a certificate of the TLS connection", a.method)
	}
	return nil
}

// mutualTLS reports whether the method is one of RFC 8705 section 2.
func (a ClientAuth) mutualTLS() bool { return a.method == authMTLS || a.method == authSelfSignedMTLS }

// usesSecret reports whether the method is one by a client secret.
func (a ClientAuth) usesSecret() bool { return a.byBasic() || a.method == authPost }

func (a ClientAuth) byBasic() bool { return a.method == authBasic || a.method == authBasicRaw }

// isPublic reports whether the client does not authenticate.
func (a ClientAuth) isPublic() bool { return a.Method() == authNone }

// seen lists what a server can see of a, for Client.ConfigID.
func (a ClientAuth) seen() []string {
	return append(append([]string{a.Method(), a.secret}, a.key.seen()...), certificateSeen(a.cert)...)
}

// hint says what to check when the server does not accept the client. It is empty for
// clients with a secret or without one.
func (a ClientAuth) hint() string {
	switch {
	case a.method == authPrivateKeyJWT:
		return "check that the server knows the key (and its KeyID), whether it wants another Audience or Type in assertions, and this machine's clock"
	case a.mutualTLS():
		return "check that the server knows the certificate, and that the endpoint is the one for certificates (mtls_endpoint_aliases)"
	}
	return ""
}
