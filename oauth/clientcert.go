package oauth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// mutualTLS reports whether the method is one of RFC 8705 section 2.
func (a ClientAuth) mutualTLS() bool { return a == AuthMTLS || a == AuthSelfSignedMTLS }

// checkCertificate returns an error unless something presents a certificate.
func (cfg Config) checkCertificate() error {
	if cfg.ClientCertificate == nil && cfg.HTTPClient == nil {
		return fmt.Errorf("Config.ClientAuth %s needs a ClientCertificate, or an HTTPClient that presents one", cfg.ClientAuth)
	}
	return nil
}

// checkMutualTLS returns an error if the client authenticates by certificate, but
// the endpoint is one without TLS.
func (cfg Config) checkMutualTLS(field, endpoint string) error {
	if !cfg.ClientAuth.mutualTLS() {
		return nil
	}
	if u, err := url.Parse(endpoint); err == nil && u.Scheme != "https" {
		return wrong(field, "Config.%s must be https: %s is a certificate of the TLS connection", field, cfg.ClientAuth)
	}
	return nil
}

var (
	errBadCertificate = errors.New("Config.ClientCertificate has no certificate or no private key")
	errOwnTransport   = errors.New("Config.HTTPClient has a transport of its own, which Config.ClientCertificate cannot be added to; let that present the certificate")
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
	// See DefaultTransport. Besides, nobody else could close idle connections of
	// this transport.
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
