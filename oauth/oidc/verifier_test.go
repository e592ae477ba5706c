package oidc_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/oidc"
)

// newServer returns a server, and the check of a token that it has signed.
func newServer(t *testing.T) (*oauthtest.Server, oauth.IDTokenCheck) {
	t.Helper()
	s := oauthtest.New(oauthtest.Config{})
	return s, oauth.IDTokenCheck{
		Token:   s.SignIDToken(map[string]any{"sub": "alice"}),
		JWKSURL: s.Endpoint(oauthtest.JWKSEndpoint), HTTPClient: s.Client(),
	}
}

// wantAsked fails the test unless the keys were asked for so often.
func wantAsked(t *testing.T, s *oauthtest.Server, want int) {
	t.Helper()
	if n := s.Requests(oauthtest.JWKSEndpoint); n != want {
		t.Errorf("the keys were asked for %d times; want %d", n, want)
	}
}

func TestKeysAreFetchedOnceForManyTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, check := newServer(t)
		s.Script(oauthtest.Fault{Endpoint: oauthtest.JWKSEndpoint, Delay: time.Second})
		v := new(oidc.Verifier)
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				if err := v.Verify(t.Context(), check); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		wantAsked(t, s, 1)
		time.Sleep(25 * time.Hour) // a key that was withdrawn goes out of use
		if err := v.Verify(t.Context(), check); err != nil {
			t.Error(err)
		}
		wantAsked(t, s, 2)
	})
}

func TestAnUnknownKeyIsAskedForButNotInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, check := newServer(t)
		v := new(oidc.Verifier)
		if err := v.Verify(t.Context(), check); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s.RotateKeys()
		check.Token = s.SignIDToken(map[string]any{"sub": "alice"})
		if err := v.Verify(t.Context(), check); err != nil {
			t.Errorf("signed with the server's new key: %v", err)
		}
		wantAsked(t, s, 2)

		stranger, _ := newServer(t)
		check.Token = stranger.SignIDToken(map[string]any{"sub": "alice"})
		for range 31 {
			if err := v.Verify(t.Context(), check); !errors.Is(err, oidc.ErrSignature) {
				t.Errorf("signed by a stranger: %v", err)
			}
			time.Sleep(4 * time.Second)
		}
		wantAsked(t, s, 2+2) // in two minutes
	})
}

func TestTokensThatNoKeyHasSigned(t *testing.T) {
	synctest.Test(t, tokensThatNoKeyHasSigned)
}

func tokensThatNoKeyHasSigned(t *testing.T) {
	s, check := newServer(t)
	parts := strings.Split(check.Token, ".")
	none := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "alice"})
	unsigned, err := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	hmac, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice"}).SignedString([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	v := new(oidc.Verifier)
	if err := v.Verify(t.Context(), check); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Minute) // by now they would be asked for again
	for name, token := range map[string]string{
		"other claims":    parts[0] + ".eyJzdWIiOiJib2IifQ." + parts[2],
		"no signature":    parts[0] + "." + parts[1] + ".",
		"alg none":        unsigned,
		"client secret":   hmac,
		"not a token":     "x",
		"empty":           "",
		"JSON of a token": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
	} {
		check.Token = token
		if err := v.Verify(t.Context(), check); !errors.Is(err, oidc.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		} else if token != "x" && token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error shows the token", name)
		}
	}
	wantAsked(t, s, 1) // the key named was known: new ones would not help
}

// strangersKeys are good, but nobody here has signed with them.
const strangersKeys = `"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]`

func TestKeysThatCannotBeHad(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"down":       {Down: true},
		"500":        {Status: 500, Body: "{" + strangersKeys + "}"},
		"cut":        {CutBody: true},
		"a web page": {HTML: true},
		"no keys":    {Body: `{"keys":[]}`},
		"redirect":   {Redirect: "https://elsewhere.test/jwks"},
		"too large":  {Body: "{" + strangersKeys + `,"x":"` + strings.Repeat("x", 1<<20) + `"}`},
		"a secret":   {Body: `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`},
		"not theirs": {Body: `{"keys":[{"kty":"new"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},7]}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, check := newServer(t)
				check.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				fault.Endpoint, fault.Times = oauthtest.JWKSEndpoint, -1
				s.Script(fault)
				v := new(oidc.Verifier)
				for range 10 {
					if err := v.Verify(t.Context(), check); !errors.Is(err, oauth.ErrTransient) || errors.Is(err, oidc.ErrSignature) {
						t.Errorf("error %v; want one that says nothing against the token", err)
					}
				}
				if n := s.Requests(oauthtest.JWKSEndpoint); n > 1 {
					t.Errorf("asked %d times in a moment", n)
				}
				s.ClearScript()
				time.Sleep(time.Minute)
				if err := v.Verify(t.Context(), check); err != nil {
					t.Errorf("the keys are there again: %v", err)
				}
				s.Script(fault)
				time.Sleep(25 * time.Hour)
				if err := v.Verify(t.Context(), check); err != nil {
					t.Errorf("with keys that are merely old: %v", err)
				}
			})
		})
	}
}

func TestACallerThatLeavesIsNoFailureOfTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, check := newServer(t)
		s.Script(oauthtest.Fault{Endpoint: oauthtest.JWKSEndpoint, Hang: true})
		v := new(oidc.Verifier)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			time.Sleep(time.Millisecond)
			if err := v.Verify(t.Context(), check); err != nil {
				t.Errorf("who waited behind it: %v", err)
			}
		}()
		if err := v.Verify(ctx, check); !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		wantAsked(t, s, 2)
	})
}

func TestWithoutAnAddressThereAreNoKeys(t *testing.T) {
	_, check := newServer(t)
	check.JWKSURL = ""
	if err := new(oidc.Verifier).Verify(t.Context(), check); err == nil || errors.Is(err, oauth.ErrTransient) {
		t.Errorf("error %v", err)
	}
}

// keys answers every request with a JWK set.
type keys []jose.JSONWebKey

func (k keys) RoundTrip(*http.Request) (*http.Response, error) {
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: k})
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(body)))}, nil
}

func TestKindsAndNamesOfKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(method jwt.SigningMethod, key any, id string) string {
		token := jwt.NewWithClaims(method, jwt.MapClaims{"sub": "alice"})
		if id != "" {
			token.Header["kid"] = id
		}
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	public := jose.JSONWebKey{Key: &rsaKey.PublicKey}
	for name, tt := range map[string]struct {
		token string
		keys  keys
		good  bool
	}{
		"RS256":                   {sign(jwt.SigningMethodRS256, rsaKey, "a"), keys{{Key: &rsaKey.PublicKey, KeyID: "a"}}, true},
		"PS384":                   {sign(jwt.SigningMethodPS384, rsaKey, "a"), keys{{Key: &rsaKey.PublicKey, KeyID: "a"}}, true},
		"EdDSA":                   {sign(jwt.SigningMethodEdDSA, edKey, "e"), keys{{Key: edPublic, KeyID: "e"}}, true},
		"no names":                {sign(jwt.SigningMethodRS256, rsaKey, ""), keys{{Key: edPublic}, public}, true},
		"the key has no name":     {sign(jwt.SigningMethodRS256, rsaKey, "a"), keys{public}, true},
		"the token names no key":  {sign(jwt.SigningMethodRS256, rsaKey, ""), keys{{Key: &rsaKey.PublicKey, KeyID: "a"}}, true},
		"two of one name":         {sign(jwt.SigningMethodRS256, rsaKey, "a"), keys{{Key: edPublic, KeyID: "a"}, {Key: &rsaKey.PublicKey, KeyID: "a"}}, true},
		"the key of another name": {sign(jwt.SigningMethodRS256, rsaKey, "a"), keys{{Key: &rsaKey.PublicKey, KeyID: "b"}}, false},
		"for encryption":          {sign(jwt.SigningMethodRS256, rsaKey, "a"), keys{{Key: &rsaKey.PublicKey, KeyID: "a", Use: "enc"}}, false},
		"for another algorithm":   {sign(jwt.SigningMethodRS256, rsaKey, "a"), keys{{Key: &rsaKey.PublicKey, KeyID: "a", Algorithm: "PS256"}}, false},
		"the public key as HMAC's": {sign(jwt.SigningMethodHS256, rsaKey.PublicKey.N.Bytes(), "a"),
			keys{{Key: &rsaKey.PublicKey, KeyID: "a"}}, false},
	} {
		err := new(oidc.Verifier).Verify(t.Context(), oauth.IDTokenCheck{
			Token: tt.token, JWKSURL: "https://auth.test/jwks", HTTPClient: &http.Client{Transport: tt.keys},
		})
		if tt.good && err != nil || !tt.good && !errors.Is(err, oidc.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
