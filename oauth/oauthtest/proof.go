package oauthtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A proof is a DPoP proof whose signature is good (RFC 9449 section 4.2).
type proof struct {
	jwt.RegisteredClaims        // jti and iat
	Method               string `json:"htm"`
	Target               string `json:"htu"`
	TokenHash            string `json:"ath"`
	Nonce                string `json:"nonce"`
	thumbprint           string
}

// proofWindow is how far iat may be from the server's clock (section 11.1).
const proofWindow = time.Minute

// errBadProof is all that reading a proof tells.
var errBadProof = errors.New("the DPoP proof is malformed or not signed by its own key")

// readProof checks what of section 4.3 needs nothing but the proof.
func readProof(text string) (*proof, error) {
	var p proof
	_, err := jwt.ParseWithClaims(text, &p, func(t *jwt.Token) (any, error) {
		if t.Header["typ"] != "dpop+jwt" {
			return nil, errBadProof
		}
		key, thumbprint, err := publicKey(t.Header["jwk"])
		p.thumbprint = thumbprint
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
	x, y := text(fields, "x"), text(fields, "y")
	point := []byte{4} // uncompressed
	for _, coordinate := range []string{x, y} {
		b, err := base64.RawURLEncoding.Strict().DecodeString(coordinate)
		if err != nil || len(b) != 32 {
			return nil, "", errBadProof
		}
		point = append(point, b...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	return key, challengeOf(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`), err
}

// checkProof returns the proof that r carries, or nil and the error code and
// description that refuse it (section 4.3). role names the kind of server: the
// nonces of one are none of the other's.
func (s *Server) checkProof(r *http.Request, role string) (p *proof, code, description string) {
	const invalid = "invalid_dpop_proof"
	if len(r.Header.Values("DPoP")) != 1 {
		return nil, invalid, "there must be one DPoP header"
	}
	p, err := readProof(r.Header.Get("DPoP"))
	if err != nil {
		return nil, invalid, err.Error()
	}
	now := s.now()
	switch {
	case p.Method != r.Method:
		return nil, invalid, "htm is not the method"
	case p.Target != s.URL+r.URL.EscapedPath():
		return nil, invalid, "htu is not the address"
	case s.cfg.DPoPNonceLifetime > 0 && !s.isNonce(role, p.Nonce):
		return nil, "use_dpop_nonce", "the server wants its nonce in the proof"
	case now.Sub(p.IssuedAt.Time).Abs() > proofWindow:
		return nil, invalid, "iat is too far from the server's time"
	case !s.proofs.first(p.ID, now.Add(2*proofWindow), now):
		s.audit.note(ProofReplayed, hashOf(p.ID)[:12])
		return nil, invalid, "the proof was used before"
	}
	return p, "", ""
}

// nonce returns the nonce of a role now. It is derived from the time, in steps of
// Config.DPoPNonceLifetime, and good for this step and the next.
func (s *Server) nonce(role string) string { return s.nonceOf(role, 0) }

func (s *Server) nonceOf(role string, stepsAgo int64) string {
	step := s.now().UnixNano()/int64(s.cfg.DPoPNonceLifetime) - stepsAgo
	mac := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(mac, "nonce %s %d", role, step)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

func (s *Server) isNonce(role, nonce string) bool {
	return equal(nonce, s.nonceOf(role, 0)) || equal(nonce, s.nonceOf(role, 1))
}
