package oauth

import (
	"crypto/tls"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

var (
	errBadCertificate = wire.Wrong("ClientAuth", "has a certificate without its bytes or without a private key")
	errOwnTransport   = wire.Wrong("HTTPClient", "has a transport of its own, which the client certificate cannot be added to; let that present the certificate")
)

// presenting returns an HTTP client like hc that presents the certificate to
// servers that ask for one. hc and its transport are left as they are.
func presenting(hc *http.Client, cert *tls.Certificate) (*http.Client, error) {
	if cert == nil {
		return hc, nil
	}
	if len(cert.Certificate) == 0 || cert.PrivateKey == nil {
		return hc, errBadCertificate
	}
	var c http.Client
	if hc != nil {
		c = *hc
	}
	t, err := certificateTransport(c.Transport, cert)
	if err != nil {
		return hc, err
	}
	// See DefaultTransport. Besides, callers cannot reach this transport to
	// close its idle connections.
	t.DisableKeepAlives = true
	wire.TellProxyErrors(t)
	c.Transport = t
	return &c, nil
}

// certificateTransport returns a copy of base, or of http.DefaultTransport, that
// presents the certificate to servers that ask for one.
func certificateTransport(base http.RoundTripper, cert *tls.Certificate) (*http.Transport, error) {
	if base == nil {
		base = http.DefaultTransport
	}
	t, ok := base.(*http.Transport)
	//lint:ignore SA1019 programs still set DialTLS, and then no configuration of ours is used
	if !ok || t.DialTLSContext != nil || t.DialTLS != nil {
		return nil, errOwnTransport
	}
	t = t.Clone()
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = new(tls.Config)
	}
	// Whatever authorities the server names: it may register certificates that
	// none of them has signed (RFC 8705 section 2.2).
	t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	// A session of the caller's resumed here would be one without the certificate.
	t.TLSClientConfig.ClientSessionCache = nil
	return t, nil
}

// maxIdle is how long an unused connection to an API is kept, where
// nothing else is configured: as long as http.DefaultTransport does.
const maxIdle = 90 * time.Second

// resourceTransport makes the transport of ResourceTransport, or returns nil.
func resourceTransport(hc *http.Client, cert *tls.Certificate) *http.Transport {
	if cert == nil {
		return nil
	}
	var base http.RoundTripper
	if hc != nil {
		base = hc.Transport
	}
	t, err := certificateTransport(base, cert)
	if err != nil {
		return nil // NewClient has found that, too
	}
	if t.IdleConnTimeout == 0 {
		t.IdleConnTimeout = maxIdle
	}
	return t
}

// certificateSeen lists what a server can see of a certificate. It is empty without one.
func certificateSeen(cert *tls.Certificate) []string {
	if cert == nil || len(cert.Certificate) == 0 {
		return nil
	}
	return []string{"certificate", string(cert.Certificate[0])}
}
