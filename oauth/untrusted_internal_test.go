package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// certified starts a TLS server with a certificate of its own making, which the
// returned transport takes for an authority's if known.
func certified(t *testing.T, known bool, change func(*x509.Certificate)) (tokenURL string, rt http.RoundTripper) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	if known {
		roots.AddCert(cert)
	}
	return s.URL + "/token", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
}

func TestUntrustedCertificateSaysWhyAndWhatToDo(t *testing.T) {
	for name, tt := range map[string]struct {
		known     bool
		change    func(*x509.Certificate)
		why, hint string
	}{
		"authority not known": {false, func(*x509.Certificate) {}, "no authority that this machine knows", "SSL_CERT_FILE"},
		"ended":               {true, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "it has ended at 20", "check this machine's clock"},
		"not yet begun":       {true, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, "it begins at 20", "check this machine's clock"},
		"another name": {true, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"stranger"} },
			`it is for another name than "127.0.0.1"`, "check the address"},
		"another use": {true, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
			"it does not pass verification", "operator"},
	} {
		tokenURL, rt := certified(t, tt.known, tt.change)
		fail := wantUnsent(t, refreshThrough(t, tokenURL, rt))
		if !errors.Is(fail, ErrUntrustedCertificate) || !strings.Contains(fail.Err.Error(), tt.why) || !strings.Contains(fail.Hint, tt.hint) {
			t.Errorf("%s: got %v; want ErrUntrustedCertificate, %q and %q", name, fail, tt.why, tt.hint)
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](fail); !ok {
			t.Errorf("%s: the error of crypto/tls is out of reach", name)
		}
	}
}

func TestTrustedCertificateIsTakenAndAMissingOneIsNoneToTrust(t *testing.T) {
	tokenURL, rt := certified(t, true, func(*x509.Certificate) {})
	if err := refreshThrough(t, tokenURL, rt); errors.Is(err, ErrUntrustedCertificate) {
		t.Errorf("a good certificate: %v", err)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	fail := wantUnsent(t, refreshThrough(t, strings.Replace(plain.URL, "http:", "https:", 1), rt))
	if errors.Is(fail, ErrUntrustedCertificate) || !strings.Contains(fail.Error(), "does not speak TLS") && !strings.Contains(fail.Error(), "plain HTTP") {
		t.Errorf("no TLS: %v", fail)
	}
}
