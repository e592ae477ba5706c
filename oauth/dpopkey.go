package oauth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
	"github.com/golang-jwt/jwt/v5"
)

// A DPoPKey is the private key that a session's tokens are bound to (RFC 9449):
// a thief who has the tokens without it cannot use them. A login with Config.DPoP
// makes one, for ES256, and it stays with the session's [TokenPair]. The zero
// value stands for the absence of a key.
//
// It prints redacted under every fmt verb and in slog. Its JSON form is the
// private JWK (RFC 7517), since that is how it is stored. Copies are the same key;
// it cannot be changed, and is safe for concurrent use.
type DPoPKey struct{ k *dpopKey }

type dpopKey struct {
	private *ecdsa.PrivateKey
	public  jwk
}

// A jwk is a key in the form of RFC 7518 section 6.2. Coordinates and d are as
// long as the curve's field, zeros in front included.
type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
	D   string `json:"d,omitempty"`
}

func newDPoPKey() DPoPKey {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("oauth: cannot make a key: " + err.Error()) // never happens: crypto/rand does not fail
	}
	key, err := dpopKeyOf(private)
	if err != nil {
		panic("oauth: cannot use a new key: " + err.Error()) // never happens with a good key
	}
	return key
}

func dpopKeyOf(private *ecdsa.PrivateKey) (DPoPKey, error) {
	point, err := private.PublicKey.Bytes() // 4, then x and y, 32 bytes each
	if err != nil {
		return DPoPKey{}, err
	}
	b64 := base64.RawURLEncoding
	return DPoPKey{&dpopKey{private, jwk{
		Kty: "EC", Crv: "P-256", X: b64.EncodeToString(point[1:33]), Y: b64.EncodeToString(point[33:]),
	}}}, nil
}

// IsZero reports whether key is the zero value, which holds no private key.
func (key DPoPKey) IsZero() bool { return key.k == nil }

// Thumbprint is the SHA-256 thumbprint of the public key (RFC 7638) in base64url:
// the jkt that servers bind tokens to. It is not secret, and empty without a key.
func (key DPoPKey) Thumbprint() string {
	if key.IsZero() {
		return ""
	}
	return key.k.public.thumbprint()
}

// thumbprint hashes the required members in the order of RFC 7638 section 3.2.
func (j jwk) thumbprint() string {
	sum := sha256.Sum256([]byte(`{"crv":"` + j.Crv + `","kty":"` + j.Kty + `","x":"` + j.X + `","y":"` + j.Y + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Proof returns the DPoP header of one request (RFC 9449 section 4.2): method and
// target are the request's, of which query and fragment are left out; at is the
// time of the request by the server's clock; nonce is the newest that the server
// has given, or empty. A request to an API names the accessToken that it carries;
// one to the token endpoint leaves it empty.
//
// Each proof is good for one request. Most callers want the Transport of package
// refresh, which makes them. It fails without a key. Safe for concurrent use.
func (key DPoPKey) Proof(method string, target *url.URL, accessToken, nonce string, at time.Time) (string, error) {
	if key.IsZero() {
		return "", errNoDPoPKey
	}
	claims := jwt.MapClaims{
		"jti": rand.Text(), "htm": method, "iat": at.Unix(),
		"htu": (&url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path, RawPath: target.RawPath}).String(),
	}
	if target.Path == "" {
		claims["htu"] = claims["htu"].(string) + "/" // as it travels (RFC 9110 section 4.2.3)
	}
	if accessToken != "" {
		sum := sha256.Sum256([]byte(accessToken))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	proof := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	proof.Header["typ"], proof.Header["jwk"] = "dpop+jwt", key.k.public
	return proof.SignedString(key.k.private)
}

var (
	errNoDPoPKey  = errors.New("there is no DPoP key")
	errBadDPoPKey = errors.New("oauth: stored DPoP key is not a private P-256 JWK")
)

// MarshalJSON writes the private JWK, or null without a key.
func (key DPoPKey) MarshalJSON() ([]byte, error) {
	if key.IsZero() {
		return []byte("null"), nil
	}
	d, err := key.k.private.Bytes()
	if err != nil {
		return nil, err
	}
	full := key.k.public
	full.D = base64.RawURLEncoding.EncodeToString(d)
	return json.Marshal(full)
}

// UnmarshalJSON reads what MarshalJSON wrote. Its error names no content.
func (key *DPoPKey) UnmarshalJSON(data []byte) error {
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		*key = DPoPKey{}
		return nil
	}
	var stored jwk
	if json.Unmarshal(data, &stored) != nil {
		return errBadDPoPKey
	}
	d, err := base64.RawURLEncoding.DecodeString(stored.D)
	if err != nil {
		return errBadDPoPKey
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		return errBadDPoPKey
	}
	read, err := dpopKeyOf(private)
	if stored.D = ""; err != nil || read.k.public != stored {
		return errBadDPoPKey
	}
	*key = read
	return nil
}

// String tells whether there is a key.
func (key DPoPKey) String() string {
	secret := ""
	if !key.IsZero() {
		secret = "key"
	}
	return fmt.Sprintf("oauth.DPoPKey{%s}", wire.Presence(secret))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (key DPoPKey) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, key.String()) }

// LogValue implements slog.LogValuer.
func (key DPoPKey) LogValue() slog.Value { return slog.StringValue(key.String()) }
