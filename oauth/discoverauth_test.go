package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

func TestKeyOrCertificateIsFittedToWhatTheServerLists(t *testing.T) {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	cert := new(tls.Certificate)
	byKey := func(key crypto.Signer, alg string) ClientAuth {
		return PrivateKeyJWT(AssertionKey{Signer: key, Algorithm: alg})
	}
	for _, tt := range []struct {
		name          string
		auth          ClientAuth
		methods, algs string
		method        string // as it is afterwards, with defaults
		alg           string
		words         string // of the error; "" for none
	}{
		{name: "key", auth: byKey(rsaKey, ""), methods: `["private_key_jwt"]`, algs: `["RS256","ES256"]`, method: authPrivateKeyJWT, alg: "RS256"},
		{name: "PS256 alone", auth: byKey(rsaKey, ""), methods: `["private_key_jwt"]`, algs: `["PS256","ES256"]`, method: authPrivateKeyJWT, alg: "PS256"},
		{name: "nothing listed", auth: byKey(rsaKey, ""), method: authPrivateKeyJWT, alg: "RS256"},
		{name: "no algorithms listed", auth: byKey(ecKey, ""), methods: `["private_key_jwt"]`, method: authPrivateKeyJWT, alg: "ES256"},
		{name: "empty lists", auth: byKey(ecKey, ""), methods: `[]`, algs: `[]`, method: authPrivateKeyJWT, alg: "ES256"},
		{name: "configured", auth: byKey(rsaKey, "PS512"), algs: `["RS256","PS512"]`, method: authPrivateKeyJWT, alg: "PS512"},
		{name: "not offered", auth: byKey(ecKey, ""), methods: `["client_secret_basic","<b>","none"]`, words: "private_key_jwt; it lists client_secret_basic, none"},
		{name: "wrong algorithms", auth: byKey(ecKey, ""), algs: `["RS256"]`, words: "signed with ES256; it lists RS256"},
		{name: "configured one not listed", auth: byKey(rsaKey, "PS256"), algs: `["RS256"]`, words: "signed with PS256; it lists RS256"},
		{name: "certificate", auth: TLSClientAuth(cert), methods: `["tls_client_auth","self_signed_tls_client_auth"]`, method: authMTLS},
		{name: "certificate, self-signed listed", auth: TLSClientAuth(cert), methods: `["none","self_signed_tls_client_auth"]`, method: authSelfSignedMTLS},
		{name: "certificate, nothing listed", auth: TLSClientAuth(cert), method: authMTLS},
		{name: "certificate not offered", auth: TLSClientAuth(cert), methods: `["client_secret_post"]`, words: "tls_client_auth; it lists client_secret_post"},
		{name: "the other kind", auth: SelfSignedTLSClientAuth(cert), methods: `["tls_client_auth"]`, words: "self_signed_tls_client_auth"},
		{name: "key beside certificate", auth: byKey(ecKey, "").Presenting(cert), methods: `["private_key_jwt"]`, method: authPrivateKeyJWT, alg: "ES256"},
		{name: "secrets are not judged", auth: SecretPost("s"), methods: `["client_secret_basic"]`, algs: `["RS256"]`, method: authPost},
		{name: "nor are public clients", methods: `["client_secret_basic"]`, method: authNone},
	} {
		m := member.Fields{"token_endpoint_auth_methods_supported": []byte(tt.methods), "token_endpoint_auth_signing_alg_values_supported": []byte(tt.algs)}
		cfg := Config{ClientAuth: tt.auth}
		err := fitClientAuth(m, &cfg)
		if tt.words != "" {
			if err == nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%s: got %v; want an error with %q", tt.name, err, tt.words)
			}
			continue
		}
		if got := cfg.auth(); err != nil || got.Method() != tt.method || got.key.withDefaults().Algorithm != tt.alg {
			t.Errorf("%s: got %s with %q, %v; want %s with %q", tt.name, got.Method(), got.key.withDefaults().Algorithm, err, tt.method, tt.alg)
		}
	}
}

func TestAliasesAreForClientsWithACertificate(t *testing.T) {
	m := member.Fields{
		"token_endpoint": []byte(`"https://a.test/token"`), "authorization_endpoint": []byte(`"https://a.test/auth"`), "revocation_endpoint": []byte(`"https://a.test/revoke"`),
		"issuer": []byte(`"https://a.test"`),
		"mtls_endpoint_aliases": []byte(`{"token_endpoint":"https://m.test/token","authorization_endpoint":"https://m.test/auth",
			"revocation_endpoint":7,"pushed_authorization_request_endpoint":"https://m.test/par","issuer":"https://m.test"}`),
	}
	for _, tt := range []struct {
		name string
		auth ClientAuth
		want string
	}{
		{"public", ClientAuth{}, "https://a.test/token"},
		{"secret", Secret("s"), "https://a.test/token"},
		{"mutual TLS", TLSClientAuth(nil), "https://m.test/token"},
		{"self-signed", SelfSignedTLSClientAuth(nil), "https://m.test/token"},
		{"a certificate for bound tokens", PrivateKeyJWT(AssertionKey{}).Presenting(new(tls.Certificate)), "https://m.test/token"},
	} {
		got := endpointsFor(m, tt.auth)
		if got.Text("token_endpoint") != tt.want {
			t.Errorf("%s: token endpoint %s; want %s", tt.name, got["token_endpoint"], tt.want)
		}
		if got.Text("authorization_endpoint") != "https://a.test/auth" || got.Text("revocation_endpoint") != "https://a.test/revoke" || got.Text("issuer") != "https://a.test" {
			t.Errorf("%s: an alias took the place of something it is not for: %s", tt.name, got)
		}
	}
	if got := endpointsFor(m, TLSClientAuth(nil)); got.Text("pushed_authorization_request_endpoint") != "https://m.test/par" {
		t.Error("an endpoint that has only an alias is not found")
	}
	if m.Text("token_endpoint") != "https://a.test/token" {
		t.Error("the document was changed")
	}
	m["mtls_endpoint_aliases"] = []byte(`"x"`)
	if got := endpointsFor(m, TLSClientAuth(nil)); got.Text("token_endpoint") != "https://a.test/token" {
		t.Error("aliases that are not an object hide the endpoints")
	}
}

func TestClientAuthIsChosenFromTheList(t *testing.T) {
	for list, want := range map[string]string{
		``:                       authBasic, // RFC 8414 section 2
		`["client_secret_post"]`: authPost,
		`["client_secret_post","client_secret_basic"]`: authBasic,
		`["none"]`:                         authBasic, // servers omit what they do
		`["private_key_jwt"]`:              authBasic,
		`"client_secret_post"`:             authBasic,
		`[7,"client_secret_post"]`:         authBasic,
		`["none","client_secret_post",""]`: authPost,
	} {
		m := member.Fields{"token_endpoint_auth_methods_supported": []byte(list)}
		if got := chosen(Secret("s"), m.List("token_endpoint_auth_methods_supported")).Method(); got != want {
			t.Errorf("%s: got %s; want %s", list, got, want)
		}
	}
}

func FuzzFill(f *testing.F) {
	f.Add(`{"issuer":"https://auth.test","token_endpoint":"https://auth.test/token"}`)
	f.Add(`{"issuer":"https://auth.test","token_endpoint":"http://evil.test/token","scopes_supported":[1]}`)
	f.Fuzz(func(t *testing.T, body string) {
		cfg := Config{ClientID: "id"}
		if fill(member.Object([]byte(body)), &cfg) != nil {
			return
		}
		for _, endpoint := range []string{cfg.AuthURL, cfg.TokenURL, cfg.DeviceAuthURL, cfg.RevocationURL, cfg.Endpoints.Introspection, cfg.Endpoints.Userinfo, cfg.Endpoints.PushedAuth, cfg.Endpoints.EndSession, cfg.Endpoints.Registration} {
			if endpoint != "" && wire.CheckEndpoint("endpoint", endpoint) != nil {
				t.Errorf("secrets would go to %q", endpoint)
			}
		}
		if cfg.TokenURL == "" {
			t.Error("metadata without a token endpoint was accepted")
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
		doc := answered(opDiscover, 200, body).Fields()
		cfg := Config{ClientID: "id", ClientAuth: TLSClientAuth(new(tls.Certificate))}
		if byKey {
			cfg = Config{ClientID: "id", ClientAuth: PrivateKeyJWT(AssertionKey{Signer: key})}
		}
		if err := fitClientAuth(doc, &cfg); err != nil {
			if strings.ContainsAny(err.Error(), "<>\x1b\n") || len(err.Error()) > 800 {
				t.Errorf("the error repeats what the server says: %v", err)
			}
			return
		}
		if auth := cfg.auth(); byKey != (auth.Method() == authPrivateKeyJWT) || byKey == auth.mutualTLS() {
			t.Errorf("the server made %s of the client", auth)
		}
		if byKey && cfg.auth().key.check() != nil {
			t.Errorf("the algorithm %q does not fit the key", cfg.auth().key.Algorithm)
		}
		browser := doc.Text("authorization_endpoint")
		if fill(doc, &cfg) != nil {
			return
		}
		if cfg.AuthURL != browser {
			t.Errorf("the browser goes to %q; want %q", cfg.AuthURL, browser)
		}
		for _, endpoint := range []string{cfg.TokenURL, cfg.RevocationURL, cfg.Endpoints.Introspection, cfg.DeviceAuthURL, cfg.Endpoints.Userinfo} {
			if endpoint != "" && wire.CheckEndpoint("endpoint", endpoint) != nil {
				t.Errorf("credentials would go to %q", endpoint)
			}
		}
	})
}
