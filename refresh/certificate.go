package refresh

import (
	"net/http"

	"github.com/evertoken/evertoken/refresh/internal/snapshot"
)

// carrier is what requests with a token travel by. Those without one show no
// certificate either: it tells who we are as well.
func (t *Transport) carrier() http.RoundTripper {
	if c := t.m.setup().certificate; t.base == nil && c != nil {
		return c.ResourceTransport()
	}
	return t.roundTripper()
}

// explainRejection logs why an API may reject a token that has just been renewed, if
// the token itself tells. It decides nothing.
func (t *Transport) explainRejection(s *snapshot.Snapshot) {
	set, ours := t.m.setup(), ""
	if set.certificate != nil {
		ours = set.certificate.CertificateThumbprint()
	}
	bound := s.Pair.CertificateThumbprint()
	var why string
	switch {
	case bound == "", bound == ours && t.base == nil:
		return
	case ours != "" && bound != ours:
		why = "it is bound to another certificate than the client's"
	default:
		why = "it is bound to a certificate, which the transport's base has to present"
	}
	set.Logger.Warn("API rejects a new token", "session", t.m.m.Name(), "reason", why, "certificate", bound)
}
