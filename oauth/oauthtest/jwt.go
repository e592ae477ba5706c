package oauthtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A keyring signs the server's tokens. P-256 rather than RSA: a test that makes
// a server for each case should not wait for primes.
type keyring struct {
	id  string
	key *ecdsa.PrivateKey
}

func newKeyring() *keyring {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("oauthtest: cannot make a key: " + err.Error()) // never happens: crypto/rand does not fail
	}
	return &keyring{id: randomID(8), key: key}
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
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["kid"], t.Header["typ"] = k.id, typ
	signed, err := t.SignedString(k.key)
	if err != nil {
		panic("oauthtest: cannot sign: " + err.Error()) // never happens with a good key
	}
	return signed
}

// verify checks the signature and type of an access token, not its times.
func (k *keyring) verify(token string) (*accessClaims, error) {
	var claims accessClaims
	t, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return &k.key.PublicKey, nil },
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

// serveJWKS answers with the public key (RFC 7517).
func (s *Server) serveJWKS(*http.Request) *answer {
	point, err := s.keys.key.PublicKey.Bytes() // 4, then x and y
	if err != nil {
		return errorAnswer(http.StatusInternalServerError, "server_error", "the key cannot be shown")
	}
	size := (len(point) - 1) / 2
	b64 := base64.RawURLEncoding
	a := jsonAnswer(http.StatusOK, map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": s.keys.id,
		"x": b64.EncodeToString(point[1 : 1+size]), "y": b64.EncodeToString(point[1+size:]),
	}}})
	return a
}
