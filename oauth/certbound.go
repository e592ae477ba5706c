package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/golang-jwt/jwt/v5"
)

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
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(t.AccessToken, claims); err != nil {
		return ""
	}
	confirmation, _ := claims["cnf"].(map[string]any)
	thumbprint, _ := confirmation["x5t#S256"].(string)
	if sum, err := base64.RawURLEncoding.DecodeString(thumbprint); err != nil || len(sum) != sha256.Size {
		return ""
	}
	return thumbprint
}
