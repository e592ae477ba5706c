// Package client knows the clients of the server, and finds out which of them sent
// a request.
package client

import (
	"crypto"
	"crypto/x509"
	"net"
	"net/url"
	"slices"
	"time"
)

// Ways for a client to authenticate, by their registered names.
const (
	AuthNone           = "none"
	AuthBasic          = "client_secret_basic"
	AuthPost           = "client_secret_post"
	AuthPrivateKeyJWT  = "private_key_jwt"
	AuthMTLS           = "tls_client_auth"
	AuthSelfSignedMTLS = "self_signed_tls_client_auth"
)

// Grant types by their registered names.
const (
	GrantCode     = "authorization_code"
	GrantRefresh  = "refresh_token"
	GrantPassword = "password"
	GrantClient   = "client_credentials"
	GrantDevice   = "urn:ietf:params:oauth:grant-type:device_code"
	GrantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// A Client is a client that the server knows.
type Client struct {
	// ID is the client's identifier. Required.
	ID string
	// Secret is empty for public clients.
	Secret string
	// SecretExpiresAt is when the secret ends. Zero: never.
	SecretExpiresAt time.Time
	// RedirectURIs are compared exactly, except for the port of loopback
	// addresses (RFC 8252 section 7.3). Nil allows every http URL of the loopback
	// interface (127.0.0.1, [::1], localhost).
	RedirectURIs []string
	// PostLogoutRedirectURIs are where a browser may go after a logout, compared
	// exactly. Nil allows every http URL of the loopback interface.
	PostLogoutRedirectURIs []string
	// GrantTypes are those the client may use, by their names at the token endpoint.
	// Nil means all; without refresh_token it gets no refresh token.
	GrantTypes []string
	// Keys are those that the client signs assertions with, by key ID: RSA, ECDSA
	// on P-256, P-384 or P-521, or Ed25519. An assertion without kid is taken for
	// the only one.
	Keys map[string]crypto.PublicKey
	// SubjectDN is the subject that the client's certificate must have, signed by
	// one of Authenticator.CAs, as pkix.Name.String writes it (RFC 8705 section 2.1).
	SubjectDN string
	// Certificates are the client's own, whoever signed them (RFC 8705 section 2.2).
	Certificates []*x509.Certificate
	// CertificateBound binds the client's access tokens to the certificate of the
	// connection that they were asked for on, however the client authenticates (RFC
	// 8705 section 3). A token request without a certificate is refused.
	CertificateBound bool
	// AuthMethod, if set, is the only accepted way to authenticate, by its
	// registered name. Empty accepts private_key_jwt from a client with Keys,
	// else mutual TLS from one with SubjectDN or Certificates, else basic and post
	// from one with a secret, and none from one without.
	AuthMethod string
}

// Accepts reports whether the client may authenticate by a method.
func (c Client) Accepts(method string) bool {
	switch {
	case c.AuthMethod != "":
		return method == c.AuthMethod
	case c.Keys != nil:
		return method == AuthPrivateKeyJWT
	case c.SubjectDN != "" || c.Certificates != nil:
		return method == AuthMTLS || method == AuthSelfSignedMTLS
	case c.Secret == "":
		return method == AuthNone
	}
	return method == AuthBasic || method == AuthPost
}

// AllowsGrant reports whether the client registered for a grant type.
func (c Client) AllowsGrant(grantType string) bool {
	return c.GrantTypes == nil || slices.Contains(c.GrantTypes, grantType)
}

// SecretEnded reports whether the client's secret is no good any more.
func (c Client) SecretEnded(now time.Time) bool {
	return !c.SecretExpiresAt.IsZero() && !now.Before(c.SecretExpiresAt)
}

// AllowsRedirect compares a redirect URI with what is registered. exactPort compares
// the port of loopback addresses too, unlike RFC 8252 section 7.3.
func (c Client) AllowsRedirect(raw string, u *url.URL, exactPort bool) bool {
	if u.Fragment != "" || u.User != nil || u.Scheme == "" {
		return false
	}
	if c.RedirectURIs == nil {
		return IsLoopback(u)
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		if raw == registered {
			return true
		}
		v, err := url.Parse(registered)
		return err == nil && !exactPort && IsLoopback(u) && IsLoopback(v) &&
			u.Hostname() == v.Hostname() && u.EscapedPath() == v.EscapedPath() && u.RawQuery == v.RawQuery
	})
}

// AllowsPostLogout compares where a browser is to go with what is registered.
func (c Client) AllowsPostLogout(raw string, u *url.URL) bool {
	if c.PostLogoutRedirectURIs == nil {
		return IsLoopback(u) && u.Fragment == "" && u.User == nil
	}
	return slices.Contains(c.PostLogoutRedirectURIs, raw)
}

// IsLoopback reports whether u is plain http to this machine (RFC 8252 section
// 7.3).
func IsLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}
