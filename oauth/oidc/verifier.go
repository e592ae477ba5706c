package oidc

import (
	"context"
	"errors"
	"sync"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/evertoken/evertoken/oauth"
)

// ErrSignature means that an ID token is not signed by a key of its issuer.
var ErrSignature = errors.New("oidc: the signature is not one of the issuer's keys")

// errNoKeys means that the program has not said where the keys are.
var errNoKeys = errors.New("oidc: Config.Endpoints.JWKS is empty")

// algorithms are those with a public key. None is left out for being asymmetric:
// with "none" and HMAC, a holder of the token or of the client secret could sign.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// A Verifier checks ID tokens by the keys that their issuer publishes (RFC 7517).
// The zero value is ready for use, by any number of clients; it must not be
// copied. It is safe for concurrent use.
//
// Keys are fetched when the first token needs them, and kept for a day. A token
// that names an unknown key has them fetched anew, since issuers change keys, but
// not within a minute of the time before, whatever came of it.
type Verifier struct {
	mu   sync.Mutex // guards sets; never held across I/O
	sets map[string]*keySet
}

// Verify is for oauth.Config.VerifyIDToken. It checks the signature alone, by
// RSA (PKCS #1 v1.5 and PSS), ECDSA or Ed25519; tokens signed with the client
// secret (HS256) are refused.
//
// A token that no key of the issuer has signed is an error that matches
// [ErrSignature]. If the keys cannot be had, it is an *oauth.Error that matches
// oauth.ErrTransient; with keys at hand that are merely old, they are used. At most
// one request is sent.
func (v *Verifier) Verify(ctx context.Context, check oauth.IDTokenCheck) error {
	if check.JWKSURL == "" {
		return errNoKeys
	}
	token, err := jose.ParseSignedCompact(check.Token, algorithms)
	if err != nil {
		return ErrSignature // the text of err can quote the token
	}
	set := v.set(check.JWKSURL)
	keys, err := set.known(ctx, check)
	if err != nil {
		return err
	}
	if signedBy(token, keys) {
		return nil
	}
	if knows(token, keys) {
		return ErrSignature // new keys would not change that
	}
	if keys, err = set.newer(ctx, check); err != nil {
		return err
	}
	if !signedBy(token, keys) {
		return ErrSignature
	}
	return nil
}

func (v *Verifier) set(url string) *keySet {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sets == nil {
		v.sets = make(map[string]*keySet)
	}
	if v.sets[url] == nil {
		v.sets[url] = &keySet{turn: make(chan struct{}, 1)}
	}
	return v.sets[url]
}

// knows reports whether one of the keys is the one that the token names.
func knows(token *jose.JSONWebSignature, keys []jose.JSONWebKey) bool {
	id := token.Signatures[0].Protected.KeyID
	for i := range keys {
		if id != "" && keys[i].KeyID == id {
			return true
		}
	}
	return false
}

// signedBy reports whether one of the keys has signed the token. Keys or tokens
// without a key ID are all tried: some issuers have one key and no name for it.
func signedBy(token *jose.JSONWebSignature, keys []jose.JSONWebKey) bool {
	header := token.Signatures[0].Protected
	for i := range keys {
		key := &keys[i]
		if key.KeyID != header.KeyID && key.KeyID != "" && header.KeyID != "" ||
			key.Use != "" && key.Use != "sig" ||
			key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if _, err := token.Verify(key.Key); err == nil {
			return true
		}
	}
	return false
}
