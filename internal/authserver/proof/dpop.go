// Package proof judges what clients show beside tokens: DPoP proofs (RFC 9449) and
// certificates (RFC 8705).
package proof

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/authserver/once"
	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// A Proof is a DPoP proof whose signature is good (RFC 9449 section 4.2).
type Proof struct {
	jwt.RegisteredClaims        // jti and iat
	Method               string `json:"htm"`
	Target               string `json:"htu"`
	TokenHash            string `json:"ath"`
	Nonce                string `json:"nonce"`
	Thumbprint           string `json:"-"` // of the key
}

// proofWindow is how far iat may be from the server's clock (section 11.1).
const proofWindow = time.Minute

// errBadProof is all that reading a proof tells.
var errBadProof = errors.New("the DPoP proof is malformed or not signed by its own key")

// Read checks what of section 4.3 needs nothing but the proof.
func Read(text string) (*Proof, error) {
	var p Proof
	_, err := jwt.ParseWithClaims(text, &p, func(t *jwt.Token) (any, error) {
		if t.Header["typ"] != "dpop+jwt" {
			return nil, errBadProof
		}
		key, thumbprint, err := publicKey(t.Header["jwk"])
		p.Thumbprint = thumbprint
		return key, err
	}, jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithoutClaimsValidation())
	if err != nil || p.ID == "" || p.IssuedAt == nil {
		return nil, errBadProof
	}
	return &p, nil
}

// publicKey reads a P-256 JWK and returns its thumbprint too (RFC 7638). Like
// strict servers it wants both coordinates in full length (RFC 7518 section
// 6.2.1.2).
func publicKey(value any) (*ecdsa.PublicKey, string, error) {
	fields, _ := value.(map[string]any)
	if _, private := fields["d"]; private || fields["kty"] != "EC" || fields["crv"] != "P-256" {
		return nil, "", errBadProof
	}
	x, _ := fields["x"].(string)
	y, _ := fields["y"].(string)
	point := []byte{4} // uncompressed
	for _, coordinate := range []string{x, y} {
		b, err := base64.RawURLEncoding.Strict().DecodeString(coordinate)
		if err != nil || len(b) != 32 {
			return nil, "", errBadProof
		}
		point = append(point, b...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	return key, secret.S256(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`), err
}

// A Checker judges the proofs that requests carry.
type Checker struct {
	Origin string // of the server, which htu must name
	Secret string // key of the nonces
	Now    func() time.Time
	// NonceLifetime, if set, makes the server want its nonce in proofs.
	NonceLifetime time.Duration
	// OnReplay hears of proofs that come a second time, by a hash of the jti.
	OnReplay func(hash string)

	seen once.Set
}

// What proofs are made for. The nonces of one role are not valid in the other.
const (
	RoleToken    = "token"
	RoleResource = "resource"
)

// Check returns the proof that r carries, or nil and the error code and
// description that refuse it (section 4.3). role names the kind of server: the
// a nonce of one is not one of the other.
func (c *Checker) Check(r *http.Request, role string) (p *Proof, code, description string) {
	const invalid = "invalid_dpop_proof"
	if len(r.Header.Values("DPoP")) != 1 {
		return nil, invalid, "there must be one DPoP header"
	}
	p, err := Read(r.Header.Get("DPoP"))
	if err != nil {
		return nil, invalid, err.Error()
	}
	now := c.Now()
	switch {
	case p.Method != r.Method:
		return nil, invalid, "htm is not the method"
	case p.Target != c.Origin+r.URL.EscapedPath():
		return nil, invalid, "htu is not the address"
	case c.NonceLifetime > 0 && !c.isNonce(role, p.Nonce):
		return nil, "use_dpop_nonce", "the server wants its nonce in the proof"
	case now.Sub(p.IssuedAt.Time).Abs() > proofWindow:
		return nil, invalid, "iat is too far from the server's time"
	case !c.seen.First(p.ID, now.Add(2*proofWindow), now):
		c.OnReplay(secret.Short(secret.Hash(p.ID)))
		return nil, invalid, "the proof was used before"
	}
	return p, "", ""
}

// nonce returns the nonce of a role now. It is derived from the time, in steps of
// NonceLifetime, and good for this step and the next.
func (c *Checker) nonce(role string) string { return c.nonceOf(role, 0) }

func (c *Checker) nonceOf(role string, stepsAgo int64) string {
	step := c.Now().UnixNano()/int64(c.NonceLifetime) - stepsAgo
	mac := hmac.New(sha256.New, []byte(c.Secret))
	fmt.Fprintf(mac, "nonce %s %d", role, step)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

func (c *Checker) isNonce(role, nonce string) bool {
	return secret.Equal(nonce, c.nonceOf(role, 0)) || secret.Equal(nonce, c.nonceOf(role, 1))
}

// Tell adds what a client with DPoP reads in answers, good and bad: the nonce
// (section 8), and the server's time.
func (c *Checker) Tell(h http.Header, role string) {
	if c.NonceLifetime > 0 {
		h.Set("DPoP-Nonce", c.nonce(role))
	}
	h.Set("Date", c.Now().UTC().Format(http.TimeFormat))
}

// Presented reports whether r carries an access token by the scheme DPoP.
func Presented(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "DPoP")
}
