package client

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/once"
	"github.com/evertoken/evertoken/internal/authserver/proof"
	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// An Authenticator finds out which client sent a request.
type Authenticator struct {
	Clients  *Registry
	Now      func() time.Time
	Audience string         // of client assertions
	CAs      *x509.CertPool // sign the certificates of clients with a SubjectDN
	// RawBasic reads Basic credentials as they are, not form-encoded.
	RawBasic bool
	// RefusesVerifier frees clients that authenticate from PKCE.
	RefusesVerifier bool
	// Unknown replaces the refusal of a client that the server does not know.
	Unknown answer.Instead
	// OnReplay hears of assertions that come a second time, by a hash of the jti.
	OnReplay func(hash string)

	seen once.Set
}

// WantsPKCE reports whether a client's logins need PKCE.
func (a *Authenticator) WantsPKCE(c Client) bool {
	return !a.RefusesVerifier || c.Accepts(AuthNone)
}

// Authenticate finds out which client sent r (RFC 6749 section 2.3), or returns
// the refusal.
func (a *Authenticator) Authenticate(r *http.Request) (Client, *answer.Answer) {
	form := r.PostForm
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		return a.byAssertion(r)
	}
	id, shown, method := form.Get("client_id"), form.Get("client_secret"), AuthNone
	if form.Has("client_secret") {
		method = AuthPost
	}
	if r.Header.Get("Authorization") != "" {
		if method == AuthPost {
			return Client{}, answer.BadRequest("invalid_request", "the client authenticates in more than one way")
		}
		basicID, basicSecret, ok := a.basic(r)
		if !ok || form.Has("client_id") && id != basicID {
			return Client{}, answer.InvalidClient()
		}
		id, shown, method = basicID, basicSecret, AuthBasic
	}
	c, known := a.Clients.Find(id)
	if method == AuthNone && !c.Accepts(AuthNone) {
		method = a.mutualTLS(r, c)
	}
	if !known {
		return Client{}, a.Unknown.Of(answer.InvalidClient())
	}
	if !c.Accepts(method) || !secret.Equal(c.Secret, shown) || c.SecretEnded(a.Now()) {
		return Client{}, answer.InvalidClient()
	}
	return c, nil
}

// Anonymous reports whether r says nothing of who sent it.
func Anonymous(r *http.Request) bool {
	form := r.PostForm
	return !form.Has("client_id") && !form.Has("client_secret") && !form.Has("client_assertion") && !form.Has("client_assertion_type") &&
		r.Header.Get("Authorization") == ""
}

// basic reads Basic credentials.
func (a *Authenticator) basic(r *http.Request) (id, password string, ok bool) {
	if a.RawBasic {
		return r.BasicAuth()
	}
	return formDecodedBasic(r)
}

// formDecodedBasic reads Basic credentials, each form-encoded as RFC 6749 section
// 2.3.1 asks.
func formDecodedBasic(r *http.Request) (id, password string, ok bool) {
	rawID, rawSecret, ok := r.BasicAuth()
	if !ok {
		return "", "", false
	}
	id, err1 := url.QueryUnescape(rawID)
	password, err2 := url.QueryUnescape(rawSecret)
	return id, password, err1 == nil && err2 == nil
}

// mutualTLS returns the method by which the certificate of the connection
// authenticates c (RFC 8705 section 2), or AuthNone.
func (a *Authenticator) mutualTLS(r *http.Request, c Client) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return AuthNone
	}
	leaf := r.TLS.PeerCertificates[0]
	for _, registered := range c.Certificates {
		if leaf.Equal(registered) {
			return AuthSelfSignedMTLS
		}
	}
	if c.SubjectDN != "" && leaf.Subject.String() == c.SubjectDN && proof.SignedFor(a.CAs, r.TLS.PeerCertificates, a.Now()) {
		return AuthMTLS
	}
	return AuthNone
}
