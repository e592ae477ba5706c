package oauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// boundServer binds access tokens to one of the certificates, and returns a client
// that presents the first.
func boundServer(t *testing.T, certs ...certificate) (*oauthtest.Server, *oauth.Client) {
	t.Helper()
	client := oauthtest.RegisteredClient{CertificateBound: true}
	for _, cert := range certs {
		client.Certificates = append(client.Certificates, cert.Certificate)
	}
	s := certServer(t, client)
	cfg := s.OAuthConfig()
	cfg.ClientAuth = oauth.SelfSignedTLSClientAuth(certs[0].pair())
	return s, oauth.NewClient(cfg)
}

// presented asks the protected resource with the token, and returns the status.
func presented(t *testing.T, s *oauthtest.Server, by http.RoundTripper, pair *oauth.TokenPair) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Resource(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", pair.Type()+" "+pair.AccessToken)
	resp, err := by.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestBoundTokenIsGoodWithItsCertificateOnly(t *testing.T) {
	own, other := newCertificate(t, "own"), newCertificate(t, "other")
	s, c := boundServer(t, own, other)
	pair, err := c.ClientCredentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := presented(t, s, c.ResourceTransport(), pair); got != http.StatusOK {
		t.Errorf("with its certificate: HTTP %d; want 200", got)
	}
	cfg := c.Config()
	cfg.ClientAuth = oauth.SelfSignedTLSClientAuth(other.pair())
	renewed := oauth.NewClient(cfg)
	if got := presented(t, s, renewed.ResourceTransport(), pair); got != http.StatusUnauthorized {
		t.Errorf("with another: HTTP %d; want 401", got)
	}
	if pair.CertificateThumbprint() != c.CertificateThumbprint() || renewed.CertificateThumbprint() == c.CertificateThumbprint() || c.CertificateThumbprint() == "" {
		t.Errorf("token %q, clients %q and %q", pair.CertificateThumbprint(), c.CertificateThumbprint(), renewed.CertificateThumbprint())
	}
	wantNoMistakes(t, s)
	if got := presented(t, s, s.OAuthConfig().HTTPClient.Transport, pair); got != http.StatusUnauthorized {
		t.Errorf("with none: HTTP %d; want 401", got)
	}
	if mistakes := s.Audit(); len(mistakes) != 1 || mistakes[0].Kind != oauthtest.PresentedBare {
		t.Errorf("the server saw %v; want a token presented bare", mistakes)
	}
	plain := s.OAuthConfig()
	plain.ClientAuth, plain.HTTPClient = oauth.SelfSignedTLSClientAuth(nil), nil
	if rt := oauth.NewClient(plain).ResourceTransport(); rt != nil || oauth.NewClient(plain).CertificateThumbprint() != "" {
		t.Errorf("without a certificate: %v; want nil", rt)
	}
}

func TestRefreshersPresentTheirClientsCertificate(t *testing.T) {
	_, c := boundServer(t, newCertificate(t))
	type presenter interface {
		ResourceTransport() http.RoundTripper
		CertificateThumbprint() string
	}
	for name, r := range map[string]presenter{
		"client credentials": c.ClientCredentialsRefresher(), "token exchange": c.TokenExchangeRefresher(nil),
	} {
		if r.ResourceTransport() != c.ResourceTransport() || r.CertificateThumbprint() != c.CertificateThumbprint() {
			t.Errorf("%s: not the client's", name)
		}
	}
}

func ExampleClient_ResourceTransport() {
	registered, private := exampleCertificate()
	server := oauthtest.NewTLSServer(oauthtest.Config{Clients: []oauthtest.RegisteredClient{
		{ID: "my-service", Certificates: []*x509.Certificate{registered}, CertificateBound: true},
	}})
	defer server.Close()
	cfg := server.OAuthConfig()
	cfg.ClientID, cfg.ClientAuth = "my-service", oauth.SelfSignedTLSClientAuth(private)
	client := oauth.NewClient(cfg)
	tokens, err := client.ClientCredentials(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}

	for _, transport := range []http.RoundTripper{client.ResourceTransport(), cfg.HTTPClient.Transport} {
		// A refresh.Manager's Client does all this by itself.
		request, err := http.NewRequest(http.MethodGet, server.Resource(), nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		request.Header.Set("Authorization", tokens.Type()+" "+tokens.AccessToken)
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		response.Body.Close()
		fmt.Println(response.StatusCode)
	}
	// Output:
	// 200
	// 401
}

// exampleCertificate is what would be in files.
func exampleCertificate() (*x509.Certificate, *tls.Certificate) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, certificateKey.Public(), certificateKey)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return leaf, &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: certificateKey}
}

func TestUserinfoPresentsTheCertificate(t *testing.T) {
	own := newCertificate(t)
	s, c := boundServer(t, own)
	pair, err := c.Password(t.Context(), oauthtest.DefaultUser, oauthtest.DefaultPassword)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := c.Userinfo(t.Context(), pair); err != nil || info.Subject == "" {
		t.Errorf("got %v, %v", info, err)
	}
	wantNoMistakes(t, s)
}

func TestConnectionsToAPIsAreKept(t *testing.T) {
	from := make(map[string]bool)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		from[r.RemoteAddr] = len(r.TLS.PeerCertificates) == 1
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	defer s.Close()
	c := oauth.NewClient(oauth.Config{ClientID: "id", HTTPClient: s.Client(), ClientAuth: oauth.TLSClientAuth(newCertificate(t).pair())})
	const requests = 10 // on a busy machine net/http may not keep each connection
	for range requests {
		resp, err := (&http.Client{Transport: c.ResourceTransport()}).Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	transport, ok := c.ResourceTransport().(*http.Transport)
	if !ok || transport.IdleConnTimeout <= 0 {
		t.Fatalf("%T would keep an idle connection for ever", c.ResourceTransport())
	}
	transport.CloseIdleConnections()
	s.Close()
	if len(from) == requests {
		t.Errorf("%d connections for as many requests; want one that is kept", requests)
	}
	for address, shown := range from {
		if !shown {
			t.Errorf("no certificate on %s", address)
		}
	}
}

// confirming makes a token with this cnf claim, as JSON.
func confirming(cnf string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(`{"cnf":`+cnf+`}`)) + "."
}

var aThumbprint = strings.Repeat("A", 43)

func TestCertificateIsReadFromJWTsOnly(t *testing.T) {
	for token, want := range map[string]string{
		confirming(`{"x5t#S256":"` + aThumbprint + `"}`):           aThumbprint,
		confirming(`{"jkt":"x","x5t#S256":"` + aThumbprint + `"}`): aThumbprint,
		confirming(`{"x5t#S256":"` + aThumbprint + secret + `"}`):  "",
		confirming(`{"x5t#S256":["` + aThumbprint + `"]}`):         "",
		confirming(`{"x5t#S256":""}`):                              "",
		confirming(`{"jkt":"` + aThumbprint + `"}`):                "",
		confirming(`"` + aThumbprint + `"`):                        "",
		confirming(`null`):                                         "",
		"":                                                         "",
		"opaque":                                                   "",
		"a.b.c":                                                    "",
		strings.Repeat(".", 1<<16):                                 "",
		confirming(`{"x5t#S256":"` + strings.Repeat("/", 43) + `"}`): "",
	} {
		if got := (&oauth.TokenPair{AccessToken: token}).CertificateThumbprint(); got != want {
			t.Errorf("%.60s: got %q; want %q", token, got, want)
		}
	}
}

func FuzzCertificateThumbprint(f *testing.F) {
	f.Add([]byte(`{"cnf":{"x5t#S256":"` + aThumbprint + `"}}`))
	f.Add([]byte(`{"cnf":{"x5t#S256":1}}`))
	f.Add([]byte(`{"cnf":[]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, claims []byte) {
		b64 := base64.RawURLEncoding.EncodeToString
		for _, token := range []string{b64([]byte(`{"alg":"ES256","typ":"at+jwt"}`)) + "." + b64(claims) + ".AA", string(claims)} {
			got := (&oauth.TokenPair{AccessToken: token}).CertificateThumbprint()
			if sum, err := base64.RawURLEncoding.DecodeString(got); got != "" && (err != nil || len(sum) != 32) {
				t.Errorf("%q is not a thumbprint", got)
			}
		}
	})
}

func TestTokenRequestsOfBoundClientsNeedACertificate(t *testing.T) {
	key := testKeys()["ES256"]
	s := certServer(t, oauthtest.RegisteredClient{Secret: "s", CertificateBound: true})
	cfg := s.OAuthConfig()
	cfg.ClientSecret = "s"
	if _, err := oauth.NewClient(cfg).ClientCredentials(t.Context()); failure(t, err).Code != "invalid_request" {
		t.Errorf("got %v; want invalid_request", err)
	}
	// Any will do: the client authenticates by its secret, and the certificate only
	// binds.
	cfg.ClientAuth = oauth.SecretBasic("s").Presenting(certificate{newCertificate(t).Certificate, key}.pair())
	c := oauth.NewClient(cfg)
	pair, err := c.ClientCredentials(t.Context())
	if err != nil || pair.CertificateThumbprint() != c.CertificateThumbprint() {
		t.Fatalf("got %v, %v", pair, err)
	}
	info, err := c.Introspect(t.Context(), pair.AccessToken)
	if err != nil || !strings.Contains(string(info.Claims["cnf"]), c.CertificateThumbprint()) || info.TokenType != "Bearer" {
		t.Errorf("introspected %s, %v; want a Bearer token with its certificate", info.Claims["cnf"], err)
	}
}
