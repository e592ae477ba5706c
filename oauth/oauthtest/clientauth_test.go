package oauthtest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keyServer knows the first client by a key with the ID k1.
func keyServer(key *ecdsa.PrivateKey, change ...func(*oauthtest.Config)) *oauthtest.Server {
	cfg := oauthtest.Config{Clients: []oauthtest.RegisteredClient{
		{ID: oauthtest.DefaultClientID, Keys: map[string]crypto.PublicKey{"k1": &key.PublicKey}},
		{ID: "other", Keys: map[string]crypto.PublicKey{"k1": &key.PublicKey, "k2": &key.PublicKey}},
		{ID: "public"},
	}}
	for _, f := range change {
		f(&cfg)
	}
	return oauthtest.New(cfg)
}

// claimsFor are those of a good assertion. They have a jti of their own.
func claimsFor(s *oauthtest.Server) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"iss": oauthtest.DefaultClientID, "sub": oauthtest.DefaultClientID, "aud": s.Issuer(), "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
}

func signed(t *testing.T, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// presenting is a request for a client's own token with an assertion.
func presenting(assertion string) url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
}

func TestGoodAssertions(t *testing.T) {
	key := newKey(t)
	s := keyServer(key)
	for name, change := range map[string]func(url.Values){
		"alone":          func(url.Values) {},
		"with client_id": func(f url.Values) { f.Set("client_id", oauthtest.DefaultClientID) },
		"without kid": func(f url.Values) {
			f.Set("client_assertion", signed(t, jwt.SigningMethodES256, key, "", claimsFor(s)))
		},
		"audience a list": func(f url.Values) { f.Set("client_assertion", withClaim(t, s, key, "aud", []string{s.Issuer()})) },
		"clock ahead a bit": func(f url.Values) {
			f.Set("client_assertion", withClaim(t, s, key, "iat", time.Now().Add(5*time.Second).Unix()))
		},
	} {
		form := presenting(signed(t, jwt.SigningMethodES256, key, "k1", claimsFor(s)))
		change(form)
		if r := post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), form); r.status != 200 {
			t.Errorf("%s: HTTP %d %s; want 200", name, r.status, r.body)
		}
	}
	wantMistakes(t, s)
}

// withClaim is a good assertion but for one claim; nil removes it.
func withClaim(t *testing.T, s *oauthtest.Server, key *ecdsa.PrivateKey, name string, value any) string {
	t.Helper()
	claims := claimsFor(s)
	claims[name] = value
	if value == nil {
		delete(claims, name)
	}
	return signed(t, jwt.SigningMethodES256, key, "k1", claims)
}

func TestBadAssertionsAreRefused(t *testing.T) {
	key, now := newKey(t), time.Now()
	s := keyServer(key)
	good := func() string { return withClaim(t, s, key, "x", 1) }
	for name, form := range map[string]url.Values{
		"another key":           presenting(signed(t, jwt.SigningMethodES256, newKey(t), "k1", claimsFor(s))),
		"unknown kid":           presenting(signed(t, jwt.SigningMethodES256, key, "k9", claimsFor(s))),
		"signed with a secret":  presenting(signed(t, jwt.SigningMethodHS256, []byte("k1"), "k1", claimsFor(s))),
		"not signed":            presenting(signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "k1", claimsFor(s))),
		"no JWT":                presenting("x"),
		"empty":                 presenting(""),
		"another audience":      presenting(withClaim(t, s, key, "aud", "https://other.test")),
		"the token endpoint":    presenting(withClaim(t, s, key, "aud", s.Endpoint(oauthtest.TokenEndpoint))),
		"several audiences":     presenting(withClaim(t, s, key, "aud", []string{s.Issuer(), "https://other.test"})),
		"no audience":           presenting(withClaim(t, s, key, "aud", nil)),
		"expired":               presenting(withClaim(t, s, key, "exp", now.Add(-time.Minute).Unix())),
		"no end":                presenting(withClaim(t, s, key, "exp", nil)),
		"a long life":           presenting(withClaim(t, s, key, "exp", now.Add(time.Hour).Unix())),
		"issued in the future":  presenting(withClaim(t, s, key, "iat", now.Add(time.Minute).Unix())),
		"no jti":                presenting(withClaim(t, s, key, "jti", nil)),
		"another subject":       presenting(withClaim(t, s, key, "sub", "other")),
		"another issuer":        presenting(withClaim(t, s, key, "iss", "other")),
		"unknown client":        presenting(withClaim(t, s, key, "iss", "nobody")),
		"another client's form": withField(presenting(good()), "client_id", "other"),
		"another type":          withField(presenting(good()), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
		"no type":               withField(presenting(good()), "client_assertion_type", ""),
		"no assertion":          withField(presenting(good()), "client_assertion", ""),
		"name alone":            {"grant_type": {"client_credentials"}, "client_id": {oauthtest.DefaultClientID}},
	} {
		if r := post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), form); r.status != 401 || r.text(t, "error") != "invalid_client" {
			t.Errorf("%s: HTTP %d %s; want 401 invalid_client", name, r.status, r.body)
		}
	}
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), withField(presenting(good()), "client_secret", "s")).wantError(t, 400, "invalid_request")

	two := claimsFor(s) // several keys and no word on which
	two["iss"], two["sub"] = "other", "other"
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), presenting(signed(t, jwt.SigningMethodES256, key, "", two))).wantError(t, 401, "invalid_client")
	public := claimsFor(s)
	public["iss"], public["sub"] = "public", "public"
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), presenting(signed(t, jwt.SigningMethodES256, key, "k1", public))).wantError(t, 401, "invalid_client")
	wantMistakes(t, s)
}

// withField is the form with one field changed; an empty value removes it.
func withField(form url.Values, name, value string) url.Values {
	form = maps.Clone(form)
	form.Set(name, value)
	if value == "" {
		form.Del(name)
	}
	return form
}

func TestTokenEndpointAsAudience(t *testing.T) {
	key := newKey(t)
	s := keyServer(key, func(cfg *oauthtest.Config) { cfg.TokenEndpointAudience = true })
	token := s.Endpoint(oauthtest.TokenEndpoint)
	post(t.Context(), s.Client(), token, presenting(withClaim(t, s, key, "aud", token))).wantOK(t)
	post(t.Context(), s.Client(), token, presenting(withClaim(t, s, key, "aud", s.Issuer()))).wantError(t, 401, "invalid_client")
}

func TestReplayedAssertionIsAMistake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t)
		s := keyServer(key)
		form := presenting(withClaim(t, s, key, "x", 1))
		post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), form).wantOK(t)
		wantMistakes(t, s)
		time.Sleep(50 * time.Second)
		form.Set("token", "t") // at another endpoint, too
		post(t.Context(), s.Client(), s.Endpoint(oauthtest.IntrospectionEndpoint), form).wantError(t, 401, "invalid_client")
		wantMistakes(t, s, oauthtest.AssertionReplayed)
		if text := s.Audit()[0].String(); !strings.Contains(text, "client assertion") || !strings.Contains(text, "sent again") {
			t.Errorf("the mistake reads %q", text)
		}
		time.Sleep(time.Hour) // what has expired need not be remembered: it is refused for that
		post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), form).wantError(t, 401, "invalid_client")
		wantMistakes(t, s, oauthtest.AssertionReplayed)
	})
}

func TestMetadataTellsOfKeysAndCertificates(t *testing.T) {
	plain := oauthtest.New(oauthtest.Config{})
	r := get(t.Context(), plain.Client(), plain.Endpoint(oauthtest.MetadataEndpoint), "").wantOK(t)
	if methods, _ := r.field(t, "token_endpoint_auth_methods_supported").([]any); !slices.Contains(methods, any("private_key_jwt")) || slices.Contains(methods, any("tls_client_auth")) {
		t.Errorf("methods %v", methods)
	}
	if algs, _ := r.field(t, "token_endpoint_auth_signing_alg_values_supported").([]any); !slices.Contains(algs, any("ES256")) || slices.Contains(algs, any("none")) {
		t.Errorf("algorithms %v", algs)
	}
	if r.field(t, "mtls_endpoint_aliases") != nil || plain.Certificate() != nil {
		t.Error("aliases or a certificate without TLS")
	}

	s := oauthtest.NewTLSServer(oauthtest.Config{IssuerPath: "/tenant", MTLSAliases: true})
	defer s.Close()
	c := s.OAuthConfig().HTTPClient
	r = get(t.Context(), c, s.Endpoint(oauthtest.MetadataEndpoint), "").wantOK(t)
	if methods, _ := r.field(t, "token_endpoint_auth_methods_supported").([]any); !slices.Contains(methods, any("tls_client_auth")) || !slices.Contains(methods, any("self_signed_tls_client_auth")) {
		t.Errorf("methods %v", methods)
	}
	aliases, _ := r.field(t, "mtls_endpoint_aliases").(map[string]any)
	for _, name := range []string{"token_endpoint", "revocation_endpoint", "introspection_endpoint", "device_authorization_endpoint", "userinfo_endpoint"} {
		alias, _ := aliases[name].(string)
		if alias == "" || alias == r.text(t, name) || !strings.Contains(alias, "/tenant/") {
			t.Errorf("%s has the alias %q", name, alias)
		}
		if r := post(t.Context(), c, alias, url.Values{}); r.err != nil || r.status == 404 {
			t.Errorf("%s answers HTTP %d, %v", alias, r.status, r.err)
		}
	}
	if aliases["authorization_endpoint"] != nil {
		t.Error("browsers are asked for certificates")
	}
}

func TestTLSServerServesClientsWithoutACertificate(t *testing.T) {
	s := oauthtest.NewTLSServer(oauthtest.Config{})
	_, token := login(t, s)
	c := s.OAuthConfig().HTTPClient
	post(t.Context(), c, s.Endpoint(oauthtest.TokenEndpoint), form("grant_type", "refresh_token", "refresh_token", token)).wantOK(t)
	if _, err := http.Get(s.URL); err == nil {
		t.Error("a client that does not trust the certificate is served")
	}
	wantMistakes(t, s)
	s.Close()
	if r := get(t.Context(), c, s.URL, ""); r.err == nil {
		t.Error("the server answers after Close")
	}
	s.Close()
}

// certificateFor makes a certificate with its key, signed by itself.
func certificateFor(t *testing.T, name string) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf
}

func TestCertificateIsForItsOwnClientAsRegistered(t *testing.T) {
	own, ownLeaf := certificateFor(t, "own")
	forged, _ := certificateFor(t, "own")
	authority, authorityLeaf := certificateFor(t, "authority")
	cas := x509.NewCertPool()
	cas.AddCert(authorityLeaf)
	clients := []oauthtest.RegisteredClient{
		{ID: "own", Certificates: []*x509.Certificate{ownLeaf}},
		{ID: "own name", SubjectDN: "CN=own"},
		{ID: "authority", SubjectDN: "CN=authority"},
		{ID: "other name", SubjectDN: "CN=other"},
		{ID: "self-signed only", SubjectDN: "CN=authority", AuthMethod: "self_signed_tls_client_auth"},
		{ID: "secret", Secret: "s"},
	}
	for _, tt := range []struct {
		name     string
		cas      *x509.CertPool
		cert     *tls.Certificate
		accepted []string
	}{
		{"none", cas, nil, nil},
		{"the registered one", cas, &own, []string{"own"}},
		{"one of the same name", cas, &forged, nil},
		{"one of the same name without authorities", nil, &forged, nil},
		{"one by an authority", cas, &authority, []string{"authority"}},
		{"one by no authority", nil, &authority, nil},
	} {
		s := oauthtest.NewTLSServer(oauthtest.Config{Clients: clients, ClientCAs: tt.cas})
		defer s.Close()
		c := s.OAuthConfig().HTTPClient
		if tt.cert != nil {
			c.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{*tt.cert}
		}
		for _, client := range clients {
			r := post(t.Context(), c, s.Endpoint(oauthtest.TokenEndpoint), url.Values{"grant_type": {"client_credentials"}, "client_id": {client.ID}})
			want := 401
			if slices.Contains(tt.accepted, client.ID) {
				want = 200
			}
			if r.err != nil || r.status != want {
				t.Errorf("%s, client %q: HTTP %d %s (%v); want %d", tt.name, client.ID, r.status, r.body, r.err, want)
			}
		}
	}
}

func TestAnotherClientSecretEndsTheOneBefore(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{ClientSecret: "before"})
	_, token := login(t, s)
	with := func(secret string) result {
		return post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint),
			form("grant_type", "refresh_token", "refresh_token", token, "client_secret", secret))
	}
	s.SetClientSecret("nobody", "x")
	s.SetClientSecret(oauthtest.DefaultClientID, "after")
	if got := s.OAuthConfig().ClientSecret; got != "after" {
		t.Errorf("OAuthConfig has the secret %q", got)
	}
	with("before").wantError(t, 401, "invalid_client")
	with("after").wantOK(t)
}
