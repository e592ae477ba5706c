package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// keepAs is keep with an edited configuration of the client.
func (s *authServer) keepAs(t *testing.T, store tokenstore.Store, pair *oauth.TokenPair, edit func(*oauth.Config)) *keeper {
	t.Helper()
	return s.keep(t, store, pair, func(cfg *refresh.Config) { cfg.OAuthClient = s.renewer(t, edit) })
}

// playPushedLogin logs in as a client from which the server takes no other logins.
func playPushedLogin(t *testing.T, p product, s *authServer) string {
	pushing := func(cfg *oauth.Config) { cfg.ClientID, cfg.RequirePushedAuth = pushedClient, true }
	k := s.keepAs(t, newStore(t), s.login(t, pushing), pushing)
	k.refreshThrice(p)
	return cellOK
}

// keyAlgorithms are those that clients of the servers sign assertions with.
var keyAlgorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}

// clientKeys are the keys of these clients, and strangersKeys others like them.
var clientKeys, strangersKeys = sync.OnceValues(newKeys), sync.OnceValues(newKeys)

func newKeys() (map[string]crypto.Signer, error) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	return map[string]crypto.Signer{"RS256": r, "PS256": r, "ES256": ec, "EdDSA": ed}, err
}

// publicKeys returns what a server has to know of them.
func publicKeys(t *testing.T) map[string]jose.JSONWebKey {
	t.Helper()
	keys, err := clientKeys()
	if err != nil {
		t.Fatal(err)
	}
	public := map[string]jose.JSONWebKey{}
	for alg, key := range keys {
		public[alg] = jose.JSONWebKey{Key: key.Public(), KeyID: "of " + alg, Use: "sig", Algorithm: alg}
	}
	return public
}

func playPrivateKeyJWT(t *testing.T, p product, s *authServer) string {
	keys, err := clientKeys()
	if err != nil {
		t.Fatal(err)
	}
	others, err := strangersKeys()
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range keyAlgorithms {
		with := func(key crypto.Signer) func(*oauth.Config) {
			return func(cfg *oauth.Config) {
				cfg.ClientID = keyClient + alg
				cfg.ClientAuth = oauth.PrivateKeyJWT(oauth.AssertionKey{Signer: key, Algorithm: alg, KeyID: "of " + alg})
			}
		}
		k := s.keepAs(t, newStore(t), s.login(t, with(keys[alg])), with(keys[alg]))
		k.refreshThrice(p)
		_, err := s.renewer(t, with(others[alg])).Refresh(t.Context(), k.GetTokens())
		if !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%s with a stranger's key: error %v, want one that matches ErrMisconfigured", alg, err)
		}
		k.refresh()
		k.well()
	}
	return strings.Join(keyAlgorithms, " ")
}

func withDPoP(cfg *oauth.Config) { cfg.DPoP = true }

// playDPoP refreshes a session whose tokens are bound to a key, and goes on with
// it from the store. The API is called by the Transport, whose proofs name the
// access token.
func playDPoP(t *testing.T, p product, s *authServer) string {
	dir, pair := t.TempDir(), s.login(t, withDPoP)
	k := s.keepAs(t, openStore(t, dir), pair, withDPoP)
	k.refreshThrice(p)
	k.Stop()

	k = s.keepAs(t, openStore(t, dir), nil, withDPoP)
	last := k.refresh()
	k.well()
	if last.Type() != "DPoP" || last.DPoPKey.Thumbprint() != pair.DPoPKey.Thumbprint() {
		t.Errorf("the last token is of type %q and bound to %q, want DPoP and %q",
			last.Type(), last.DPoPKey.Thumbprint(), pair.DPoPKey.Thumbprint())
	}
	if s.opens(t, last.AccessToken) {
		t.Error("the API takes the token without a proof")
	}
	return cellOK
}

// playDPoPNonces is playDPoP with a server that wants nonces for everything.
func playDPoPNonces(t *testing.T, p product, s *authServer) string {
	cell := playDPoP(t, p, s)
	s.refused(t, "authorization_code: use_dpop_nonce")
	s.refused(t, "refresh_token: use_dpop_nonce") // of the second program, which knew none
	return cell
}

// playDPoPNoncesAtRefresh is playDPoP with a server that begins to want nonces when
// the session lives.
func playDPoPNoncesAtRefresh(t *testing.T, p product, s *authServer) string {
	cell := playDPoP(t, p, s)
	s.refused(t, "refresh_token: use_dpop_nonce")
	return cell
}

// refused fails the test unless the server has refused something.
func (s *authServer) refused(t *testing.T, want string) {
	t.Helper()
	if got := providerDid(t, s.origin()).Refused; !slices.Contains(got, want) {
		t.Errorf("the server refused %q, want %q among it", got, want)
	}
}

func playDPoPClockAhead(t *testing.T, _ product, s *authServer) string {
	return playSkew(t, s, time.Hour, withDPoP)
}

func playDPoPClockBehind(t *testing.T, _ product, s *authServer) string {
	return playSkew(t, s, -time.Hour, withDPoP)
}

// playDPoPAnotherKey lets somebody spend a copy of the refresh token who has
// another key, and somebody who has none. It is refused and not consumed.
func playDPoPAnotherKey(t *testing.T, p product, s *authServer) string {
	k := s.keepAs(t, newStore(t), s.login(t, withDPoP), withDPoP)
	stolen := k.refresh()
	other := stolen.Clone()
	other.DPoPKey = s.login(t, withDPoP).DPoPKey
	if _, err := s.renewer(t, withDPoP).Refresh(t.Context(), other); !errors.Is(err, oauth.ErrLoginRequired) {
		t.Errorf("another key: error %v, want one that matches ErrLoginRequired", err)
	}
	none := stolen.Clone()
	none.DPoPKey = oauth.DPoPKey{}
	if _, err := s.renewer(t, nil).Refresh(t.Context(), none); !errors.Is(err, oauth.ErrLoginRequired) {
		t.Errorf("no key: error %v, want one that matches ErrLoginRequired", err)
	}
	k.refreshThrice(p)
	return "is refused, the session lives"
}
