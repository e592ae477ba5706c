// Package keys signs the server's tokens and reads them again.
package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// A Ring signs the server's tokens. P-256 rather than RSA: a test that makes
// a server for each case should not wait for primes.
type Ring struct {
	mu   sync.Mutex              // guards what follows
	keys []signingKey            // the newest last
	bare map[string]AccessClaims // what SignBare has left out, by token
}

type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

// New returns a ring with one key.
func New() *Ring {
	k := new(Ring)
	k.Rotate()
	return k
}

// Rotate adds a key, which is used from now on.
func (k *Ring) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("oauthtest: cannot make a key: " + err.Error()) // never happens: crypto/rand does not fail
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = append(k.keys, signingKey{id: secret.New(8), key: key})
}

// all returns the keys, the newest last.
func (k *Ring) all() []signingKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.keys)
}

// publicKey returns the key that a token names, for jwt.Parse.
func (k *Ring) publicKey(t *jwt.Token) (any, error) {
	for _, known := range k.all() {
		if known.id == t.Header["kid"] {
			return &known.key.PublicKey, nil
		}
	}
	return nil, errBadToken
}

// Find returns the public key with an ID, or nil.
func (k *Ring) Find(id string) crypto.PublicKey {
	for _, known := range k.all() {
		if known.id == id {
			return &known.key.PublicKey
		}
	}
	return nil
}

// AccessClaims are what an access token says (RFC 9068 section 2.2).
type AccessClaims struct {
	jwt.RegisteredClaims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope,omitempty"`
	Session  string `json:"sid"`
	// ExpiresMilli is the end of the token's life to the millisecond. exp has only
	// seconds and is rounded up, so that a token lives as long as announced.
	ExpiresMilli int64 `json:"exp_ms"`
	// Serial orders the access tokens of a session.
	Serial int `json:"serial"`
	// Actor is who acts for the subject, if another party does (RFC 8693 section 4.1).
	Actor *Actor `json:"act,omitempty"`
	// OrigIssuedAt is when gin-jwt has issued a token.
	OrigIssuedAt *jwt.NumericDate `json:"orig_iat,omitempty"`
	// Confirmation is set in tokens that are bound to a key.
	Confirmation *Confirmation `json:"cnf,omitempty"`
}

// A Confirmation is what RFC 9449 section 6.1 and RFC 8705 section 3.1 add to a
// bound access token: thumbprints of what its client has to show. Its zero value
// binds to nothing.
type Confirmation struct {
	JKT         string `json:"jkt,omitempty"`
	Certificate string `json:"x5t#S256,omitempty"`
}

// An Actor is the party that acts for another.
type Actor struct {
	Subject string `json:"sub"`
}

// errBadToken is all that verifying tells.
var errBadToken = errors.New("the token is not one of ours")

// Sign returns the token with claims, marked as typ.
func (k *Ring) Sign(typ string, claims jwt.Claims) string {
	keys := k.all()
	newest := keys[len(keys)-1]
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["kid"], t.Header["typ"] = newest.id, typ
	signed, err := t.SignedString(newest.key)
	if err != nil {
		panic("oauthtest: cannot sign: " + err.Error()) // never happens with a good key
	}
	return signed
}

// SignBare returns an access token that tells no more than public. To Verify it has claims.
func (k *Ring) SignBare(claims AccessClaims, public jwt.MapClaims) string {
	token := k.Sign("JWT", public)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bare == nil {
		k.bare = make(map[string]AccessClaims)
	}
	k.bare[token] = claims
	return token
}

// Verify checks the signature and type of an access token, not its times.
func (k *Ring) Verify(token string) (*AccessClaims, error) {
	k.mu.Lock()
	claims, known := k.bare[token]
	k.mu.Unlock()
	if known {
		return &claims, nil
	}
	t, err := jwt.ParseWithClaims(token, &claims, k.publicKey,
		jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithoutClaimsValidation())
	if err != nil || t.Header["typ"] != "at+jwt" {
		return nil, errBadToken
	}
	return &claims, nil
}

// WholeSecond rounds t up to a second.
func WholeSecond(t time.Time) *jwt.NumericDate {
	if floor := t.Truncate(time.Second); floor.Before(t) {
		t = floor.Add(time.Second)
	}
	return jwt.NewNumericDate(t)
}

// VerifyID checks the signature and type of an ID token, not its times.
func (k *Ring) VerifyID(token string) (*jwt.RegisteredClaims, error) {
	var claims jwt.RegisteredClaims
	t, err := jwt.ParseWithClaims(token, &claims, k.publicKey,
		jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithoutClaimsValidation())
	if err != nil || t.Header["typ"] != "JWT" || claims.ExpiresAt == nil {
		return nil, errBadToken
	}
	return &claims, nil
}

// LeftHalf is at_hash for ES256 (OpenID Connect Core section 3.1.3.6).
func LeftHalf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// Public returns the public keys as a JWK set (RFC 7517), or nil.
func (k *Ring) Public() map[string]any {
	keys := []any{}
	for _, k := range k.all() {
		point, err := k.key.PublicKey.Bytes() // 4, then x and y
		if err != nil {
			return nil
		}
		size := (len(point) - 1) / 2
		b64 := base64.RawURLEncoding
		keys = append(keys, map[string]any{
			"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": k.id,
			"x": b64.EncodeToString(point[1 : 1+size]), "y": b64.EncodeToString(point[1+size:]),
		})
	}
	return map[string]any{"keys": keys}
}
