package oauthtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A keyring signs the server's tokens. P-256 rather than RSA: a test that makes
// a server for each case should not wait for primes.
type keyring struct {
	mu   sync.Mutex   // guards keys
	keys []signingKey // the newest last
}

type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

func newKeyring() *keyring {
	k := new(keyring)
	k.rotate()
	return k
}

// rotate adds a key, which is used from now on.
func (k *keyring) rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("oauthtest: cannot make a key: " + err.Error()) // never happens: crypto/rand does not fail
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = append(k.keys, signingKey{id: randomID(8), key: key})
}

// all returns the keys, the newest last.
func (k *keyring) all() []signingKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.keys)
}

// publicKey returns the key that a token names, for jwt.Parse.
func (k *keyring) publicKey(t *jwt.Token) (any, error) {
	for _, known := range k.all() {
		if known.id == t.Header["kid"] {
			return &known.key.PublicKey, nil
		}
	}
	return nil, errBadToken
}

// accessClaims are what an access token says (RFC 9068 section 2.2).
type accessClaims struct {
	jwt.RegisteredClaims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope,omitempty"`
	Session  string `json:"sid"`
	// ExpiresMilli is the end of the token's life to the millisecond. exp has only
	// seconds and is rounded up, so that a token lives as long as announced.
	ExpiresMilli int64 `json:"exp_ms"`
	// Serial orders the access tokens of a session.
	Serial int `json:"serial"`
	// Actor is who acts for the subject, if somebody does (RFC 8693 section 4.1).
	Actor *actorClaim `json:"act,omitempty"`
	// Confirmation is set in tokens that are bound to a key.
	Confirmation *confirmation `json:"cnf,omitempty"`
}

type actorClaim struct {
	Subject string `json:"sub"`
}

// errBadToken is all that verifying tells.
var errBadToken = errors.New("the token is not one of ours")

// sign returns the token with claims, marked as typ.
func (k *keyring) sign(typ string, claims jwt.Claims) string {
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

// verify checks the signature and type of an access token, not its times.
func (k *keyring) verify(token string) (*accessClaims, error) {
	var claims accessClaims
	t, err := jwt.ParseWithClaims(token, &claims, k.publicKey,
		jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithoutClaimsValidation())
	if err != nil || t.Header["typ"] != "at+jwt" {
		return nil, errBadToken
	}
	return &claims, nil
}

// wholeSecond rounds t up to a second.
func wholeSecond(t time.Time) *jwt.NumericDate {
	if floor := t.Truncate(time.Second); floor.Before(t) {
		t = floor.Add(time.Second)
	}
	return jwt.NewNumericDate(t)
}

// serveJWKS answers with the public keys (RFC 7517).
func (s *Server) serveJWKS(*http.Request) *answer {
	keys := []any{}
	for _, k := range s.keys.all() {
		point, err := k.key.PublicKey.Bytes() // 4, then x and y
		if err != nil {
			return errorAnswer(http.StatusInternalServerError, "server_error", "the key cannot be shown")
		}
		size := (len(point) - 1) / 2
		b64 := base64.RawURLEncoding
		keys = append(keys, map[string]any{
			"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": k.id,
			"x": b64.EncodeToString(point[1 : 1+size]), "y": b64.EncodeToString(point[1+size:]),
		})
	}
	return jsonAnswer(http.StatusOK, map[string]any{"keys": keys})
}
