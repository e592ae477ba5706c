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
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/internal/member"
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
	var inside *NotPublic
	switch {
	case errors.As(fail.Err, &inside):
		fail.Kind, fail.Hint = ErrMisconfigured, hintNotPublic
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
		op     *net.OpError
		dns    *net.DNSError
		proxy  proxyStatus
		inside *NotPublic
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &inside):
		return inside
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

const hintProxyAuth = "set HTTPS_PROXY=http://user:password@host:port, with special characters percent-encoded"

// errProxyAddress stands for an error that quotes the address, password and all.
var errProxyAddress = errors.New("the address of the proxy cannot be read; check HTTPS_PROXY")

// A proxyStatus is a proxy's refusal to connect to the server.
type proxyStatus int

func (s proxyStatus) Error() string {
	if s == http.StatusProxyAuthRequired {
		return ErrProxyAuth.Error()
	}
	return fmt.Sprintf("the proxy refuses the connection (HTTP %d)", int(s))
}

// Is makes status 407 match ErrProxyAuth.
func (s proxyStatus) Is(target error) bool {
	return target == ErrProxyAuth && s == http.StatusProxyAuthRequired
}

// TellProxyErrors makes t return errors that can be told apart and printed when a
// proxy stands in the way: net/http's own have the proxy's words, or its address.
func TellProxyErrors(t *http.Transport) {
	if proxy := t.Proxy; proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			u, err := proxy(r)
			if err != nil {
				err = errProxyAddress
			}
			return u, err
		}
	}
	before := t.OnProxyConnectResponse
	t.OnProxyConnectResponse = func(ctx context.Context, proxy *url.URL, connect *http.Request, resp *http.Response) error {
		if before != nil {
			if err := before(ctx, proxy, connect, resp); err != nil {
				return err
			}
		}
		if resp.StatusCode != http.StatusOK {
			return proxyStatus(resp.StatusCode)
		}
		return nil
	}
}

// proxyAnswered is the error for status 407, which is always a proxy's (RFC 9110
// section 15.5.8). The server has said nothing.
func proxyAnswered(op string) *Failure {
	return &Failure{Op: op, Kind: ErrTransient, Status: http.StatusProxyAuthRequired, Sent: true, Page: true,
		Err: ErrProxyAuth, Hint: hintProxyAuth}
}

// connectStatus finds a proxy's refusal in the error of a transport that is the
// caller's, for a request of which nothing was sent. It can only be found by its
// text: net/http returns what follows the status in the proxy's status line, which
// is usually the status in words.
func connectStatus(err error) (proxyStatus, bool) {
	text := Innermost(err).Error()
	for status := http.StatusMultipleChoices; status < 600; status++ {
		if words := http.StatusText(status); words != "" && words == text {
			return proxyStatus(status), true
		}
	}
	return 0, false
}

const (
	opProxyConnect = "proxyconnect"  // of net/http, while it connects to a proxy
	opSOCKS        = "socks connect" // of net/http, when a SOCKS proxy was reached
)

// proxyCause is CleanCause for an error of connecting to or through a proxy.
func proxyCause(op *net.OpError) error {
	if op.Op == opSOCKS {
		return socksCause(op.Err)
	}
	return fmt.Errorf("the proxy cannot be reached: %w", CleanCause(op.Err))
}

// socksCause says what a SOCKS proxy did (RFC 1928, RFC 1929). net/http has no
// types for it; these are its texts.
func socksCause(err error) error {
	switch err.Error() {
	case "no acceptable authentication methods", "username/password authentication failed", "invalid username/password":
		return ErrProxyAuth
	}
	return errors.New("the SOCKS proxy refuses the connection")
}

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

// Servers, and what stands in front of them, name their own trouble under any
// status: throttling as 400, an outage in the body of a 200. Whatever looks like
// that is taken for it, since the mistake costs little: a request is sent again
// later. Nothing here ever ends a session.

// troubleNames are codes, or parts of codes, that name trouble, throttling or
// retrying: each is a run of words of a code.
var troubleNames = []string{
	"temporarily_unavailable", "unavailable", "server_error", "internal_error", "internal_failure", "internal_server",
	"backend_error", "backend_failure", "service_error", "system_error", "database_error", "fatal_error", "unexpected_error",
	"bad_gateway", "gateway_error", "upstream",
	"rate_limit", "rate_limited", "ratelimit", "ratelimited", "rate_exceeded", "too_many", "limit_exceeded", "limit_reached", "throughput_exceeded", "quota",
	"throttled", "throttling", "throttle", "slow_down", "resource_exhausted", "exhausted",
	"overloaded", "overload", "busy", "timeout", "timed_out", "deadline_exceeded", "maintenance",
	"transient", "temporary", "temporarily", "retry", "retryable", "try_again", "try_later",
}

// namesTrouble reports whether a code, as CodeWord spells it, names trouble. That the
// time of a session or a token is over is not trouble, nor that a person has too many.
func namesTrouble(word string) bool {
	padded := "_" + word + "_"
	return word != "" && slices.ContainsFunc(troubleNames, func(name string) bool {
		return strings.Contains(padded, "_"+name+"_") && !isAboutOne(name, word)
	})
}

// isAboutOne reports whether a name or phrase of trouble speaks, in a text, of one session and
// not of the server: too_many_sessions, device_limit_reached, "Refresh token unavailable".
// Whoever asks too often is told of requests, attempts or a rate.
func isAboutOne(name, text string) bool {
	switch {
	case isTimeout(name):
		return isOfSession(text)
	case !slices.Contains(limits, name):
		return false
	}
	return (isOfSession(text) || containsAny(text, "device", "user", "account", "refresh")) &&
		!containsAny(text, "request", "attempt", "call", "rate", "frequen", "server", "service", "endpoint", "store", "database", "backend", "later", "temporar")
}

// limits are the names and phrases of trouble that are said of a session, too.
var limits = []string{"too_many", "limit_exceeded", "limit_reached", "exhausted", "unavailable", "retry", "please retry"}

func containsAny(text string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

func isTimeout(name string) bool {
	return name == "timeout" || name == "timed_out" || name == "timed out"
}

// isOfSession reports whether a text speaks of what a person or a program has, and not
// of the server.
func isOfSession(text string) bool {
	return containsAny(text, "session", "token", "login", "logon", "idle", "inactiv")
}

// troublePhrases are what messages for people say of trouble. "Try again" alone is
// not among them: it is also said of a wrong password.
var troublePhrases = []string{
	"rate exceeded", "rate limit", "rate-limit", "ratelimit", "too many requests", "throttl", "slow down",
	"request limit", "quota", "try again later", "retry later", "retry your request", "please retry", "temporarily",
	"transient", "unavailable", "internal error", "internal server error", "system error", "server busy",
	"server is busy", "timed out", "timeout", "overloaded", "maintenance",
}

// tellsTrouble reports whether the answer names trouble of the server's own. With
// certain, its error code is one that ends sessions, and only what contradicts that
// outright counts: not the member that is the code.
func tellsTrouble(fields member.Fields, code string, certain bool) bool {
	own := ""
	if certain {
		own = code
	}
	for _, object := range errorObjects(fields) {
		if hasFlag(object) || hasTroubleStatus(object, statusMembers, own) || certain && describesTrouble(object, code) {
			return true
		}
		if !certain && (hasTroubleStatus(object, numberMembers, own) || hasTroubleCode(object) || hasTroublePhrase(object)) {
			return true
		}
	}
	return false
}

// describesTrouble reports whether a code is followed, in its own text, by words for a bad
// moment: "Token invalid: maintenance mode, try again later".
func describesTrouble(object member.Fields, code string) bool {
	for _, raw := range object {
		word, description, found := strings.Cut(member.Text(raw), ":")
		if found && code != "" && CodeWord(word) == CodeWord(code) && speaksOfTrouble(description) {
			return true
		}
	}
	return false
}

func hasTroubleCode(object member.Fields) bool {
	return slices.ContainsFunc(codeMembers, func(name string) bool {
		text := object.Text(name)
		return len(text) <= maxPhrase && namesTrouble(CodeWord(lastSegment(text)))
	})
}

// lastSegment drops the name space that some put before a type, as in
// "com.example#ThrottlingException" and "https://example.com/errors/busy".
func lastSegment(text string) string {
	return text[strings.LastIndexAny(text, "#/")+1:]
}

// maxPhrase is how much of a text is looked at: a sentence.
const maxPhrase = 300

func hasTroublePhrase(object member.Fields) bool {
	return slices.ContainsFunc(messageMembers, func(name string) bool {
		return speaksOfTrouble(object.Text(name))
	})
}

// speaksOfTrouble reports whether a text for people names trouble.
func speaksOfTrouble(text string) bool {
	text = strings.ToLower(text[:min(len(text), maxPhrase)])
	return slices.ContainsFunc(troublePhrases, func(phrase string) bool {
		return strings.Contains(text, phrase) && !isAboutOne(phrase, text)
	})
}

// hasTroubleStatus looks for a status that speaks of trouble, other than own.
func hasTroubleStatus(object member.Fields, members []string, own string) bool {
	return slices.ContainsFunc(members, func(name string) bool {
		n, ok := object.Seconds(name)
		return ok && strconv.FormatInt(n, 10) != own && n >= 400 && n <= 599 && !IsRefusal(int(n))
	})
}

func hasFlag(object member.Fields) bool {
	return slices.ContainsFunc(flagMembers, func(name string) bool { return string(object[name]) == "true" })
}
