package oauthtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"time"
)

// NewTLSServer is NewServer with TLS, as mutual TLS (RFC 8705) needs it: the
// server asks clients for a certificate, without insisting, so that those that
// authenticate in other ways can come too. Its own certificate is new; the
// HTTPClient of OAuthConfig trusts it, and Certificate returns it.
//
// With Config.MTLSAliases it listens on a second port, and asks for certificates
// only there.
func NewTLSServer(cfg Config) *Server {
	l := listen()
	s := newServer(cfg, "https://"+l.Addr().String())
	cert := newCertificate()
	s.certificate, s.engine.MutualTLS = cert.Leaf, true
	plain := &tls.Config{Certificates: []tls.Certificate{cert}}
	asking := plain.Clone()
	// Whether a certificate is good is the token endpoint's business.
	asking.ClientAuth = tls.RequestClientCert
	if !s.cfg.MTLSAliases {
		s.serve(tls.NewListener(l, asking))
		return s
	}
	second := listen()
	s.engine.Aliases = "https://" + second.Addr().String()
	s.serve(tls.NewListener(l, plain), tls.NewListener(second, asking))
	return s
}

// Certificate returns the certificate of a server that NewTLSServer made, and nil
// for others.
func (s *Server) Certificate() *x509.Certificate { return s.certificate }

// trusting returns an HTTP client that trusts the server's certificate. It keeps
// no connection that the caller would have to close.
func (s *Server) trusting() *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(s.certificate)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
}

// newCertificate makes a certificate for 127.0.0.1 that signs itself. It is good
// in synctest bubbles too, whose clocks begin in the year 2000.
func newCertificate() tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "oauthtest"},
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("oauthtest: cannot make a key: " + err.Error()) // never happens: crypto/rand does not fail
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic("oauthtest: cannot make a certificate: " + err.Error()) // never happens with this template
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic("oauthtest: cannot read the certificate: " + err.Error()) // never happens: it was just made
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
