package oidc

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/evertoken/evertoken/oauth"
)

// Whatever an issuer publishes, only public keys come of it, and not too many.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"},{"kty":"RSA","n":"","e":""},null,7]}`))
	f.Add([]byte(`{"keys":{}}`))
	f.Add([]byte(`{"keys":[` + rsaKey(4096) + `,` + rsaKey(32768) + `]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys := parseKeys(body)
		if len(keys) > maxKeys {
			t.Errorf("%d keys", len(keys))
		}
		for i := range keys {
			if !keys[i].IsPublic() || !keys[i].Valid() {
				t.Errorf("took over %T", keys[i].Key)
			}
		}
	})
}

// No token passes that none of the keys has signed, whatever it looks like.
func FuzzVerify(f *testing.F) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: private}, (&jose.SignerOptions{}).WithHeader("kid", "a"))
	if err != nil {
		f.Fatal(err)
	}
	signed := func(claims string) string {
		s, err := signer.Sign([]byte(claims))
		if err != nil {
			f.Fatal(err)
		}
		token, err := s.CompactSerialize()
		if err != nil {
			f.Fatal(err)
		}
		return token
	}
	genuine := signed(`{"iss":"https://as.test","sub":"1","aud":"c"}`)
	x := base64.RawURLEncoding.EncodeToString(public)
	keys := parseKeys([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"` + x + `"},` + rsaKey(2048) + `]}`))
	if len(keys) != 2 {
		f.Fatalf("%d keys", len(keys))
	}
	header, rest, _ := strings.Cut(genuine, ".")
	part := base64.RawURLEncoding.EncodeToString
	f.Add(header, rest)
	for _, forged := range []string{
		`{"alg":"none"}`, `{"alg":"HS256","kid":"a"}`, `{"alg":"RS256"}`, `{"alg":"EdDSA","kid":"a","crit":["x"],"x":1}`, `{"alg":"EdDSA","b64":false}`,
		`{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"` + x + `"}}`, `{"alg":"Ed25519"}`, `{"alg":"ES256K"}`, `{"alg":"ML-DSA-65"}`, `{}`, `null`,
	} {
		f.Add(part([]byte(forged)), rest)
	}
	server := &served{status: http.StatusNotFound, body: func(context.Context) io.ReadCloser { return http.NoBody }}
	f.Fuzz(func(t *testing.T, header, rest string) {
		v := &Verifier{sets: map[string]*keySet{"https://as.test/keys": {turn: make(chan struct{}, 1), keys: keys, fetched: time.Now(), tried: time.Now()}}}
		token := header + "." + rest
		err := v.Verify(t.Context(), oauth.IDTokenCheck{Token: token, JWKSURL: "https://as.test/keys", HTTPClient: &http.Client{Transport: server}})
		if err == nil && token != genuine {
			// Spaces and other spellings of the same signed parts do no harm: what was signed counts.
			if parsed, perr := jose.ParseSignedCompact(token, algorithms); perr != nil || string(parsed.UnsafePayloadWithoutVerification()) != `{"iss":"https://as.test","sub":"1","aud":"c"}` {
				t.Errorf("%q passes", token)
			}
		}
		if err != nil && len(token) > 20 && strings.Contains(err.Error(), token) {
			t.Errorf("the error shows the token: %v", err)
		}
	})
}
