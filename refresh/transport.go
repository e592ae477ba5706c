package refresh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/drain"
	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/internal/thishost"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
)

// A Transport is an http.RoundTripper whose requests carry a fresh token. Get it
// from [Manager.Transport]. Safe for concurrent use.
//
// The token goes as Config.Presentation says, by default in an Authorization header. A
// request that already has the header that carries the token is passed on as it is. Where
// that is another one, or a cookie, an Authorization header of the program's, such as a
// gateway's, travels beside the token.
//
// The token goes to Config.AllowedOrigins, over TLS or to loopback. If there are none, it goes
// to the first origin that it was used for, by any request or gRPC call of the session since
// the manager was made; one to which base got no connection, such as a mistyped host, does not
// count. A request of the program's for another origin is not sent: the error
// matches oauth.ErrMisconfigured and names both. A redirect to another origin is followed
// without the token, and so is whatever follows that, also back to the first origin. What
// counts is the request's URL, and not its Host: that says which of the sites at the URL's
// host is meant, and the program that sets it vouches for it.
//
// If no token can be had, the request is not sent and RoundTrip returns the cause.
//
// After a 401 the rejected token is renewed, unless that has happened already,
// and the request is sent once more, if its body can be rewound
// (http.Request.GetBody). If renewing fails, the 401 is returned; the next
// rejections do not try again before the manager does. If the second answer is a
// 401 too, it is returned, and for a check interval no rejection leads to a
// refresh: the token was not the reason.
//
// A 401 whose challenges are all of schemes that carry no token (Basic, Digest, Negotiate)
// does not refresh a token that is still valid, as far as its end is known.
//
// Nor does a 403 or 400, except a 403 with Config.Treat403AsExpired. But each of these may
// mean a token that a renewal has ended, here or in another process: Store is looked at,
// a renewal that has just begun is waited for, two seconds at most, and with a newer
// token the request is sent once more. insufficient_scope does not mean that.
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
	to       destinations
	way      *oauth.Presentation                               // nil: by an Authorization header
	current  func(context.Context) (*snapshot.Snapshot, error) // of m, or of its Resource
}

// Transport returns a RoundTripper over base; nil means http.DefaultTransport, or
// what presents the client's certificate.
func (m *Manager) Transport(base http.RoundTripper) *Transport {
	return &Transport{m: m, base: base, to: m.destinations(), way: m.setup().way(), current: m.m.Current}
}

// Client returns an http.Client whose requests carry a fresh token.
func (m *Manager) Client() *http.Client { return &http.Client{Transport: m.Transport(nil)} }

// String describes the transport without tokens.
func (t *Transport) String() string { return "refresh.Transport{" + t.m.String() + "}" }

// Format implements fmt.Formatter: every verb prints what String returns.
func (t *Transport) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, t.String()) }

// RoundTrip implements http.RoundTripper. It does not modify req.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil {
		closeBody(req)
		return nil, errors.New("refresh: the request has no URL")
	}
	authorized := hasAuthorization(req.Header)
	if t.way == nil && authorized || t.way != nil && t.way.Has(req.Header) {
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
	if authorized && !s.Bearer { // which goes by that header, whatever the way
		return t.roundTripper().RoundTrip(req)
	}
	resp, err := t.presentThere(req, s)
	if err != nil {
		return resp, err
	}
	switch t.judge(resp, s) {
	case rejected:
		return t.again(req, resp, t.m.m.RenewRejected(req.Context(), t.resource, s, rewindable(req)), true)
	case refused:
		if !rewindable(req) {
			t.m.m.Wake() // for the next request
			return resp, nil
		}
		return t.again(req, resp, t.m.m.Newer(req.Context(), t.resource, s), false)
	}
	return resp, nil
}

// hasAuthorization reports whether a request has credentials of its own, in whatever case:
// net/http sends names as they stand in the map.
func hasAuthorization(h http.Header) bool {
	if _, has := h["Authorization"]; has {
		return true
	}
	for name := range h {
		if strings.EqualFold(name, "Authorization") {
			return true
		}
	}
	return false
}

// presentThere is present, if the token may go to the origin of req.
func (t *Transport) presentThere(req *http.Request, s *snapshot.Snapshot) (*http.Response, error) {
	first, err := t.to.use(req.URL)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if first == nil {
		return t.present(req, s)
	}
	var seen sighting
	resp, err := t.present(seen.of(req), s)
	first.ended(seen.mayHaveGone(err))
	return resp, err
}

// present sends req with the token s.
func (t *Transport) present(req *http.Request, s *snapshot.Snapshot) (*http.Response, error) {
	guard := thishost.Guarding(req.URL)
	if guard == nil {
		return t.send(req, s)
	}
	resp, err := t.send(guard.Of(req), s)
	if err != nil && guard.Strayed() {
		err = fmt.Errorf("refresh: %w: %w", thishost.ErrStrayed, oauth.ErrMisconfigured)
	}
	return resp, err
}

func (t *Transport) send(req *http.Request, s *snapshot.Snapshot) (*http.Response, error) {
	switch {
	case !s.Bearer:
		return t.presentOther(req, s)
	case t.way == nil:
		return t.carrier().RoundTrip(withToken(req, s))
	}
	clone := *req
	if clone.Header = maps.Clone(req.Header); clone.Header == nil {
		clone.Header = make(http.Header, 1)
	}
	if err := t.way.Set(clone.Header, s.Pair.AccessToken); err != nil {
		closeBody(req)
		return nil, fmt.Errorf("refresh: %w", err)
	}
	return t.carrier().RoundTrip(&clone)
}

// again sends req once more, with next in place of the token that it had. If that is not
// possible, it returns the response that there is. renewed says that next is as fresh as a
// token can be.
func (t *Transport) again(req *http.Request, resp *http.Response, next *snapshot.Snapshot, renewed bool) (*http.Response, error) {
	if next == nil {
		return resp, nil
	}
	retry, ok := rewind(req)
	if !ok {
		return resp, nil
	}
	drain.Response(resp) // in its place there will be another
	resp, err := t.present(retry, next)
	if err == nil && renewed && t.judge(resp, next) == rejected {
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

// A judgement is what a response says of the token.
type judgement uint8

const (
	accepted judgement = iota // nothing
	refused                   // perhaps that it has ended, and perhaps something else
	rejected                  // that it is not valid
)

// judge decides what a response says of the token. It calls the step-up hook when the API
// wants more scope.
func (t *Transport) judge(resp *http.Response, s *snapshot.Snapshot) judgement {
	verdict := refused
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		verdict = rejected
	case http.StatusForbidden:
		if t.m.setup().Treat403AsExpired {
			verdict = rejected
		}
	case http.StatusBadRequest:
	default:
		return accepted
	}
	scheme := s.Pair.Type()
	if t.way != nil && s.Bearer {
		scheme = cmp.Or(t.way.Scheme, scheme)
	}
	params := challenge.Params(resp.Header, scheme)
	switch {
	case strings.EqualFold(params["error"], "insufficient_scope"):
		t.m.wantsScope(wantedScope(params["scope"], s.Pair.AccessToken), s)
		return accepted
	case strings.EqualFold(params["error"], "insufficient_user_authentication"):
		return accepted // another login is wanted, and no refresh helps (RFC 9470 section 3)
	case s.Pair.Type() == "DPoP" && proofError(resp) != "":
		return accepted // the proof was not valid; the token may be
	case resp.StatusCode == http.StatusUnauthorized && s.Ends() != moment.Never && isForeign(resp.Header, scheme):
		return refused
	}
	return verdict
}

// isForeign reports whether all challenges of a 401 ask for credentials of another kind than a
// token (RFC 9110 section 11.6.1), as those of a proxy or a gateway before the API do: then
// the token was not the reason, or its renewal is not what is asked for. A token of which the
// end is not known has no other sign of it, so the caller asks about others only.
func isForeign(h http.Header, ours string) bool {
	list := challenge.Parse(h)
	return len(list) > 0 && !slices.ContainsFunc(list, func(c challenge.Challenge) bool {
		return c.Code() != "" || strings.EqualFold(c.Scheme, ours) || !wantsNoToken(c.Scheme)
	})
}

// wantsNoToken reports whether a scheme is one of passwords, tickets and keys. Others may mean
// our token: APIs call it JWT, OAuth or Token.
func wantsNoToken(scheme string) bool {
	switch strings.ToLower(scheme) {
	case "basic", "concealed", "digest", "hoba", "kerberos", "mutual", "negotiate", "ntlm", "scram-sha-1", "scram-sha-256":
		return true
	}
	return false
}

// maxScope is the longest scope that the program is told of. The longest that services
// ask for at a login are a few dozen URLs.
const maxScope = 4 << 10

// wantedScope returns the scope that an API names, or "" for text that cannot be one: too long,
// with characters that no scope has (RFC 6749 section 3.3), or with the token that it got.
// The program might print it, and put it into the address of a login.
func wantedScope(scope, accessToken string) string {
	if len(scope) > maxScope || !member.UsableToken(scope) || outside.Repeats(scope, accessToken) {
		return ""
	}
	return scope
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

// A carrying is a request with the value of its Authorization header, in one piece of
// memory.
type carrying struct {
	http.Request
	authorization [1]string
}

// withToken returns a copy of req that carries the token. Its header map is its own, and
// so is the token's value in it: a RoundTripper below that writes there, which net/http
// forbids and some do, spoils this request and no other. The caller's values are shared
// and not written to.
func withToken(req *http.Request, s *snapshot.Snapshot) *http.Request {
	c := &carrying{*req, [1]string{s.Authorization}}
	if c.Header = maps.Clone(req.Header); c.Header == nil {
		c.Header = make(http.Header, 1)
	}
	c.Header["Authorization"] = c.authorization[:]
	return &c.Request
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// mayCarry decides whether the token may go with req. A redirect that leaves its origins
// travels bare, and whatever follows it; a request that the program itself directs
// elsewhere is a mistake, and an error.
func (t *Transport) mayCarry(req *http.Request) (bool, error) {
	if req.Response != nil {
		return t.to.follow(req), nil
	}
	if err := cmp.Or(checkSecure(req.URL), t.to.check(req.URL)); err != nil {
		return false, err
	}
	return true, nil
}
