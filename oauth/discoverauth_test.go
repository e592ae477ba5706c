package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
)

func TestKeyOrCertificateIsFittedToWhatTheServerLists(t *testing.T) {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	cert := new(tls.Certificate)
	for _, tt := range []struct {
		name          string
		cfg           Config
		methods, algs string
		auth          ClientAuth // as it is afterwards, with defaults
		alg           string
		words         string // of the error; "" for none
	}{
		{name: "key", cfg: Config{ClientKey: rsaKey}, methods: `["private_key_jwt"]`, algs: `["RS256","ES256"]`, auth: AuthPrivateKeyJWT, alg: "RS256"},
		{name: "PS256 alone", cfg: Config{ClientKey: rsaKey}, methods: `["private_key_jwt"]`, algs: `["PS256","ES256"]`, auth: AuthPrivateKeyJWT, alg: "PS256"},
		{name: "nothing listed", cfg: Config{ClientKey: rsaKey}, auth: AuthPrivateKeyJWT, alg: "RS256"},
		{name: "no algorithms listed", cfg: Config{ClientKey: ecKey}, methods: `["private_key_jwt"]`, auth: AuthPrivateKeyJWT, alg: "ES256"},
		{name: "empty lists", cfg: Config{ClientKey: ecKey}, methods: `[]`, algs: `[]`, auth: AuthPrivateKeyJWT, alg: "ES256"},
		{name: "configured", cfg: Config{ClientKey: rsaKey, ClientKeyAlg: "PS512"}, algs: `["RS256","PS512"]`, auth: AuthPrivateKeyJWT, alg: "PS512"},
		{name: "not offered", cfg: Config{ClientKey: ecKey}, methods: `["client_secret_basic","<b>","none"]`, words: "private_key_jwt; it lists client_secret_basic, none"},
		{name: "wrong algorithms", cfg: Config{ClientKey: ecKey}, algs: `["RS256"]`, words: "signed with ES256; it lists RS256"},
		{name: "configured one not listed", cfg: Config{ClientKey: rsaKey, ClientKeyAlg: "PS256"}, algs: `["RS256"]`, words: "signed with PS256; it lists RS256"},
		{name: "certificate", cfg: Config{ClientCertificate: cert}, methods: `["tls_client_auth","self_signed_tls_client_auth"]`, auth: AuthMTLS},
		{name: "certificate, self-signed listed", cfg: Config{ClientCertificate: cert}, methods: `["none","self_signed_tls_client_auth"]`, auth: AuthSelfSignedMTLS},
		{name: "certificate, nothing listed", cfg: Config{ClientCertificate: cert}, auth: AuthMTLS},
		{name: "certificate not offered", cfg: Config{ClientCertificate: cert}, methods: `["client_secret_post"]`, words: "tls_client_auth; it lists client_secret_post"},
		{name: "the other kind", cfg: Config{ClientAuth: AuthSelfSignedMTLS, ClientCertificate: cert}, methods: `["tls_client_auth"]`, words: "self_signed_tls_client_auth"},
		{name: "key beside certificate", cfg: Config{ClientKey: ecKey, ClientCertificate: cert}, methods: `["private_key_jwt"]`, auth: AuthPrivateKeyJWT, alg: "ES256"},
		{name: "secrets are not judged", cfg: Config{ClientAuth: AuthPost, ClientSecret: "s", ClientKey: ecKey}, methods: `["client_secret_basic"]`, algs: `["RS256"]`, auth: AuthPost, alg: "ES256"},
		{name: "nor are public clients", methods: `["client_secret_basic"]`, auth: AuthNone},
	} {
		m := metadata{"token_endpoint_auth_methods_supported": []byte(tt.methods), "token_endpoint_auth_signing_alg_values_supported": []byte(tt.algs)}
		err := m.fitClientAuth(&tt.cfg)
		if tt.words != "" {
			if err == nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%s: got %v; want an error with %q", tt.name, err, tt.words)
			}
			continue
		}
		if got := tt.cfg.withDefaults(); err != nil || got.ClientAuth != tt.auth || got.ClientKeyAlg != tt.alg {
			t.Errorf("%s: got %s with %q, %v; want %s with %q", tt.name, got.ClientAuth, got.ClientKeyAlg, err, tt.auth, tt.alg)
		}
	}
}

func TestAliasesAreForClientsWithACertificate(t *testing.T) {
	m := metadata{
		"token_endpoint": []byte(`"https://a.test/token"`), "authorization_endpoint": []byte(`"https://a.test/auth"`), "revocation_endpoint": []byte(`"https://a.test/revoke"`),
		"issuer": []byte(`"https://a.test"`),
		"mtls_endpoint_aliases": []byte(`{"token_endpoint":"https://m.test/token","authorization_endpoint":"https://m.test/auth",
			"revocation_endpoint":7,"pushed_authorization_request_endpoint":"https://m.test/par","issuer":"https://m.test"}`),
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"public", Config{}, "https://a.test/token"},
		{"secret", Config{ClientAuth: AuthBasic}, "https://a.test/token"},
		{"mutual TLS", Config{ClientAuth: AuthMTLS}, "https://m.test/token"},
		{"self-signed", Config{ClientAuth: AuthSelfSignedMTLS}, "https://m.test/token"},
		{"a certificate for bound tokens", Config{ClientAuth: AuthPrivateKeyJWT, ClientCertificate: new(tls.Certificate)}, "https://m.test/token"},
	} {
		got := m.endpointsFor(&tt.cfg)
		if textField(got, "token_endpoint") != tt.want {
			t.Errorf("%s: token endpoint %s; want %s", tt.name, got["token_endpoint"], tt.want)
		}
		if textField(got, "authorization_endpoint") != "https://a.test/auth" || textField(got, "revocation_endpoint") != "https://a.test/revoke" || textField(got, "issuer") != "https://a.test" {
			t.Errorf("%s: an alias took the place of something it is not for: %s", tt.name, got)
		}
	}
	if got := m.endpointsFor(&Config{ClientAuth: AuthMTLS}); textField(got, "pushed_authorization_request_endpoint") != "https://m.test/par" {
		t.Error("an endpoint that has only an alias is not found")
	}
	if textField(m, "token_endpoint") != "https://a.test/token" {
		t.Error("the document was changed")
	}
	m["mtls_endpoint_aliases"] = []byte(`"x"`)
	if got := m.endpointsFor(&Config{ClientAuth: AuthMTLS}); textField(got, "token_endpoint") != "https://a.test/token" {
		t.Error("aliases that are no object hide the endpoints")
	}
}

func TestOnlyAlertsAboutCertificatesNameTheCertificate(t *testing.T) {
	for code, want := range map[tls.AlertError]bool{40: false, 42: true, 43: true, 44: true, 45: true, 46: true, 47: false, 48: true, 49: true, 80: false, 116: true} {
		err := fmt.Errorf("wrapped: %w", &net.OpError{Op: "remote error", Err: code})
		if got := certificateRefused(err); (got != nil) != want {
			t.Errorf("alert %d: %v; want it named: %v", code, got, want)
		}
	}
	if certificateRefused(&net.OpError{Op: "local error", Err: tls.AlertError(42)}) != nil || certificateRefused(errors.New("x")) != nil ||
		certificateRefused(nil) != nil || certificateRefused(&net.OpError{Op: "remote error"}) != nil {
		t.Error("something else names the certificate")
	}
}

func TestSignatureNumbersArePadded(t *testing.T) {
	der, err := asn1.Marshal(struct{ R, S *big.Int }{big.NewInt(1), big.NewInt(0x0203)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := joseSignature(der, 4)
	if err != nil || fmt.Sprintf("%x", got) != "0000000100000203" {
		t.Errorf("got %x, %v", got, err)
	}
	if _, err := joseSignature(der, 1); !errors.Is(err, errSignature) {
		t.Errorf("a number that does not fit: %v", err)
	}
}

func FuzzJoseSignature(f *testing.F) {
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}, 32)
	f.Add([]byte{0x30, 6, 2, 1, 0xff, 2, 1, 1}, 32)
	f.Add([]byte{0x30, 7, 2, 2, 1, 0, 2, 1, 1}, 1)
	f.Add([]byte{}, 66)
	f.Fuzz(func(t *testing.T, der []byte, size int) {
		size = max(1, min(size, 66)) // that of a curve
		got, err := joseSignature(der, size)
		if (got == nil) == (err == nil) || err == nil && len(got) != 2*size {
			t.Fatalf("%d bytes and %v for size %d; want exactly one, of twice the size", len(got), err, size)
		}
		if err != nil {
			return
		}
		var want struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &want); err != nil || new(big.Int).SetBytes(got[:size]).Cmp(want.R) != 0 || new(big.Int).SetBytes(got[size:]).Cmp(want.S) != 0 {
			t.Errorf("%x became %x (%v)", der, got, err)
		}
	})
}

func FuzzClientAuthMetadata(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"token_endpoint_auth_methods_supported":["private_key_jwt"],"token_endpoint_auth_signing_alg_values_supported":["ES256"]}`, true)
	f.Add(`{"token_endpoint_auth_methods_supported":["<`+planted+`>"]}`, true)
	f.Add(`{"mtls_endpoint_aliases":{"token_endpoint":"http://evil.test/token"},"token_endpoint":"https://auth.test/token"}`, false)
	f.Add(`{"mtls_endpoint_aliases":{"authorization_endpoint":"https://evil.test/"},"token_endpoint":"https://auth.test/token"}`, false)
	f.Fuzz(func(t *testing.T, body string, byKey bool) {
		doc := metadata(answered(opDiscover, 200, body).fields())
		cfg := Config{ClientID: "id", ClientCertificate: new(tls.Certificate)}
		if byKey {
			cfg = Config{ClientID: "id", ClientKey: key}
		}
		if err := doc.fitClientAuth(&cfg); err != nil {
			if strings.ContainsAny(err.Error(), "<>\x1b\n") || len(err.Error()) > 800 {
				t.Errorf("the error repeats what the server says: %v", err)
			}
			return
		}
		if auth := cfg.withDefaults().ClientAuth; byKey != (auth == AuthPrivateKeyJWT) || byKey == auth.mutualTLS() {
			t.Errorf("the server made %s of the client", auth)
		}
		if byKey && cfg.withDefaults().checkKey() != nil {
			t.Errorf("the algorithm %q does not fit the key", cfg.ClientKeyAlg)
		}
		browser := textField(doc, "authorization_endpoint")
		if doc.fill(&cfg) != nil {
			return
		}
		if cfg.AuthURL != browser {
			t.Errorf("the browser goes to %q; want %q", cfg.AuthURL, browser)
		}
		for _, endpoint := range []string{cfg.TokenURL, cfg.RevocationURL, cfg.IntrospectionURL, cfg.DeviceAuthURL, cfg.UserinfoURL} {
			if endpoint != "" && checkEndpoint("endpoint", endpoint) != nil {
				t.Errorf("credentials would go to %q", endpoint)
			}
		}
	})
}
