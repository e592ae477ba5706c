package oauth

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/internal/member"
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

// ResourceTransport returns what to send requests to APIs by, with tokens that are
// bound to the client certificate: it presents the certificate to servers that ask
// for one (RFC 8705 section 3). It is Config.HTTPClient's transport otherwise, and
// keeps connections.
//
// It returns nil without a certificate in Config.ClientAuth; where HTTPClient presents one, its own
// transport will do for APIs, too. A refresh.Transport without a base uses it by
// itself. It is the same one each time, and safe for concurrent use.
func (c *Client) ResourceTransport() http.RoundTripper {
	if c.resource == nil {
		return nil // and not an interface that holds nil
	}
	return c.resource
}

// CertificateThumbprint returns the SHA-256 thumbprint of the client certificate,
// as a token that is bound to it names it (x5t#S256, RFC 8705 section 3.1). It is
// empty without one. See [TokenPair.CertificateThumbprint].
func (c *Client) CertificateThumbprint() string {
	cert := c.auth.cert
	if cert == nil || len(cert.Certificate) == 0 {
		return ""
	}
	sum := sha256.Sum256(cert.Certificate[0])
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// CertificateThumbprint returns which certificate the access token says that it is
// bound to (cnf, RFC 8705 section 3.1), if it is a JWT that says so; otherwise it is
// empty. Nothing of the token is verified, and clients are not to rely on reading it
// (RFC 9068 section 6): use it to find out why an API rejects the token, and for
// nothing else.
func (t *TokenPair) CertificateThumbprint() string {
	// Not by golang-jwt, which reads no token whose algorithm it does not know.
	_, claims := member.JWT(t.AccessToken)
	thumbprint := member.Object(claims["cnf"]).Text("x5t#S256")
	if sum, err := base64.RawURLEncoding.DecodeString(thumbprint); err != nil || len(sum) != sha256.Size {
		return ""
	}
	return thumbprint
}
