package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
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

// keyAlgs returns the JWS algorithms (RFC 7518, RFC 8037) that a key can sign
// with, the most widely accepted first; none for keys of another kind.
func keyAlgs(key crypto.PublicKey) []string {
	switch key := key.(type) {
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

// checkKey returns what is wrong with the key for private_key_jwt, or nil.
func (cfg Config) checkKey() error {
	if cfg.ClientKey == nil {
		return fmt.Errorf("Config.ClientAuth %s needs a ClientKey", cfg.ClientAuth)
	}
	key := cfg.ClientKey.Public()
	algs := keyAlgs(key)
	switch {
	case len(algs) == 0:
		return fmt.Errorf("Config.ClientKey is of a kind that cannot sign assertions (%T); use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519", key)
	case !slices.Contains(algs, cfg.ClientKeyAlg):
		return fmt.Errorf("Config.ClientKeyAlg %q does not fit the key; it can sign with %s", cfg.ClientKeyAlg, algs)
	}
	return nil
}

// addAssertion authenticates the form for endpoint by a new assertion (RFC 7523 sections 2.2
// and 3): servers take each jti once, so no attempt may reuse another's.
func (c *Client) addAssertion(endpoint string, form url.Values) error {
	// By the server's clock as far as it is known: one that runs ahead would make
	// every assertion "issued in the future", or expired if it runs behind.
	now := c.cfg.Now().Add(-c.dpop.Recall(endpoint).Skew)
	audience := c.cfg.AssertionAudience
	if audience == "" {
		audience = c.cfg.Issuer
	}
	if audience == "" {
		audience = c.cfg.TokenURL
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(c.cfg.ClientKeyAlg), jwt.MapClaims{
		"iss": c.cfg.ClientID, "sub": c.cfg.ClientID,
		"aud": audience, // a string: OpenID Connect Core section 9 wants no array
		"jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	token.Header["typ"] = c.cfg.AssertionType
	if c.cfg.ClientKeyID != "" {
		token.Header["kid"] = c.cfg.ClientKeyID
	}
	text, err := token.SigningString()
	if err != nil {
		return err
	}
	signature, err := sign(c.cfg.ClientKey, token.Method, text)
	if err != nil {
		return err
	}
	form.Set("client_id", c.cfg.ClientID)
	form.Set("client_assertion_type", assertionKind)
	form.Set("client_assertion", text+"."+token.EncodeSegment(signature))
	return nil
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
