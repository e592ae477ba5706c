package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyAlertsAboutCertificatesNameTheCertificate(t *testing.T) {
	for code, want := range map[tls.AlertError]bool{40: false, 42: true, 43: true, 44: true, 45: true, 46: true, 47: false, 48: true, 49: true, 80: false, 116: true} {
		err := fmt.Errorf("wrapped: %w", &net.OpError{Op: "remote error", Err: code})
		if got := certificateRefused(err); (got != nil) != want {
			t.Errorf("alert %d: %v; want it named: %v", code, got, want)
		}
	}
	if certificateRefused(&net.OpError{Op: "local error", Err: tls.AlertError(42)}) != nil || certificateRefused(errors.New("x")) != nil ||
		certificateRefused(nil) != nil || certificateRefused(&net.OpError{Op: "remote error"}) != nil {
		t.Error("something else names the certificate")
	}
}

// Errors of a connection are known by their types, however they are wrapped, and told in
// our words.
func TestCausesOfAFailedConnection(t *testing.T) {
	op := func(name string, err error) error { return &net.OpError{Op: name, Net: "tcp", Err: err} }
	for name, tt := range map[string]struct {
		err       error
		connect   bool   // it came before a connection stood
		want      string // a part of what is said
		certified bool   // it is about a certificate
	}{
		"dialing":               {op("dial", syscall.ECONNREFUSED), true, "connection refused", false},
		"a proxy":               {op(opProxyConnect, syscall.ECONNREFUSED), true, "the proxy cannot be reached", false},
		"a SOCKS proxy":         {op(opSOCKS, errors.New("x")), true, "SOCKS", false},
		"the proxy's address":   {errProxyAddress, true, "HTTPS_PROXY", false},
		"a name":                {&net.DNSError{Err: "no such host", Name: "as.example"}, true, "as.example", false},
		"reading":               {op("read", syscall.ECONNRESET), false, "connection reset", false},
		"reading, for too long": {op("read", os.ErrDeadlineExceeded), false, "timed out", false},
		"reading something":     {op("read", errors.New("PLANTED")), false, "read tcp failed", false},
		"no TLS":                {tls.RecordHeaderError{Msg: "PLANTED"}, true, "does not speak TLS", false},
		"an authority":          {x509.UnknownAuthorityError{}, true, "no authority", true},
		"a verification":        {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, true, "no authority", true},
		"a verification, odd":   {&tls.CertificateVerificationError{Err: errors.New("PLANTED")}, true, "does not pass", true},
		"a host":                {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "as.example"}, true, "as.example", true},
		"a certificate":         {x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}, true, "does not pass", true},
		"an expired one":        {x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}, true, "has ended", true},
		"a bare number":         {syscall.EPIPE, false, "broken pipe", false},
		"an end":                {io.EOF, false, "ended without an answer", false},
		"an end in the middle":  {io.ErrUnexpectedEOF, false, "ended without an answer", false},
		"a deadline":            {context.DeadlineExceeded, false, "in time", false},
		"a cancelation":         {context.Canceled, false, "canceled", false},
		"something":             {errors.New("PLANTED"), false, "request failed", false},
	} {
		err := fmt.Errorf("PLANTED: %w", tt.err)
		if got := IsConnectError(err); got != tt.connect {
			t.Errorf("%s: before a connection stood: %t; want %t", name, got, tt.connect)
		}
		clean := CleanCause(err)
		if got := clean.Error(); !strings.Contains(got, tt.want) || strings.Contains(got, "PLANTED") {
			t.Errorf("%s: %q; want %q in it", name, got, tt.want)
		}
		if got := errors.Is(clean, ErrUntrustedCertificate); got != tt.certified {
			t.Errorf("%s: about a certificate: %t; want %t", name, got, tt.certified)
		}
	}
}
