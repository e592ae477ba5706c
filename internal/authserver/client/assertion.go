package client

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/once"
	"github.com/evertoken/evertoken/internal/authserver/secret"
)

const (
	// assertionKind is the client_assertion_type of RFC 7523 section 2.2.
	assertionKind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// maxAssertionLife is what strict servers allow an assertion.
	maxAssertionLife = 5 * time.Minute
)

// AssertionAlgs are the algorithms that assertions may be signed with.
var AssertionAlgs = []string{"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"}

// AlgsFor returns those of them that fit a key, so that no signature is checked
// by other rules than its key is for (RFC 8725 section 3.1).
func AlgsFor(key crypto.PublicKey) []string {
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

// byAssertion is private_key_jwt (RFC 7523 sections 2.2 and 3).
func (a *Authenticator) byAssertion(r *http.Request) (Client, *answer.Answer) {
	form := r.PostForm
	if form.Has("client_secret") || r.Header.Get("Authorization") != "" {
		return Client{}, answer.BadRequest("invalid_request", "the client authenticates in more than one way")
	}
	c, claims, ok := a.readAssertion(form.Get("client_assertion"))
	if !ok || form.Get("client_assertion_type") != assertionKind || form.Has("client_id") && form.Get("client_id") != c.ID {
		return Client{}, answer.InvalidClient()
	}
	if !a.seen.First(c.ID+" "+claims.ID, claims.ExpiresAt.Time, a.Now()) {
		a.OnReplay(secret.Short(secret.Hash(claims.ID)))
		return Client{}, answer.InvalidClient()
	}
	return c, nil
}

// readAssertion verifies an assertion, all but that it was not used before.
func (a *Authenticator) readAssertion(assertion string) (Client, *jwt.RegisteredClaims, bool) {
	var (
		c      Client
		claims jwt.RegisteredClaims
	)
	parser := jwt.NewParser(jwt.WithValidMethods(AssertionAlgs), jwt.WithTimeFunc(a.Now),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(once.Leeway), jwt.WithAudience(a.Audience))
	_, err := parser.ParseWithClaims(assertion, &claims, func(t *jwt.Token) (any, error) {
		c, _ = a.Clients.Find(claims.Issuer)
		kid, _ := t.Header["kid"].(string)
		return c.assertionKey(kid, t.Method.Alg())
	})
	good := err == nil && c.Accepts(AuthPrivateKeyJWT) && claims.Subject == c.ID && claims.ID != "" && len(claims.Audience) == 1 &&
		claims.ExpiresAt.Sub(a.Now()) <= maxAssertionLife
	return c, &claims, good
}

var errNoKey = errors.New("no such key is registered")

// assertionKey returns the registered key that an assertion names, if the
// algorithm is one for it.
func (c Client) assertionKey(kid, alg string) (crypto.PublicKey, error) {
	if kid == "" && len(c.Keys) == 1 {
		kid = slices.Collect(maps.Keys(c.Keys))[0]
	}
	key := c.Keys[kid]
	if !slices.Contains(AlgsFor(key), alg) {
		return nil, errNoKey
	}
	return key, nil
}
