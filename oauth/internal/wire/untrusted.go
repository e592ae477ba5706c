package wire

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// An untrusted is a certificate that was turned down. It prints without what the
// certificate says: an attacker may have written that.
type untrusted struct {
	why, hint string
	err       error
}

func (u *untrusted) Error() string { return ErrUntrustedCertificate.Error() + ": " + u.why }

// Is makes every untrusted match ErrUntrustedCertificate.
func (u *untrusted) Is(target error) bool { return target == ErrUntrustedCertificate }

// Unwrap returns the error of crypto/tls, for programs that look into it.
func (u *untrusted) Unwrap() error { return u.err }

// certificateCause says why a certificate was turned down.
func certificateCause(err error) *untrusted {
	var (
		authority x509.UnknownAuthorityError
		roots     x509.SystemRootsError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority), errors.As(err, &roots):
		return &untrusted{"it is signed by no authority that this machine knows",
			"if the network inspects TLS, add the certificate of its authority to the system's certificate store, or on Linux name a file with all authorities in SSL_CERT_FILE", err}
	case errors.As(err, &host):
		return &untrusted{fmt.Sprintf("it is for another name than %q", host.Host),
			"check the address; a network that wants a login in the browser first answers like that, too", err}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return outOfTime(invalid.Cert, err)
	}
	return &untrusted{"it does not pass verification", "the server's operator has to replace it", err}
}

// outOfTime is for a certificate that has ended or not yet begun. crypto/tls goes
// by the machine's clock, whatever Config.Now says.
func outOfTime(cert *x509.Certificate, err error) *untrusted {
	now := time.Now()
	why := "it has ended at " + cert.NotAfter.UTC().Format(time.RFC3339)
	if now.Before(cert.NotBefore) {
		why = "it begins at " + cert.NotBefore.UTC().Format(time.RFC3339)
	}
	return &untrusted{why + ", and this machine's clock shows " + now.UTC().Format(time.RFC3339),
		"check this machine's clock; if that is right, the server's operator has to replace the certificate", err}
}
