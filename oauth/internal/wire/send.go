package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/internal/thishost"
)

// Operations whose answers are judged in a way of their own.
const (
	OpRefresh = "refresh"
	OpDevice  = "device"
)

// Error codes that are about a DPoP proof alone: it is invalid (RFC 9449 section 5),
// or lacks the server's nonce (sections 8 and 9).
const (
	CodeDPoPProof = "invalid_dpop_proof"
	CodeDPoPNonce = "use_dpop_nonce"
)

// NewBodiless builds a request without a body. authorization may be empty.
func NewBodiless(ctx context.Context, method, endpoint, authorization string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, endpoint, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return req, nil
}

// NewJSON builds a request that, like those of NewForm, net/http cannot
// send again on its own.
func NewJSON(ctx context.Context, method, endpoint string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, endpoint, struct{ io.Reader }{bytes.NewReader(body)})
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// NewForm builds a POST of form. net/http cannot send it again on its own, which
// HTTP/1 and HTTP/2 both would in some cases after a connection broke.
func NewForm(ctx context.Context, endpoint string, form url.Values) (*http.Request, error) {
	req, err := NewPost(ctx, endpoint, form.Encode())
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// NewPost builds a POST of body, which may be empty, without headers. Like that of
// NewForm, net/http cannot send it again on its own.
func NewPost(ctx context.Context, endpoint, body string) (*http.Request, error) {
	// A body that is not a *strings.Reader leaves req.GetBody nil, without which net/http
	// cannot send the request a second time.
	var content io.Reader
	if body != "" {
		content = struct{ io.Reader }{strings.NewReader(body)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, content)
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(body))
	return req, nil
}

// CheckEndpoint returns an error unless secrets may be sent to rawURL: https, or
// http to a loopback address (RFC 6749 section 3.2, RFC 8252 section 8.3).
func CheckEndpoint(name, rawURL string) error {
	if problem := problemOf(rawURL); problem != "" {
		return errors.New(name + " " + problem)
	}
	return nil
}

// CheckField is CheckEndpoint for a field of a configuration.
func CheckField(field, rawURL string) error {
	if problem := problemOf(rawURL); problem != "" {
		return Wrong(field, "%s", problem)
	}
	return nil
}

// CheckPublished is CheckEndpoint for an address that a server publishes, of which its own
// address is known. What is elsewhere has no business to send us to this machine, whose
// services trust every process that reaches them.
func CheckPublished(name, rawURL, publisher string) error {
	if err := CheckEndpoint(name, rawURL); err != nil {
		return err
	}
	if LeadsHere(rawURL, publisher) {
		return errors.New(name + " is on this machine, and the server that publishes it is not")
	}
	return nil
}

// LeadsHere reports whether an address that publisher tells may lead to this machine, and
// the publisher's own does not.
func LeadsHere(rawURL, publisher string) bool {
	u, err := url.Parse(rawURL)
	if err != nil || !thishost.MayBe(u.Hostname()) {
		return false
	}
	p, err := url.Parse(publisher)
	return err != nil || !thishost.MayBe(p.Hostname())
}

// problemOf says what is wrong with an endpoint's address, or nothing.
func problemOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	switch {
	case rawURL == "":
		return "is empty"
	case err != nil || u.Host == "":
		return "is not an absolute URL"
	case u.Fragment != "" || u.User != nil:
		return "must have neither fragment nor user information"
	case u.Scheme == "https" || u.Scheme == "http" && thishost.Direct(u.Hostname()):
		return ""
	}
	return "must be https (plain http only to a loopback address, or to localhost in small letters)"
}

// WithoutQuery returns an address as far as it may be shown: without user information, query
// and fragment.
func WithoutQuery(rawURL string) string {
	u, err := url.Parse(rawURL)
	switch {
	case err == nil && u.User != nil:
		u.User = nil
		rawURL = u.String()
	case (err != nil || u.Host == "") && strings.Contains(rawURL, "@"):
		return "(no usable address)" // where a password in it ends is not clear
	}
	if end := strings.IndexAny(rawURL, "?#"); end >= 0 {
		rawURL = rawURL[:end]
	}
	return rawURL
}

// Presence says whether a secret is there, and nothing else about it.
func Presence(secret string) string {
	if secret == "" {
		return "none"
	}
	return "[redacted]"
}

// Origin returns the origin of an address, or "" if it has none.
func Origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

const (
	// maxBody bounds what is read of an answer. Token responses with large ID tokens
	// reach some tens of kilobytes.
	maxBody = 1 << 20
	// maxHeader bounds what DefaultTransport reads of an answer's headers, of which net/http
	// takes ten megabytes by itself: the nonces, cookies and challenges of one answer reach
	// some kilobytes.
	maxHeader = 256 << 10
	// linger is how long an answer may go on after the tokens stand whole in it.
	linger = time.Second
)

const (
	// DefaultTimeout is how long requests may take where nothing else is configured:
	// what people wait for a login server before they give up.
	DefaultTimeout = 30 * time.Second
	// RefreshTimeout is how long a refresh may take whose caller sets no deadline. The
	// server may have spent the refresh token, and only the answer has its successor:
	// servers that pause for a snapshot or a failover give it when they go on.
	RefreshTimeout = 3 * time.Minute
)

// A Sender sends requests, each once, and follows no redirect. It is safe for
// concurrent use, and must not be changed once it is used.
type Sender struct {
	HTTP     *http.Client
	Timeout  time.Duration // of each request but a refresh, within HTTP.Timeout
	Now      func() time.Time
	Settings Settings // what answers are read by
}

// NewSender returns a Sender like hc, with the defaults for what is nil or zero: a
// client that opens a connection for each request, 30 seconds, and time.Now.
func NewSender(hc *http.Client, timeout time.Duration, now func() time.Time) *Sender {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	if now == nil {
		now = time.Now
	}
	return &Sender{HTTP: requestClient(hc), Timeout: timeout, Now: now}
}

// An Unbuilt is the error of a request that could not be made, for a reason that is
// safe to print.
type Unbuilt struct{ Kind, Err error }

func (u *Unbuilt) Error() string { return u.Err.Error() }

// Unwrap returns the reason.
func (u *Unbuilt) Unwrap() error { return u.Err }

// unsent returns the failure of a request that could not be made.
func unsent(op string, err error) *Failure {
	if u, ok := errors.AsType[*Unbuilt](err); ok {
		return &Failure{Op: op, Kind: u.Kind, Err: u.Err}
	}
	return Misconfigured(op, CleanCause(err))
}

// Send sends the request that build makes. It takes no longer than s.Timeout and ctx
// allow. A refresh is bounded by ctx alone, or by RefreshTimeout if ctx has no deadline:
// neither s.Timeout nor the http.Client's own limit, which are for requests that can be
// made again, is to hang up on a server that has spent the refresh token.
func (s *Sender) Send(ctx context.Context, op string, build func(context.Context) (*http.Request, error)) (*Answer, *Failure) {
	hc, limit := s.HTTP, s.Timeout
	end, bounded := ctx.Deadline()
	if op == OpRefresh {
		patient := *hc
		patient.Timeout = 0
		hc, limit = &patient, RefreshTimeout
	}
	if !bounded || op != OpRefresh && time.Until(end) > limit {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	var trace sendTrace
	req, err := build(trace.watch(ctx))
	if err != nil {
		return nil, unsent(op, err)
	}

	guard := thishost.Guarding(req.URL)
	if guard != nil {
		req = guard.Of(req)
	}
	a := &Answer{Op: op, SentAt: s.Now(), Settings: s.Settings}
	resp, err := hc.Do(req)
	switch {
	case err != nil && guard.Strayed():
		return nil, Misconfigured(op, thishost.ErrStrayed)
	case err != nil:
		return nil, Unanswered(op, err, trace.mayHaveSent(err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return nil, proxyAnswered(op)
	case resp.StatusCode == http.StatusSwitchingProtocols:
		// What follows is not a body but a protocol that was not asked for, and net/http
		// does not stop reading it when ctx ends.
		return nil, Unanswered(op, errSwitched, true)
	}
	a.Status, a.Header = resp.StatusCode, resp.Header
	a.Body, a.Whole = a.read(ctx, resp.Body)
	a.Received = s.Now()
	a.inflate()
	return a, nil
}

// read reads a body, as far as it arrives before ctx ends, and reports whether it is
// whole. What arrived before an error is kept: the tokens can stand whole in it. If they
// do, a body that does not end is not waited for.
func (a *Answer) read(ctx context.Context, r io.ReadCloser) (body []byte, whole bool) {
	hangUp := func() { _ = r.Close() }
	defer context.AfterFunc(ctx, hangUp)() // for a transport of the program's that does not do so
	var enough *time.Timer
	const tries = 16 // each reads all that has come
	for chunk, ends := make([]byte, 4<<10), 0; ; {
		n, err := r.Read(chunk)
		body = append(body, chunk[:n]...)
		switch {
		case err != nil:
			return body, errors.Is(err, io.EOF)
		case len(body) > maxBody:
			return body[:maxBody+1], false
		case enough != nil || n == 0 || chunk[n-1] != '}' || ends == tries:
			continue
		}
		ends++
		if a.Body = body; a.holdsPair() {
			enough = time.AfterFunc(linger, hangUp)
			defer enough.Stop()
		}
	}
}

// holdsPair reports whether a success with a token stands whole in what has arrived. A
// refusal does not (see Object).
func (a *Answer) holdsPair() bool {
	members, closed := a.TokenFields(a.Fields())
	return closed && member.UsableToken(member.BareToken(member.Token(members["access_token"])))
}

// Get asks for endpoint with one GET and the given Authorization header, which may be
// empty. Otherwise it is like Send.
func (s *Sender) Get(ctx context.Context, op, endpoint, authorization string) (*Answer, *Failure) {
	return s.Send(ctx, op, func(ctx context.Context) (*http.Request, error) {
		return NewBodiless(ctx, http.MethodGet, endpoint, authorization)
	})
}

// requestClient returns the client that sends token requests: hc's transport and
// cookie jar, which a server cannot fill, but no redirects (RFC 9110 section 15.4 lets a 307 carry the body,
// and so the refresh token, to another host).
func requestClient(hc *http.Client) *http.Client {
	if hc == nil {
		hc = &http.Client{Transport: DefaultTransport()}
	}
	c := *hc
	if c.Jar != nil {
		c.Jar = boundedJar{c.Jar}
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// DefaultTransport opens a connection for each request. Token requests are
// minutes apart, so that a kept connection would save nothing, but could turn
// out to be dead after the refresh token was written into it.
func DefaultTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	t.MaxResponseHeaderBytes = maxHeader
	TellProxyErrors(t)
	return t
}

// A sendTrace finds out whether a request that failed may have reached the
// server.
type sendTrace struct {
	dialing, writing atomic.Bool
	hooks            httptrace.ClientTrace
}

func (t *sendTrace) watch(ctx context.Context) context.Context {
	t.hooks = httptrace.ClientTrace{
		GetConn:          func(string) { t.dialing.Store(true) },
		WroteHeaderField: func(string, []string) { t.writing.Store(true) },
		WroteHeaders:     func() { t.writing.Store(true) },
	}
	return httptrace.WithClientTrace(ctx, &t.hooks)
}

// mayHaveSent is false only when it is certain that nothing was sent: the
// transport said that it was looking for a connection and never began to write,
// or the error is one of connecting. Transports that do not report (fakes,
// wrappers) leave the latter.
func (t *sendTrace) mayHaveSent(err error) bool {
	if t.dialing.Load() {
		return t.writing.Load()
	}
	return !IsConnectError(err)
}
