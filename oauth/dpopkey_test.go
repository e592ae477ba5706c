package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Keys of which a coordinate, or d, begins with a zero byte. One that is written
// as a number loses it, and servers then refuse the key.
var zeroKeys = map[string]string{
	"x": `{"kty":"EC","crv":"P-256","x":"AARGOBHz39rn1yIakM3isusjN16UvtBB1dNm8igqMlU","y":"ER-sAeowGQgDgb_lru_3a1SwN4Ko3jJUyJLUm-yIBxs","d":"R6LOLcR-pQHIgB9bLD4fYEdzW45wFlfJcqPcsAhlw00"}`,
	"y": `{"kty":"EC","crv":"P-256","x":"XT9-QywqxpGiEAkG-7DZSLDQcl_tA38brno14CBaQto","y":"AAM25mr7qmqyuqti6XMbk9WNUhwrf2QBPB63IXHaLAE","d":"EaXMAABiNsYN9D6ylKFj2ma1OFPirBwP8xOLKt4EmNs"}`,
	"d": `{"kty":"EC","crv":"P-256","x":"DWiFhPPGQlYFl5dwPmmTWgq6nhqJjhRuHef5rJanuxU","y":"lPl49NWI7s6YbmT2ogpP5c7hlzxgRpmwQhs0sBfWves","d":"AApdz92juRoK_aDXXJdPXSKGUV3z4wYgl3aQnC_Y-eg"}`,
}

func readKey(t *testing.T, text string) (key DPoPKey) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		t.Fatal(err)
	}
	return key
}

// readProof checks a proof's signature with the key inside it, as servers do.
func readProof(t *testing.T, proof string) (header map[string]any, claims jwt.MapClaims) {
	t.Helper()
	claims = jwt.MapClaims{}
	token, err := jwt.NewParser(jwt.WithoutClaimsValidation()).ParseWithClaims(proof, claims, func(token *jwt.Token) (any, error) {
		key, _ := token.Header["jwk"].(map[string]any)
		point := []byte{4}
		for _, name := range []string{"x", "y"} {
			text, _ := key[name].(string)
			coordinate, err := base64.RawURLEncoding.Strict().DecodeString(text)
			if err != nil || len(coordinate) != 32 {
				t.Errorf("coordinate %s has %d bytes (error %v); want 32", name, len(coordinate), err)
			}
			point = append(point, coordinate...)
		}
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	})
	if err != nil {
		t.Fatalf("the proof does not verify: %v", err)
	}
	return token.Header, claims
}

func TestKeysWithLeadingZerosSurviveStoringAndVerify(t *testing.T) {
	for name, text := range zeroKeys {
		key := readKey(t, text)
		stored, err := json.Marshal(key)
		if err != nil || string(stored) != text {
			t.Errorf("%s: stored as %s (error %v); want %s", name, stored, err, text)
		}
		proof, err := key.Proof("POST", &url.URL{Scheme: "https", Host: "auth.test", Path: "/token"}, "", "", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		header, _ := readProof(t, proof)
		if _, private := header["jwk"].(map[string]any)["d"]; private {
			t.Error("the proof gives the private key away")
		}
	}
}

func TestNewKeysAreDifferentAndOfFullLength(t *testing.T) {
	seen := map[string]bool{}
	for range 600 { // of which some five have a zero in front
		key := newDPoPKey()
		if seen[key.Thumbprint()] {
			t.Fatal("two logins share a key")
		}
		seen[key.Thumbprint()] = true
		if len(key.k.public.X) != 43 || len(key.k.public.Y) != 43 {
			t.Fatalf("coordinates of %d and %d characters; want 43", len(key.k.public.X), len(key.k.public.Y))
		}
	}
}

// The example of RFC 9449 sections 4.1 and 10.
func TestThumbprintIsThatOfTheRFC(t *testing.T) {
	key := jwk{Kty: "EC", Crv: "P-256", X: "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", Y: "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}
	if got, want := key.thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"; got != want {
		t.Errorf("thumbprint %s; want %s", got, want)
	}
}

// The access token and its hash are those of RFC 9449 section 7.1.
func TestProofSaysWhatTheRFCWants(t *testing.T) {
	key, at := newDPoPKey(), time.Unix(1562262618, 999)
	target, err := url.Parse("https://user:pass@resource.example.org/a%2Fb/protectedresource?secret=q#fragment")
	if err != nil {
		t.Fatal(err)
	}
	proof, err := key.Proof("GET", target, "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", "nonce-1", at)
	if err != nil {
		t.Fatal(err)
	}
	header, claims := readProof(t, proof)
	if header["typ"] != "dpop+jwt" || header["alg"] != "ES256" {
		t.Errorf("header %v", header)
	}
	for name, want := range map[string]any{
		"htm": "GET", "htu": "https://resource.example.org/a%2Fb/protectedresource", "iat": 1562262618.0,
		"ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo", "nonce": "nonce-1",
	} {
		if claims[name] != want {
			t.Errorf("%s is %v; want %v", name, claims[name], want)
		}
	}
	again, err := key.Proof("GET", &url.URL{Scheme: "https", Host: "h.test"}, "", "", at)
	if err != nil {
		t.Fatal(err)
	}
	_, other := readProof(t, again)
	if jti, _ := claims["jti"].(string); len(jti) < 16 || other["jti"] == jti {
		t.Errorf("jti %q and then %q; want two that nobody can guess", jti, other["jti"])
	}
	_, ath := other["ath"]
	if _, nonce := other["nonce"]; ath || nonce || other["htu"] != "https://h.test/" {
		t.Errorf("a proof without token and nonce says %v", other)
	}
	if _, err := (DPoPKey{}).Proof("GET", target, "", "", at); err == nil {
		t.Error("a proof without a key was made")
	}
}

func TestKeyThatCannotBeReadIsAnErrorWithoutContent(t *testing.T) {
	x, d := zeroKeys["x"], "R6LOLcR-pQHIgB9bLD4fYEdzW45wFlfJcqPcsAhlw00"
	for _, text := range []string{
		`7`, `"` + d + `"`, `{}`, `{"d":"` + d + `"}`,
		strings.Replace(x, "P-256", "P-384", 1), strings.Replace(x, d, "R6LO", 1), strings.Replace(x, d, "%", 1),
		strings.Replace(x, d, "EaXMAABiNsYN9D6ylKFj2ma1OFPirBwP8xOLKt4EmNs", 1), // of another key
		strings.Replace(x, d, strings.Repeat("A", 43), 1),
	} {
		var key DPoPKey
		err := json.Unmarshal([]byte(text), &key)
		if err == nil || !key.IsZero() || strings.Contains(err.Error(), "R6LO") {
			t.Errorf("%s gives %v and error %v", text, key, err)
		}
		var pair TokenPair
		if err := json.Unmarshal([]byte(`{"access_token":"a","dpop_key":`+text+`}`), &pair); err == nil {
			t.Errorf("a pair with the key %s was read, and would be stored without", text)
		}
	}
}

func TestPairKeepsItsKeyThroughJSONAndRefresh(t *testing.T) {
	pair := &TokenPair{AccessToken: "a", TokenType: "DPoP", DPoPKey: readKey(t, zeroKeys["y"])}
	stored, err := json.Marshal(pair)
	if err != nil {
		t.Fatal(err)
	}
	var read TokenPair
	if err := json.Unmarshal(stored, &read); err != nil || read.DPoPKey.Thumbprint() != pair.DPoPKey.Thumbprint() {
		t.Errorf("the key is lost: %v (error %v)", read.DPoPKey, err)
	}
	if read.Extra != nil {
		t.Error("the key is among the extra fields as well")
	}
	if next := (&TokenPair{AccessToken: "b"}).Keeping(&read); next.DPoPKey != read.DPoPKey {
		t.Error("the next pair has not kept the key")
	}
	if next := pair.Keeping(&TokenPair{DPoPKey: newDPoPKey()}); next.DPoPKey != pair.DPoPKey {
		t.Error("the next pair has lost its own key")
	}
	plain, err := json.Marshal(TokenPair{AccessToken: "a"})
	if err != nil || strings.Contains(string(plain), "dpop") {
		t.Errorf("a pair without a key is stored as %s (error %v)", plain, err)
	}
	if err := json.Unmarshal([]byte(`{"access_token":"a","dpop_key":null}`), &read); err != nil || !read.DPoPKey.IsZero() {
		t.Errorf("null is %v (error %v); want no key", read.DPoPKey, err)
	}
}

func TestKeyTellsWhetherItIsThere(t *testing.T) {
	if got := fmt.Sprint(DPoPKey{}, newDPoPKey(), (DPoPKey{}).Thumbprint()); got != "oauth.DPoPKey{none} oauth.DPoPKey{[redacted]}" {
		t.Errorf("printed as %q", got)
	}
}

func FuzzDPoPKey(f *testing.F) {
	for _, text := range zeroKeys {
		f.Add(text)
	}
	f.Add(`null`)
	f.Add(`{"kty":"EC","crv":"P-256","x":"","y":"","d":""}`)
	f.Fuzz(func(t *testing.T, text string) {
		var key, again DPoPKey
		if json.Unmarshal([]byte(text), &key) != nil {
			return
		}
		stored, err := json.Marshal(key)
		if err != nil {
			t.Fatalf("what was read cannot be stored: %v", err)
		}
		if err := json.Unmarshal(stored, &again); err != nil || again.Thumbprint() != key.Thumbprint() {
			t.Fatalf("stored as another key (error %v)", err)
		}
	})
}
