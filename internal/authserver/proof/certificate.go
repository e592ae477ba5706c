package proof

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"time"
)

// Certificate returns the SHA-256 thumbprint (x5t#S256) of the certificate of r's
// connection, or "".
func Certificate(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// SignedFor reports whether a chain leads to one of roots and is for clients.
func SignedFor(roots *x509.CertPool, chain []*x509.Certificate, now time.Time) bool {
	if roots == nil {
		return false // Verify would take the system's
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}
