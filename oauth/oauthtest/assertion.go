package oauthtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	authPrivateKeyJWT = "private_key_jwt"
	// assertionKind is the client_assertion_type of RFC 7523 section 2.2.
	assertionKind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// maxAssertionLife is what strict servers allow an assertion.
	maxAssertionLife = 5 * time.Minute
	// assertionLeeway is how far ahead a client's clock may be.
	assertionLeeway = 10 * time.Second
)

// assertionAlgs are the algorithms that assertions may be signed with.
var assertionAlgs = []string{"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"}

// algsFor returns those of them that fit a key, so that no signature is checked
// by other rules than its key is for (RFC 8725 section 3.1).
func algsFor(key crypto.PublicKey) []string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return []string{"RS256", "PS256"}
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return []string{"ES256"}
		case 384:
			return []string{"ES384"}
		case 521:
			return []string{"ES512"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}

// authenticateByAssertion is private_key_jwt (RFC 7523 sections 2.2 and 3).
func (s *Server) authenticateByAssertion(r *http.Request) (RegisteredClient, *answer) {
	form := r.PostForm
	if form.Has("client_secret") || r.Header.Get("Authorization") != "" {
		return RegisteredClient{}, badRequest("invalid_request", "the client authenticates in more than one way")
	}
	c, claims, ok := s.readAssertion(form.Get("client_assertion"))
	if !ok || form.Get("client_assertion_type") != assertionKind || form.Has("client_id") && form.Get("client_id") != c.ID {
		return RegisteredClient{}, invalidClient()
	}
	if !s.assertions.first(c.ID+" "+claims.ID, claims.ExpiresAt.Time, s.now()) {
		s.audit.note(AssertionReplayed, hashOf(claims.ID)[:12])
		return RegisteredClient{}, invalidClient()
	}
	return c, nil
}

// readAssertion verifies an assertion, all but that it was not used before.
func (s *Server) readAssertion(assertion string) (RegisteredClient, *jwt.RegisteredClaims, bool) {
	var (
		c      RegisteredClient
		claims jwt.RegisteredClaims
	)
	parser := jwt.NewParser(jwt.WithValidMethods(assertionAlgs), jwt.WithTimeFunc(s.now),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(assertionLeeway), jwt.WithAudience(s.assertionAudience()))
	_, err := parser.ParseWithClaims(assertion, &claims, func(t *jwt.Token) (any, error) {
		c, _ = s.client(claims.Issuer)
		kid, _ := t.Header["kid"].(string)
		return c.assertionKey(kid, t.Method.Alg())
	})
	good := err == nil && c.accepts(authPrivateKeyJWT) && claims.Subject == c.ID && claims.ID != "" && len(claims.Audience) == 1 &&
		claims.ExpiresAt.Sub(s.now()) <= maxAssertionLife
	return c, &claims, good
}

var errNoKey = errors.New("no such key is registered")

// assertionKey returns the registered key that an assertion names, if the
// algorithm is one for it.
func (c RegisteredClient) assertionKey(kid, alg string) (crypto.PublicKey, error) {
	if kid == "" && len(c.Keys) == 1 {
		kid = slices.Collect(maps.Keys(c.Keys))[0]
	}
	key := c.Keys[kid]
	if !slices.Contains(algsFor(key), alg) {
		return nil, errNoKey
	}
	return key, nil
}

func (s *Server) assertionAudience() string {
	if s.cfg.TokenEndpointAudience {
		return s.Endpoint(TokenEndpoint)
	}
	return s.issuer
}

// usedIDs remembers what may be used once, while it could be used.
type usedIDs struct {
	mu    sync.Mutex // guards until
	until map[string]time.Time
}

// first reports whether id was not seen before, and remembers it.
func (u *usedIDs) first(id string, until, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for old, end := range u.until {
		if now.After(end.Add(assertionLeeway)) {
			delete(u.until, old)
		}
	}
	if _, seen := u.until[id]; seen {
		return false
	}
	if u.until == nil {
		u.until = make(map[string]time.Time)
	}
	u.until[id] = until
	return true
}
