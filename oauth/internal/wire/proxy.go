package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

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
