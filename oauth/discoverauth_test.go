package oauth

import (
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
		m := member.Fields{"token_endpoint_auth_methods_supported": []byte(tt.methods), "token_endpoint_auth_signing_alg_values_supported": []byte(tt.algs)}
		err := fitClientAuth(m, &tt.cfg)
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
	m := member.Fields{
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
		got := endpointsFor(m, &tt.cfg)
		if got.Text("token_endpoint") != tt.want {
			t.Errorf("%s: token endpoint %s; want %s", tt.name, got["token_endpoint"], tt.want)
		}
		if got.Text("authorization_endpoint") != "https://a.test/auth" || got.Text("revocation_endpoint") != "https://a.test/revoke" || got.Text("issuer") != "https://a.test" {
			t.Errorf("%s: an alias took the place of something it is not for: %s", tt.name, got)
		}
	}
	if got := endpointsFor(m, &Config{ClientAuth: AuthMTLS}); got.Text("pushed_authorization_request_endpoint") != "https://m.test/par" {
		t.Error("an endpoint that has only an alias is not found")
	}
	if m.Text("token_endpoint") != "https://a.test/token" {
		t.Error("the document was changed")
	}
	m["mtls_endpoint_aliases"] = []byte(`"x"`)
	if got := endpointsFor(m, &Config{ClientAuth: AuthMTLS}); got.Text("token_endpoint") != "https://a.test/token" {
		t.Error("aliases that are no object hide the endpoints")
	}
}

func TestClientAuthIsChosenFromTheList(t *testing.T) {
	for list, want := range map[string]ClientAuth{
		``:                       AuthBasic, // RFC 8414 section 2
		`["client_secret_post"]`: AuthPost,
		`["client_secret_post","client_secret_basic"]`: AuthBasic,
		`["none"]`:                         AuthBasic, // servers omit what they do
		`["private_key_jwt"]`:              AuthBasic,
		`"client_secret_post"`:             AuthBasic,
		`[7,"client_secret_post"]`:         AuthBasic,
		`["none","client_secret_post",""]`: AuthPost,
	} {
		m := member.Fields{"token_endpoint_auth_methods_supported": []byte(list)}
		if got := clientAuth(m); got != want {
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
		for _, endpoint := range []string{cfg.AuthURL, cfg.TokenURL, cfg.DeviceAuthURL, cfg.RevocationURL, cfg.IntrospectionURL, cfg.UserinfoURL, cfg.PushedAuthURL, cfg.EndSessionURL, cfg.RegistrationURL} {
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
		cfg := Config{ClientID: "id", ClientCertificate: new(tls.Certificate)}
		if byKey {
			cfg = Config{ClientID: "id", ClientKey: key}
		}
		if err := fitClientAuth(doc, &cfg); err != nil {
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
		browser := doc.Text("authorization_endpoint")
		if fill(doc, &cfg) != nil {
			return
		}
		if cfg.AuthURL != browser {
			t.Errorf("the browser goes to %q; want %q", cfg.AuthURL, browser)
		}
		for _, endpoint := range []string{cfg.TokenURL, cfg.RevocationURL, cfg.IntrospectionURL, cfg.DeviceAuthURL, cfg.UserinfoURL} {
			if endpoint != "" && wire.CheckEndpoint("endpoint", endpoint) != nil {
				t.Errorf("credentials would go to %q", endpoint)
			}
		}
	})
}
