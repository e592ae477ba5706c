package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/internal/drain"
	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/internal/withoutlogin"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
)

// maxRounds bounds how often one request is sent after a refusal: for a first login, for
// more scope, and for another server. The Model Context Protocol wants no more than a few.
const maxRounds = 3

// A roundTripper is what Client returns.
type roundTripper struct{ s *Session }

// Format implements fmt.Formatter: every verb prints the session.
func (t roundTripper) Format(w fmt.State, verb rune) { t.s.Format(w, verb) }

// RoundTrip implements http.RoundTripper. It does not modify req.
func (t roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	s := t.s
	if !s.isOurs(req.URL) || s.hasOwn(req.Header) {
		return s.base().RoundTrip(req)
	}
	if err := s.resume(req.Context()); err != nil {
		closeBody(req)
		return nil, err
	}
	for round := 0; ; round++ {
		seen := s.cur.Load()
		resp, err := s.send(req, seen)
		if err != nil && !s.mayHelp(seen, err) {
			return nil, err
		}
		header, refused := s.refusal(resp)
		if err == nil && !refused || round == maxRounds || s.isProof(seen, header) || withoutlogin.Is(req.Context()) {
			return resp, err
		}
		if failed := s.help(req, resp, seen, header, err); failed != nil {
			return answer(resp, failed)
		}
		again, ok := rewind(req)
		if !ok {
			return resp, err // the next request has the session
		}
		drain.Response(resp)
		req = again
	}
}

// help does what there is to do about the refusal of a request.
func (s *Session) help(req *http.Request, resp *http.Response, seen *login, header http.Header, cause error) error {
	switch {
	case resp == nil || !s.doubt(seen, header):
		return s.authorize(req.Context(), seen, header, cause)
	case !rewindable(req):
		return nil // the next request asks
	}
	return sleep.For(req.Context(), secondOpinion)
}

// hasOwn reports whether a request carries credentials of the program's where the session's
// would be: then the API's answer says nothing of the session.
func (s *Session) hasOwn(header http.Header) bool {
	if way := s.cfg.Refresh.Presentation; way != (oauth.Presentation{}) {
		return way.Has(header)
	}
	_, has := header["Authorization"]
	return has
}

// isProof reports whether a refusal is about the proof of a token's key (RFC 9449 section
// 7.1), and not about the token.
func (s *Session) isProof(seen *login, header http.Header) bool {
	c, found := challenge.Find(header, "DPoP")
	if seen == nil || !found {
		return false
	}
	return strings.EqualFold(c.Code(), "use_dpop_nonce") || strings.EqualFold(c.Code(), "invalid_dpop_proof")
}

// doubt reports whether the refusal of a living token is one to ask about once more before a
// person is: the token cannot be renewed, and the API has taken it so far. It says so until
// the API has refused the token for a while, and anew when that has taken it again.
func (s *Session) doubt(seen *login, header http.Header) bool {
	if seen == nil || seen.granting || !seen.accepted.Load() || wantsMore(header) {
		return false
	}
	pair := seen.manager.GetTokens()
	living := pair != nil && pair.RefreshToken == "" && (pair.ExpiresAt.IsZero() || s.now().Before(pair.ExpiresAt))
	if !living {
		return false
	}
	now := time.Now()
	seen.doubted.CompareAndSwap(0, now.UnixNano())
	return now.Sub(time.Unix(0, seen.doubted.Load())) < secondOpinion
}

// wantsMore reports whether a refusal asks for more than was granted.
func wantsMore(header http.Header) bool {
	want := wanted(header)
	return want.Code() == "insufficient_scope" || want.WantsLogin()
}

// mayHelp reports whether there is something to do about why a login has no token.
func (s *Session) mayHelp(seen *login, err error) bool {
	return errors.Is(err, oauth.ErrLoginRequired) || seen.forgotten(err)
}

// answer returns what a caller gets after a refusal that no login has mended: the API's
// own answer if a login would not help, and otherwise why there was none.
func answer(resp *http.Response, failed error) (*http.Response, error) {
	if resp != nil && (errors.Is(failed, ErrRefused) || errors.Is(failed, oauth.ErrNoStepUp)) {
		return resp, nil
	}
	drain.Response(resp)
	return nil, failed
}

// send sends req with the tokens of a login, or without if there is none.
func (s *Session) send(req *http.Request, l *login) (*http.Response, error) {
	if l == nil {
		return s.base().RoundTrip(req)
	}
	s.showCurrent(l)
	resp, err := l.requests.RoundTrip(req)
	s.showCurrent(l) // which has renewed a token that the API has refused
	if err == nil && takesToken(resp) {
		l.accepted.Store(true)
		l.doubted.Store(0)
		l.noted.Store(nil)
	}
	return resp, err
}

// takesToken reports whether the API has taken the token of a request. Other answers, such as
// a 405, can come before it looks at the token.
func takesToken(resp *http.Response) bool {
	switch resp.StatusCode / 100 {
	case 2:
		return true
	case 4:
		return resp.StatusCode == http.StatusForbidden && wanted(resp.Header).Code() == "insufficient_scope"
	}
	return false
}

// refusal returns the header of an answer that a login may help against.
func (s *Session) refusal(resp *http.Response) (http.Header, bool) {
	if resp == nil {
		return nil, true
	}
	header := s.unrepeated(resp.Header)
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return header, true
	case http.StatusForbidden:
		return header, wanted(header).Code() == "insufficient_scope"
	}
	return nil, false
}

// wanted returns the challenge for tokens, or the zero one.
func wanted(header http.Header) challenge.Challenge {
	for _, scheme := range []string{"Bearer", "DPoP"} {
		if c, found := challenge.Find(header, scheme); found {
			return c
		}
	}
	return challenge.Challenge{}
}

// rewindable reports whether a request can be sent a second time.
func rewindable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// rewind returns a copy of a request that was sent, with its body from the beginning, or
// false if that cannot be had. The caller sends it, so that its body is closed.
func rewind(req *http.Request) (*http.Request, bool) {
	if !rewindable(req) {
		return nil, false
	}
	again := *req
	if req.GetBody == nil {
		return &again, true
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	again.Body = body
	return &again, true
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// Token returns a living token, for programs that present it themselves, and tell
// [Session.Refused] what the API says of it; set Config.BearerOnly. Others want
// [Session.Client]. It waits for a renewal as refresh.Manager.TokenContext does. An error
// that matches [oauth.ErrLoginRequired] means that there is no session, or none any more:
// then send the request without a token. The pair is the caller's own.
func (s *Session) Token(ctx context.Context) (*oauth.TokenPair, error) {
	if err := s.resume(ctx); err != nil {
		return nil, err
	}
	if l := s.cur.Load(); l != nil {
		return l.manager.TokenContext(ctx)
	}
	return nil, errNone
}

// TokenSource returns a source of [Session.Token] for programs that take one of
// golang.org/x/oauth2. Its tokens are good in caches such as oauth2.ReuseTokenSource.
func (s *Session) TokenSource() oauth2.TokenSource { return source{s} }

type source struct{ s *Session }

// Format implements fmt.Formatter: every verb prints the session.
func (t source) Format(w fmt.State, verb rune) { t.s.Format(w, verb) }

// Token implements oauth2.TokenSource.
func (t source) Token() (*oauth2.Token, error) {
	if err := t.s.resume(t.s.ctx); err != nil {
		return nil, err
	}
	if l := t.s.cur.Load(); l != nil {
		return l.manager.Token()
	}
	return nil, errNone
}

// errNone is why there is no token before the first login.
var errNone = &oauth.Error{Op: "connect", Kind: oauth.ErrLoginRequired, Err: errors.New("there is no session yet")}

// soon is how old a login or a renewal is at most for a program that presents tokens to take a
// refusal for one of its token. The Session sees no success of those, and a program's first
// calls take less.
const soon = time.Minute

// Refused tells that the API has answered a request with accessToken (empty: without) by
// status and header, and does what [Session.Client] would: it returns nil when the request
// is to be sent again, with what [Session.Token] returns now. An error that matches
// [ErrRefused] or [oauth.ErrNoStepUp] says that a login would not help.
func (s *Session) Refused(ctx context.Context, accessToken string, status int, header http.Header) error {
	seen := s.cur.Load()
	if s.show(accessToken); seen != nil {
		s.showCurrent(seen)
	}
	header, refused := s.refusal(&http.Response{StatusCode: status, Header: header})
	switch {
	case !refused:
		return ErrRefused
	case seen == nil, status != http.StatusUnauthorized, wanted(header).WantsLogin():
		return s.authorize(ctx, seen, header, nil)
	}
	pair, err := seen.manager.TokenContext(ctx)
	if err == nil && accessToken != "" && accessToken != pair.AccessToken {
		return nil // renewed while the request was on its way
	}
	return s.authorize(ctx, seen, header, err)
}

// renew has a token renewed that a program was refused with, which a refresh.Transport does
// by itself. It reports whether there is a new one.
func (l *login) renew(ctx context.Context) (bool, error) {
	now := time.Now()
	if now.Sub(l.began) > soon {
		l.accepted.Store(true)
	}
	if last := l.renewed.Swap(now.UnixNano()); now.Sub(time.Unix(0, last)) <= soon {
		return false, nil
	}
	err := l.manager.ForceRefresh(ctx)
	if errors.Is(err, oauth.ErrLoginRequired) {
		return false, nil
	}
	return err == nil, err
}
