package oidc

import "testing"

// Whatever an issuer publishes, only public keys come of it, and not too many.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"},{"kty":"RSA","n":"","e":""},null,7]}`))
	f.Add([]byte(`{"keys":{}}`))
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
