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
	GrantBearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// A Client is a client that the server knows. Its fields are those of
// oauthtest.RegisteredClient, which tells what they mean.
type Client struct {
	ID                     string
	Secret                 string
	SecretExpiresAt        time.Time
	RedirectURIs           []string
	PostLogoutRedirectURIs []string
	GrantTypes             []string
	Keys                   map[string]crypto.PublicKey
	SubjectDN              string
	Certificates           []*x509.Certificate
	CertificateBound       bool
	AuthMethod             string
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

// SecretEnded reports whether the client's secret has ended.
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
