package refresh_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func newCertificate(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// A boundFixture is a server that binds access tokens to one of the certificates,
// and a session there, begun with the first.
type boundFixture struct {
	server *oauthtest.Server
	certs  []*tls.Certificate
	store  tokenstore.Store
	first  *oauth.TokenPair
	log    bytes.Buffer
}

func newBoundFixture(t *testing.T) *boundFixture {
	t.Helper()
	f := &boundFixture{certs: []*tls.Certificate{newCertificate(t), newCertificate(t)}, store: new(tokenstore.Memory)}
	f.server = oauthtest.NewTLSServer(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{
		ID: oauthtest.DefaultClientID, Certificates: []*x509.Certificate{f.certs[0].Leaf, f.certs[1].Leaf}, CertificateBound: true,
	}}})
	t.Cleanup(f.server.Close)
	var err error
	if f.first, err = f.client(0).Password(t.Context(), oauthtest.DefaultUser, oauthtest.DefaultPassword); err != nil {
		t.Fatal(err)
	}
	return f
}

// client authenticates by a certificate.
func (f *boundFixture) client(cert int) *oauth.Client {
	cfg := f.server.OAuthConfig()
	cfg.ClientAuth = oauth.SelfSignedTLSClientAuth(f.certs[cert])
	return oauth.NewClient(cfg)
}

// start starts a manager that renews by client.
func (f *boundFixture) start(t *testing.T, client refresh.Refresher) *refresh.Manager {
	t.Helper()
	m := refresh.NewManager(refresh.Config{OAuthClient: client, Store: f.store, Logger: slog.New(slog.NewTextHandler(&f.log, nil))})
	if err := m.Start(t.Context(), f.first); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

func TestCertificateBoundSessionLives(t *testing.T) {
	f := newBoundFixture(t)
	m := f.start(t, f.client(0))
	for range 2 {
		if status := get(t, m.Client(), f.server.Resource()); status != http.StatusOK {
			t.Errorf("HTTP %d; want 200: the certificate is not presented", status)
		}
		if err := m.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m.Stop()

	// The client has another certificate now. Its old access token is rejected, and
	// the one in its place is bound to that.
	refreshes := f.server.Refreshes()
	m = f.start(t, f.client(1))
	if status := get(t, m.Client(), f.server.Resource()); status != http.StatusOK || f.server.Refreshes() != refreshes+1 {
		t.Errorf("after the certificate changed: HTTP %d and %d refreshes; want 200 and 1", status, f.server.Refreshes()-refreshes)
	}
	if bound := m.GetTokens().CertificateThumbprint(); bound != f.client(1).CertificateThumbprint() {
		t.Errorf("bound to %s; want the new certificate", bound)
	}
	if f.log.Len() > 0 && strings.Contains(f.log.String(), "API rejects") {
		t.Errorf("a warning in peace: %s", &f.log)
	}
	for _, mistake := range f.server.Audit() {
		t.Errorf("the server saw a mistake: %v", mistake)
	}
}

// A presenter is a client that has a certificate, according to itself.
type presenter struct {
	refresh.Refresher
	http.RoundTripper
	thumbprint string
}

func (p presenter) ResourceTransport() http.RoundTripper { return p.RoundTripper }
func (p presenter) CertificateThumbprint() string        { return p.thumbprint }

func TestRejectedBoundTokenIsExplained(t *testing.T) {
	f := newBoundFixture(t)
	trusting := f.server.OAuthConfig().HTTPClient.Transport // presents nothing
	for name, tt := range map[string]struct {
		client refresh.Refresher
		base   http.RoundTripper
		want   string
	}{
		"the base presents nothing":            {f.client(0), trusting, "base has to present"},
		"the client has another certificate":   {presenter{f.client(0), trusting, "x"}, nil, "another certificate"},
		"the client knows of none":             {presenter{f.client(0), trusting, ""}, nil, "base has to present"},
		"rejected for another reason, of ours": {presenter{f.client(0), trusting, f.client(0).CertificateThumbprint()}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f.log.Reset()
			m := f.start(t, tt.client)
			if status := get(t, &http.Client{Transport: m.Transport(tt.base)}, f.server.Resource()); status != http.StatusUnauthorized {
				t.Errorf("HTTP %d; want the 401", status)
			}
			m.Stop()
			text := f.log.String()
			if said := strings.Contains(text, "API rejects a new token"); said != (tt.want != "") || !strings.Contains(text, tt.want) {
				t.Errorf("logged %q; want a word on %q", text, tt.want)
			}
			if tokens := m.GetTokens(); strings.Contains(text, tokens.AccessToken) {
				t.Error("the log has the token")
			}
		})
	}
}

func TestCertificateIsShownOnlyWithTheToken(t *testing.T) {
	var shown int
	client := presenter{nil, roundTripFunc(func(r *http.Request) (*http.Response, error) {
		shown++
		return answering(http.StatusOK)(r)
	}), ""}
	api := httptest.NewServer(http.NotFoundHandler())
	defer api.Close()
	m := refresh.NewManager(refresh.Config{OAuthClient: client, AllowedOrigins: []string{"https://api.test"}})
	if err := m.Start(t.Context(), &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	get(t, m.Client(), "https://api.test/")
	if shown != 1 {
		t.Errorf("presented %d times with the token; want 1", shown)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, api.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Basic eDp5")
	resp, err := m.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if shown != 1 {
		t.Error("presented with a request that does not carry the token")
	}
	base := new(idler)
	client.RoundTripper = base
	refresh.NewManager(refresh.Config{OAuthClient: client}).Client().CloseIdleConnections()
	if !base.closed {
		t.Error("CloseIdleConnections was not passed on")
	}
}
