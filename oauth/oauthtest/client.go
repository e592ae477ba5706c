package oauthtest

import (
	"crypto"
	"crypto/x509"
	"time"
)

// A RegisteredClient is a client that the server knows.
type RegisteredClient struct {
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
	// one of Config.ClientCAs, as pkix.Name.String writes it (RFC 8705 section 2.1).
	SubjectDN string
	// Certificates are the client's own, by any signer (RFC 8705 section 2.2).
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
