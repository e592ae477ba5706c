package refresh

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/challenge"
	"github.com/evertoken/evertoken/internal/thishost"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
)

// A Transport is an http.RoundTripper whose requests carry a fresh token. Get it
// from [Manager.Transport]. Safe for concurrent use.
//
// A request that has an Authorization header already is passed on as it is. The
// token goes to the origin that the request names (or to AllowedOrigins), over
// TLS or to loopback, and not along a redirect to another origin. If no token can
// be had, the request is not sent and RoundTrip returns the cause.
//
// After a 401 the rejected token is renewed, unless that has happened already,
// and the request is sent once more, if its body can be rewound
// (http.Request.GetBody). If renewing fails, the 401 is returned; the next
// rejections do not try again before the manager does. If the second answer is a
// 401 too, it is returned, and for a check interval no rejection leads to a
// refresh: the token was not the reason. A 403 never refreshes, except with
// Config.Treat403AsExpired.
//
// A DPoP token goes with a proof of the pair's key, new for each request, and with
// the nonces that each origin wants (RFC 9449 sections 7 and 9). Such a proof names
// the request's URL: base must not change it.
//
// A token that is bound to a client certificate (RFC 8705 section 3) is good only on
// connections that present it. Without a base, requests with the token travel by the
// ResourceTransport of the OAuthClient, which does, if that has a certificate; those
// without the token travel by http.DefaultTransport.
type Transport struct {
	m        *Manager
	base     http.RoundTripper
	resource string
	current  func(context.Context) (*snapshot.Snapshot, error) // of m, or of its Resource
}

// Transport returns a RoundTripper over base; nil means http.DefaultTransport, or
// what presents the client's certificate.
func (m *Manager) Transport(base http.RoundTripper) *Transport {
	return &Transport{m: m, base: base, current: m.m.Current}
}

// Client returns an http.Client whose requests carry a fresh token.
func (m *Manager) Client() *http.Client { return &http.Client{Transport: m.Transport(nil)} }

// String describes the transport without tokens.
func (t *Transport) String() string { return "refresh.Transport{" + t.m.String() + "}" }

// Format implements fmt.Formatter: every verb prints what String returns.
func (t *Transport) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, t.String()) }

// RoundTrip implements http.RoundTripper. It does not modify req.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, set := req.Header["Authorization"]; set {
		return t.roundTripper().RoundTrip(req)
	}
	carry, err := t.mayCarry(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if !carry {
		return t.roundTripper().RoundTrip(req)
	}
	s, err := t.current(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.present(req, s)
	if err != nil || !t.rejected(resp, s) {
		return resp, err
	}
	return t.again(req, resp, s)
}

// present sends req with the token s.
func (t *Transport) present(req *http.Request, s *snapshot.Snapshot) (*http.Response, error) {
	if s.Bearer {
		return t.carrier().RoundTrip(withToken(req, s))
	}
	return t.presentOther(req, s)
}

// again renews the rejected token s and sends req once more. If that is not
// possible, it returns the response that there is.
func (t *Transport) again(req *http.Request, resp *http.Response, s *snapshot.Snapshot) (*http.Response, error) {
	next := t.m.m.RenewRejected(req.Context(), t.resource, s, rewindable(req))
	if next == nil {
		return resp, nil
	}
	retry, ok := rewind(req)
	if !ok {
		return resp, nil
	}
	discard(resp)
	resp, err := t.present(retry, next)
	if err == nil && t.rejected(resp, next) {
		t.m.m.Session((*session.Session).Distrust)
		t.explainRejection(next)
	}
	return resp, err
}

// rewindable reports whether the request can be sent a second time.
func rewindable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// rewind returns a copy of a request that was sent, with its body from the
// beginning, or false if that cannot be had.
func rewind(req *http.Request) (*http.Request, bool) {
	if !rewindable(req) {
		return nil, false
	}
	retry := *req
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, false
		}
		retry.Body = body
	}
	return &retry, true
}

// discard ends a response in whose place there will be another. A drained body
// lets the connection be used again; a long one is not worth it.
func discard(resp *http.Response) {
	if resp.Body != nil {
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
		resp.Body.Close()
	}
}

// rejected reports whether a response says that the token is not valid. It calls
// the step-up hook when the API wants more scope instead.
func (t *Transport) rejected(resp *http.Response, s *snapshot.Snapshot) bool {
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return false
	}
	params := challenge.Params(resp.Header, s.Pair.Type())
	if strings.EqualFold(params["error"], "insufficient_scope") {
		t.m.wantsScope(params["scope"], s)
		return false
	}
	if s.Pair.Type() == "DPoP" && proofError(resp) != "" {
		return false // the proof was not valid; the token may be
	}
	if resp.StatusCode == http.StatusForbidden && !t.m.setup().Treat403AsExpired {
		t.m.m.Wake() // some APIs mean 401; another process may have renewed
		return false
	}
	return true
}

// wantsScope tells the program that an API wants more scope, once per scope and
// access token.
func (m *Manager) wantsScope(scope string, s *snapshot.Snapshot) {
	set := m.setup()
	if set.OnInsufficientScope == nil || !m.m.FirstToWant(scope, s.Generation) {
		return
	}
	if err := failure.Guard("OnInsufficientScope", func() error { set.OnInsufficientScope(scope); return nil }); err != nil {
		set.Logger.Error("callback failed", "session", m.m.Name(), "error", err)
	}
}

func (t *Transport) roundTripper() http.RoundTripper {
	if t.base == nil {
		return http.DefaultTransport
	}
	return t.base
}

// CloseIdleConnections passes the call on, for http.Client.CloseIdleConnections.
func (t *Transport) CloseIdleConnections() {
	for _, rt := range []http.RoundTripper{t.roundTripper(), t.carrier()} {
		if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

// withToken returns a copy of req that carries the token. Its header map is its
// own; the values in it are shared and not written to.
func withToken(req *http.Request, s *snapshot.Snapshot) *http.Request {
	clone := *req
	clone.Header = maps.Clone(req.Header)
	if clone.Header == nil {
		clone.Header = make(http.Header, 1)
	}
	clone.Header["Authorization"] = s.Authorization
	return &clone
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// mayCarry decides whether the token may go with req. A redirect that leaves the
// allowed origins travels bare; a request that the program itself directs there
// is a mistake, and an error.
func (t *Transport) mayCarry(req *http.Request) (bool, error) {
	allowed, redirected := t.m.setup().origins, req.Response != nil
	switch {
	case len(allowed) > 0 && !slices.ContainsFunc(allowed, func(a allowedOrigin) bool { return a.matches(req.URL) }):
		if redirected {
			return false, nil
		}
		return false, fmt.Errorf("refresh: %v is not among Config.AllowedOrigins: %w", originOf(req.URL), oauth.ErrMisconfigured)
	case len(allowed) == 0 && redirected && !fromSameOrigin(req):
		return false, nil
	case req.URL.Scheme != "https" && !thishost.Is(req.URL.Hostname()):
		if redirected {
			return false, nil
		}
		return false, fmt.Errorf("refresh: a token is not sent over plain HTTP: %w", oauth.ErrMisconfigured)
	}
	return true, nil
}

// fromSameOrigin reports whether a redirected request goes to the origin of the
// request that the program made. http.Client links each request to the response
// that caused it; a response that does not know its request leaves the origin
// open, and so says no.
func fromSameOrigin(req *http.Request) bool {
	first := req
	for first.Response != nil {
		if first = first.Response.Request; first == nil {
			return false
		}
	}
	return originOf(first.URL) == originOf(req.URL)
}
