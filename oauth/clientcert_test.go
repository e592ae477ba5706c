package oauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A certificate is one of a client's, with its key.
type certificate struct {
	*x509.Certificate
	key crypto.Signer
}

var certificateKey = testKeys()["ES256"]

// newCertificate makes a certificate that signs itself.
func newCertificate(t *testing.T, names ...string) certificate {
	t.Helper()
	return newCertificateBy(t, nil, names...)
}

// newCertificateBy makes one that ca signs, or its own key.
func newCertificateBy(t *testing.T, ca *certificate, names ...string) certificate {
	t.Helper()
	serial := big.NewInt(time.Now().UnixNano())
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "client " + fmt.Sprint(names)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	parent, key := template, certificateKey
	if ca != nil {
		parent, key = ca.Certificate, ca.key
	} else {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(nil, template, parent, certificateKey.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate{parsed, certificateKey}
}

// pair is the certificate as Config takes it.
func (c certificate) pair() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: c.key}
}

// without is the certificate without its key.
func (c certificate) without() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{c.Raw}}
}

func noDial(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }

// certServer knows the first client by certificate.
func certServer(t *testing.T, client oauthtest.RegisteredClient, change ...func(*oauthtest.Config)) *oauthtest.Server {
	t.Helper()
	client.ID = oauthtest.DefaultClientID
	cfg := oauthtest.Config{Clients: []oauthtest.RegisteredClient{client}}
	for _, f := range change {
		f(&cfg)
	}
	s := oauthtest.NewTLSServer(cfg)
	t.Cleanup(s.Close)
	return s
}

func TestEveryRequestCarriesTheCertificate(t *testing.T) {
	ca := newCertificate(t, "authority")
	signed, own := newCertificateBy(t, &ca, "signed"), newCertificate(t, "own")
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	withCA := func(cfg *oauthtest.Config) { cfg.ClientCAs = roots }
	for _, tt := range []struct {
		auth   func(*tls.Certificate) oauth.ClientAuth
		cert   certificate
		client oauthtest.RegisteredClient
	}{
		{oauth.TLSClientAuth, signed, oauthtest.RegisteredClient{SubjectDN: signed.Subject.String()}},
		{oauth.SelfSignedTLSClientAuth, own, oauthtest.RegisteredClient{Certificates: []*x509.Certificate{own.Certificate}}},
	} {
		t.Run(tt.auth(nil).Method(), func(t *testing.T) {
			s := certServer(t, tt.client, withCA)
			cfg := s.OAuthConfig()
			cfg.ClientAuth = tt.auth(tt.cert.pair())
			everyPOST(t, s, oauth.NewClient(cfg))

			cfg.ClientAuth = tt.auth(newCertificate(t, "signed").pair()) // its subject, but not its signature
			_, err := oauth.NewClient(cfg).Refresh(t.Context(), mustLogin(t, s))
			if fail := failure(t, err); fail.Code != "invalid_client" || !strings.Contains(fail.Hint, "certificate") {
				t.Errorf("another certificate: %v; want invalid_client and a hint at the certificate", err)
			}
		})
	}
}

func TestDiscoverTakesTheEndpointsForCertificates(t *testing.T) {
	own := newCertificate(t)
	s := certServer(t, oauthtest.RegisteredClient{Certificates: []*x509.Certificate{own.Certificate}},
		func(cfg *oauthtest.Config) { cfg.MTLSAliases = true })
	plain := s.OAuthConfig()
	cfg := oauth.Config{ClientID: plain.ClientID, ClientAuth: oauth.SelfSignedTLSClientAuth(own.pair()), HTTPClient: plain.HTTPClient}
	c, err := oauth.Discover(t.Context(), s.Issuer(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	everyPOST(t, s, c)
	got := c.Config()
	for name, addresses := range map[string][2]string{
		"TokenURL": {got.TokenURL, plain.TokenURL}, "RevocationURL": {got.RevocationURL, plain.RevocationURL},
		"Introspection": {got.Endpoints.Introspection, plain.Endpoints.Introspection}, "DeviceAuthURL": {got.DeviceAuthURL, plain.DeviceAuthURL},
		"Userinfo": {got.Endpoints.Userinfo, plain.Endpoints.Userinfo},
	} {
		if addresses[0] == addresses[1] {
			t.Errorf("%s is that for clients without a certificate", name)
		}
	}
	if got.AuthURL != plain.AuthURL {
		t.Errorf("the browser is sent to %s; want %s, where no certificate is asked for", got.AuthURL, plain.AuthURL)
	}

	plain.ClientAuth = oauth.SelfSignedTLSClientAuth(own.pair())
	_, err = oauth.NewClient(plain).Refresh(t.Context(), mustLogin(t, s))
	if fail := failure(t, err); fail.Code != "invalid_client" || !strings.Contains(fail.Hint, "mtls_endpoint_aliases") {
		t.Errorf("at the other port: %v; want invalid_client and a hint at the aliases", err)
	}

	public, err := oauth.Discover(t.Context(), s.Issuer(), oauth.Config{ClientID: "other", HTTPClient: cfg.HTTPClient})
	if err != nil || public.Config().TokenURL != plain.TokenURL {
		t.Errorf("without a certificate: %v, %v; want the ordinary endpoints", public, err)
	}
}

func TestCallersClientMayPresentTheCertificate(t *testing.T) {
	own := newCertificate(t)
	s := certServer(t, oauthtest.RegisteredClient{Certificates: []*x509.Certificate{own.Certificate}})
	cfg := s.OAuthConfig()
	cfg.ClientAuth = oauth.SelfSignedTLSClientAuth(nil)
	cfg.HTTPClient.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{*own.pair()}
	everyPOST(t, s, oauth.NewClient(cfg))
}

func TestCertificateIsPresentedToAServerThatNamesOtherAuthorities(t *testing.T) {
	own, other := newCertificate(t, "own"), newCertificate(t, "other")
	got, from := make(chan int, 1), make(map[string]bool)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from[r.RemoteAddr] = true
		got <- len(r.TLS.PeerCertificates)
		_, _ = w.Write([]byte(okBody))
	}))
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, ClientCAs: x509.NewCertPool()}
	s.TLS.ClientCAs.AddCert(other.Certificate)
	s.StartTLS()
	defer s.Close()
	base := s.Client().Transport.(*http.Transport)
	cache := tls.NewLRUClientSessionCache(1)
	base.TLSClientConfig.ClientSessionCache = cache
	cfg := oauth.Config{ClientID: "id", TokenURL: s.URL, HTTPClient: s.Client(), ClientAuth: oauth.TLSClientAuth(own.pair())}
	client := oauth.NewClient(cfg)
	for range 2 {
		// A session of the caller's, without the certificate, that could be resumed.
		resp, err := s.Client().Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if n := <-got; n != 0 {
			t.Errorf("the caller's client presents %d certificates", n)
		}
		base.CloseIdleConnections()
		if _, err := client.RefreshToken(t.Context(), "r"); err != nil {
			t.Fatal(err)
		}
		if n := <-got; n != 1 {
			t.Errorf("%d certificates presented; want 1", n)
		}
	}
	s.Close()
	if len(from) != 4 {
		t.Errorf("%d connections for 4 requests; one that is kept is one that nobody closes", len(from))
	}
	if base.DisableKeepAlives || base.TLSClientConfig.GetClientCertificate != nil || base.TLSClientConfig.ClientSessionCache != cache {
		t.Error("the caller's transport was changed")
	}
}

func TestRefusedCertificateIsNamedAsTheCause(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = quietLog()
	// Under TLS 1.2 the refusal comes before the request can be sent.
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MaxVersion: tls.VersionTLS12}
	s.StartTLS()
	defer s.Close()
	cfg := oauth.Config{ClientID: "id", TokenURL: s.URL, HTTPClient: s.Client(), ClientAuth: oauth.TLSClientAuth(newCertificate(t).pair())}
	_, err := oauth.NewClient(cfg).RefreshToken(t.Context(), secret)
	fail := failure(t, err)
	if !errors.Is(err, oauth.ErrTransient) || fail.Sent || !strings.Contains(err.Error(), "client certificate") {
		t.Errorf("got %v (sent: %v); want ErrTransient that names the certificate, not sent", err, fail.Sent)
	}
}

func ExampleConfig_mutualTLS() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		fmt.Println(err)
		return
	}
	registered, err := x509.ParseCertificate(der)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := oauthtest.NewTLSServer(oauthtest.Config{
		MTLSAliases: true,
		Clients:     []oauthtest.RegisteredClient{{ID: "my-service", Certificates: []*x509.Certificate{registered}}},
	})
	defer server.Close()

	ctx := context.Background()
	client, err := oauth.Discover(ctx, server.Issuer(), oauth.Config{
		ClientID: "my-service",
		ClientAuth: oauth.SelfSignedTLSClientAuth(&tls.Certificate{
			Certificate: [][]byte{der}, PrivateKey: key, // as tls.LoadX509KeyPair returns it
		}),
		HTTPClient: server.OAuthConfig().HTTPClient, // trusts the test server
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := client.ClientCredentials(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("asked where certificates are asked for:", client.Config().TokenURL != server.Endpoint(oauthtest.TokenEndpoint))
	fmt.Println(tokens.Type(), "token for", tokens.Scope)
	// Output:
	// asked where certificates are asked for: true
	// Bearer token for api
}
