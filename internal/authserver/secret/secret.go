// Package secret makes, hashes and compares what only some may know.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
)

// New returns 2n random hexadecimal digits.
func New(n int) string {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // it never fails
	return hex.EncodeToString(b)
}

// Hash is how refresh tokens, codes and device codes are kept.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Short is the beginning of a hash, for telling secrets apart in a report.
func Short(hash string) string { return hash[:12] }

// S256 is the SHA-256 in base64url that PKCE (RFC 7636 section 4.2), JWK
// thumbprints (RFC 7638) and DPoP's ath (RFC 9449 section 4.2) have in common.
func S256(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Equal compares secrets in constant time.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
