package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// IsConnectError reports whether err arose before a connection stood.
func IsConnectError(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "dial" || op.Op == opProxyConnect || op.Op == opSOCKS) {
		return true
	}
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.Is(err, errProxyAddress) || isTLSError(err)
}

func isTLSError(err error) bool {
	var (
		verify  *tls.CertificateVerificationError
		header  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	return errors.As(err, &verify) || errors.As(err, &header) || errors.As(err, &unknown) ||
		errors.As(err, &host) || errors.As(err, &invalid)
}

// Unanswered returns the error of a request to which no answer came.
func Unanswered(op string, err error, sent bool) *Failure {
	fail := &Failure{Op: op, Kind: ErrTransient, Sent: sent, Err: CleanCause(err)}
	if status, ok := connectStatus(err); ok && !sent {
		fail.Err = status
	}
	var cert *untrusted
	switch {
	case errors.Is(fail.Err, ErrProxyAuth):
		fail.Hint = hintProxyAuth
	case errors.As(fail.Err, &cert):
		fail.Hint = cert.hint
	}
	return fail
}

// CleanCause returns err in a form that is safe to print. Errors of net/http can
// quote the URL with its query, or what the server sent; those of a caller's
// transport can quote anything. So only causes we know are kept, and of the
// others only the type.
func CleanCause(err error) error {
	var (
		op    *net.OpError
		dns   *net.DNSError
		proxy proxyStatus
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &proxy):
		return proxy
	case errors.Is(err, errProxyAddress):
		return errProxyAddress
	case errors.As(err, &op) && (op.Op == opProxyConnect || op.Op == opSOCKS):
		return proxyCause(op)
	case errors.As(err, &dns):
		return dns
	case isTLSError(err):
		return tlsCause(err)
	case certificateRefused(err) != nil:
		return certificateRefused(err)
	case errors.As(err, &op):
		return cleanOp(op)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("the connection ended without an answer: %w", io.ErrUnexpectedEOF)
	case errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("the server answered plain HTTP on an https address")
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return fmt.Errorf("request failed (%T)", Innermost(err))
}

// cleanOp keeps operation, address and system error of a network error.
func cleanOp(op *net.OpError) error {
	var errno syscall.Errno
	if !errors.As(op.Err, &errno) {
		if op.Timeout() {
			return fmt.Errorf("%s %s: timed out", op.Op, op.Net)
		}
		return fmt.Errorf("%s %s failed", op.Op, op.Net)
	}
	clean := &net.OpError{Op: op.Op, Net: op.Net, Addr: op.Addr, Err: errno}
	return clean
}

// tlsCause says why a TLS connection could not be made.
func tlsCause(err error) error {
	var header tls.RecordHeaderError
	if errors.As(err, &header) {
		return errors.New("the server does not speak TLS on this port")
	}
	return certificateCause(err)
}

func Innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// certificateAlerts are those by which a server says what it thinks of a client's
// certificate (RFC 8446 section 6.2).
var certificateAlerts = [...]tls.AlertError{
	42,  // bad_certificate
	43,  // unsupported_certificate
	44,  // certificate_revoked
	45,  // certificate_expired
	46,  // certificate_unknown
	48,  // unknown_ca
	49,  // access_denied
	116, // certificate_required
}

// certificateRefused returns the cause if the server ended the handshake because
// of the client's certificate, or because there was none, else nil. Go's own type
// for a received alert is not exported; it prints like the exported one.
func certificateRefused(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return nil
	}
	for _, alert := range certificateAlerts {
		if op.Err.Error() == alert.Error() {
			return fmt.Errorf("the server refused the connection over the client certificate (%w)", alert)
		}
	}
	return nil
}
