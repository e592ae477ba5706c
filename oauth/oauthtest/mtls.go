package oauthtest

import (
	"crypto/x509"
	"net/http"
)

// The ways to authenticate by certificate.
const (
	authMTLS           = "tls_client_auth"
	authSelfSignedMTLS = "self_signed_tls_client_auth"
)

// mutualTLS returns the method by which the certificate of the connection
// authenticates c (RFC 8705 section 2), or authNone.
func (s *Server) mutualTLS(r *http.Request, c RegisteredClient) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return authNone
	}
	leaf := r.TLS.PeerCertificates[0]
	for _, registered := range c.Certificates {
		if leaf.Equal(registered) {
			return authSelfSignedMTLS
		}
	}
	if c.SubjectDN != "" && leaf.Subject.String() == c.SubjectDN && s.signedForClients(r.TLS.PeerCertificates) {
		return authMTLS
	}
	return authNone
}

// signedForClients reports whether a chain leads to one of Config.ClientCAs.
func (s *Server) signedForClients(chain []*x509.Certificate) bool {
	if s.cfg.ClientCAs == nil {
		return false // Verify would take the system's
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: s.cfg.ClientCAs, Intermediates: between, CurrentTime: s.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}
