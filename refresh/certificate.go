package refresh

import "net/http"

// A certificate is a client certificate that access tokens may be bound to (RFC 8705
// section 3).
type certificate struct {
	transport  http.RoundTripper // presents it; nil if there is none
	thumbprint string            // x5t#S256
}

// certificateOf returns the certificate of a client that has one, as *oauth.Client
// may.
func certificateOf(client Refresher) certificate {
	c, ok := client.(interface {
		ResourceTransport() http.RoundTripper
		CertificateThumbprint() string
	})
	if !ok {
		return certificate{}
	}
	return certificate{c.ResourceTransport(), c.CertificateThumbprint()}
}

// carrier is what requests with a token travel by. Those without one show no
// certificate either: it tells who we are as well.
func (t *Transport) carrier() http.RoundTripper {
	if t.base == nil && t.m.cfg.certificate.transport != nil {
		return t.m.cfg.certificate.transport
	}
	return t.roundTripper()
}

// explainRejection logs why an API may reject a token that has just been renewed, if
// the token itself tells. It decides nothing.
func (t *Transport) explainRejection(s *snapshot) {
	bound, ours := s.pair.CertificateThumbprint(), t.m.cfg.certificate.thumbprint
	var why string
	switch {
	case bound == "", bound == ours && t.base == nil:
		return
	case ours != "" && bound != ours:
		why = "it is bound to another certificate than the client's"
	default:
		why = "it is bound to a certificate, which the transport's base has to present"
	}
	t.m.cfg.Logger.Warn("API rejects a new token", "session", t.m.session, "reason", why, "certificate", bound)
}
