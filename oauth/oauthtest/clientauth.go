package oauthtest

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
)

// Ways for a client to authenticate, by their registered names.
const (
	authNone  = "none"
	authBasic = "client_secret_basic"
	authPost  = "client_secret_post"
)

// authenticate finds out which client sent r (RFC 6749 section 2.3), or returns
// the refusal.
func (s *Server) authenticate(r *http.Request) (RegisteredClient, *answer) {
	form := r.PostForm
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		return s.authenticateByAssertion(r)
	}
	id, secret, method := form.Get("client_id"), form.Get("client_secret"), authNone
	if form.Has("client_secret") {
		method = authPost
	}
	if r.Header.Get("Authorization") != "" {
		if method == authPost {
			return RegisteredClient{}, badRequest("invalid_request", "the client authenticates in more than one way")
		}
		basicID, basicSecret, ok := s.basic(r)
		if !ok || form.Has("client_id") && id != basicID {
			return RegisteredClient{}, invalidClient()
		}
		id, secret, method = basicID, basicSecret, authBasic
	}
	c, known := s.client(id)
	if method == authNone && !c.accepts(authNone) {
		method = s.mutualTLS(r, c)
	}
	if !known {
		return RegisteredClient{}, s.cfg.Quirks.UnknownClient.instead(invalidClient())
	}
	if !c.accepts(method) || !equal(c.Secret, secret) || c.secretEnded(s.now()) {
		return RegisteredClient{}, invalidClient()
	}
	return c, nil
}

// basic reads Basic credentials.
func (s *Server) basic(r *http.Request) (id, secret string, ok bool) {
	if s.cfg.Quirks.RawBasic {
		return r.BasicAuth()
	}
	return formDecodedBasic(r)
}

// formDecodedBasic reads Basic credentials, each form-encoded as RFC 6749 section
// 2.3.1 asks.
func formDecodedBasic(r *http.Request) (id, secret string, ok bool) {
	rawID, rawSecret, ok := r.BasicAuth()
	if !ok {
		return "", "", false
	}
	id, err1 := url.QueryUnescape(rawID)
	secret, err2 := url.QueryUnescape(rawSecret)
	return id, secret, err1 == nil && err2 == nil
}

func (c RegisteredClient) accepts(method string) bool {
	switch {
	case c.AuthMethod != "":
		return method == c.AuthMethod
	case c.Keys != nil:
		return method == authPrivateKeyJWT
	case c.SubjectDN != "" || c.Certificates != nil:
		return method == authMTLS || method == authSelfSignedMTLS
	case c.Secret == "":
		return method == authNone
	}
	return method == authBasic || method == authPost
}

// invalidClient is a refusal for which RFC 6749 section 5.2 wants a challenge.
func invalidClient() *answer {
	a := errorAnswer(http.StatusUnauthorized, "invalid_client", "the client is unknown or did not authenticate as it is registered")
	a.header.Set("WWW-Authenticate", `Basic realm="oauthtest"`)
	return a
}

// equal compares secrets in constant time.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
