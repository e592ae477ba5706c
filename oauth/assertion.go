package oauth

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// assertionKind is the client_assertion_type of RFC 7523 section 2.2.
	assertionKind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// assertionLife is how long an assertion is good. It is made right before it
	// is sent, and servers refuse long lives: some allow no more than a minute.
	assertionLife = time.Minute
	// defaultAssertionType is what every server takes.
	defaultAssertionType = "JWT"
)

var (
	errNotSigned = errors.New("the client key did not sign")
	errSignature = errors.New("the client key made a malformed signature")
)

// An AssertionKey is what a client proves itself with by [PrivateKeyJWT]. It prints without
// its key.
type AssertionKey struct {
	// Signer signs the assertions: RSA, ECDSA on P-256, P-384 or P-521, or Ed25519.
	// Required. Sign is called for every request, by several goroutines at once; it may
	// ask a device or service, and must return by itself. An error of its own is
	// ErrTransient.
	Signer crypto.Signer
	// KeyID is the kid that the server knows the key by. Optional where one key is
	// registered.
	KeyID string
	// Algorithm is the JWS algorithm. Empty means EdDSA for Ed25519, ES256, ES384 or
	// ES512 by curve, and for RSA RS256, or PS256 if Discover finds that the server
	// lists only that.
	Algorithm string
	// Audience is the aud of assertions. Empty means Config.Issuer, or Config.TokenURL
	// if there is none. The successor of RFC 7523 allows nothing but the issuer, since
	// an endpoint's address can be another server's doing; servers from before it may
	// want their token endpoint, whatever endpoint is asked.
	Audience string
	// Type is the typ of assertions. Empty means JWT, which all but the newest servers
	// take; those may want client-authentication+jwt.
	Type string
}

// String names the algorithm, and tells whether there is a key.
func (k AssertionKey) String() string {
	key := "none"
	if k.Signer != nil {
		key = "[redacted]"
	}
	return fmt.Sprintf("oauth.AssertionKey{%q key:%s}", k.Algorithm, key)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (k AssertionKey) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, k.String()) }

// LogValue implements slog.LogValuer.
func (k AssertionKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// algorithms returns the JWS algorithms (RFC 7518, RFC 8037) that the key can sign
// with, the most widely accepted first; none for keys of another kind.
func (k AssertionKey) algorithms() []string {
	switch key := k.Signer.Public().(type) {
	case *rsa.PublicKey:
		return []string{"RS256", "PS256", "RS384", "PS384", "RS512", "PS512"}
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return []string{"ES256"}
		case elliptic.P384():
			return []string{"ES384"}
		case elliptic.P521():
			return []string{"ES512"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}

// withDefaults returns k with its algorithm and type.
func (k AssertionKey) withDefaults() AssertionKey {
	if k.Algorithm == "" && k.Signer != nil {
		if algs := k.algorithms(); len(algs) > 0 {
			k.Algorithm = algs[0]
		}
	}
	k.Type = cmp.Or(k.Type, defaultAssertionType)
	return k
}

// check returns what is wrong with the key, or nil.
func (k AssertionKey) check() error {
	if k.Signer == nil {
		return wire.Wrong("ClientAuth", "private_key_jwt needs a key")
	}
	k = k.withDefaults()
	algs := k.algorithms()
	switch {
	case len(algs) == 0:
		return wire.Wrong("ClientAuth", "has a key of a kind that cannot sign assertions (%T); use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519", k.Signer.Public())
	case !slices.Contains(algs, k.Algorithm):
		return wire.Wrong("ClientAuth", "has the algorithm %q, which does not fit the key; that can sign with %s", k.Algorithm, algs)
	}
	return nil
}

// seen lists what a server can see of the key. It is empty without one.
func (k AssertionKey) seen() []string {
	if k.Signer == nil {
		return nil
	}
	k = k.withDefaults()
	// A key that cannot be marshalled cannot authenticate either: see check.
	public, _ := x509.MarshalPKIXPublicKey(k.Signer.Public())
	return []string{"key", string(public), k.KeyID, k.Algorithm, k.Audience, k.Type}
}

// addAssertion authenticates the form of clientID by a new assertion for audience
// (RFC 7523 sections 2.2 and 3), unless the key names another: servers take each jti
// once, so no attempt may reuse another's. now is by the server's clock, as far as it is
// known: one that runs ahead would make every assertion "issued in the future", or
// expired if it runs behind.
func (k AssertionKey) addAssertion(form url.Values, clientID, audience string, now time.Time) error {
	assertion, err := k.assertion(jwt.MapClaims{"iss": clientID, "sub": clientID}, audience, now)
	if err != nil {
		return err
	}
	form.Set("client_id", clientID)
	form.Set("client_assertion_type", assertionKind)
	form.Set("client_assertion", assertion)
	return nil
}

// assertion signs claims, to which it adds those that make a new assertion for audience,
// unless they are there.
func (k AssertionKey) assertion(claims jwt.MapClaims, audience string, now time.Time) (string, error) {
	k = k.withDefaults()
	all := jwt.MapClaims{
		"aud": cmp.Or(k.Audience, audience), // a string: OpenID Connect Core section 9 wants no array
		"jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	}
	maps.Copy(all, claims)
	token := jwt.NewWithClaims(jwt.GetSigningMethod(k.Algorithm), all)
	token.Header["typ"] = k.Type
	if k.KeyID != "" {
		token.Header["kid"] = k.KeyID
	}
	text, err := token.SigningString()
	if err != nil {
		return "", err
	}
	signature, err := sign(k.Signer, token.Method, text)
	if err != nil {
		return "", err
	}
	return text + "." + token.EncodeSegment(signature), nil
}

// sign makes the signature of a JWS with any crypto.Signer, so that the key can
// stay in hardware or with a service, which golang-jwt does not do.
func sign(key crypto.Signer, method jwt.SigningMethod, text string) ([]byte, error) {
	message, opts := []byte(text), crypto.SignerOpts(crypto.Hash(0)) // Ed25519 signs the message itself
	switch method := method.(type) {
	case *jwt.SigningMethodRSA:
		opts = method.Hash
	case *jwt.SigningMethodRSAPSS:
		// RFC 7518 section 3.5: the salt is as long as the hash.
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: method.Hash}
	case *jwt.SigningMethodECDSA:
		opts = method.Hash
	}
	if hash := opts.HashFunc(); hash != 0 {
		h := hash.New()
		h.Write(message)
		message = h.Sum(nil)
	}
	signature, err := key.Sign(rand.Reader, message, opts)
	if err != nil {
		// A key that did not sign may do so later: key services have outages like any
		// other. Of the cause only the type is told: its text may say anything.
		return nil, &wire.Unbuilt{Kind: ErrTransient, Err: fmt.Errorf("%w (%T)", errNotSigned, wire.Innermost(err))}
	}
	if ec, ok := method.(*jwt.SigningMethodECDSA); ok {
		return joseSignature(signature, ec.KeySize)
	}
	return signature, nil
}

// joseSignature turns an ECDSA signature as crypto.Signer makes it, ASN.1, into
// that of a JWS: two numbers of size bytes each (RFC 7518 section 3.4).
func joseSignature(der []byte, size int) ([]byte, error) {
	var number struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &number)
	if err != nil || len(rest) > 0 {
		return nil, &wire.Unbuilt{Kind: ErrMisconfigured, Err: errSignature}
	}
	for _, n := range []*big.Int{number.R, number.S} {
		if n.Sign() <= 0 || n.BitLen() > 8*size {
			return nil, &wire.Unbuilt{Kind: ErrMisconfigured, Err: errSignature}
		}
	}
	signature := make([]byte, 2*size)
	number.R.FillBytes(signature[:size])
	number.S.FillBytes(signature[size:])
	return signature, nil
}
