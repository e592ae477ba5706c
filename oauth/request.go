package oauth

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// maxBody bounds what is read of an answer. Token responses with large ID tokens
// reach some tens of kilobytes.
const maxBody = 1 << 20

// requestClient returns the client that sends token requests: hc's transport and
// cookie jar, but no redirects (RFC 9110 section 15.4 lets a 307 carry the body,
// and so the refresh token, to another host).
func requestClient(hc *http.Client) *http.Client {
	if hc == nil {
		hc = &http.Client{Transport: defaultTransport()}
	}
	c := *hc
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// defaultTransport opens a connection for each request. Token requests are
// minutes apart, so that a kept connection would save nothing, but could turn
// out to be dead after the refresh token was written into it.
func defaultTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	tellProxyErrors(t)
	return t
}

// post sends form to endpoint as one POST with the client's authentication, and
// returns what came back, or an Error if nothing did.
func (c *Client) post(ctx context.Context, op, endpoint string, form url.Values) (answer, *Error) {
	a, fail := c.send(ctx, op, func(ctx context.Context) (*http.Request, error) {
		return c.newRequest(ctx, endpoint, form)
	})
	if fail == nil {
		c.dpop.Learn(endpoint, a.header, a.received)
	}
	return c.authenticated(a), fail
}

// authenticated returns a as the answer to a request with the client's
// authentication.
func (c *Client) authenticated(a answer) answer {
	a.settings = &answerSettings{
		fallback: c.cfg.DefaultLifetime, auth: c.cfg.ClientAuth, secretEnds: c.cfg.ClientSecretExpiresAt,
		endCodes: c.cfg.Preset.EndCodes, tokenPath: c.cfg.TokenPath,
	}
	return a
}

// get asks for endpoint with one GET and the given Authorization header, which
// may be empty. Otherwise it is like post.
func (c *Client) get(ctx context.Context, op, endpoint, authorization string) (answer, *Error) {
	return c.send(ctx, op, func(ctx context.Context) (*http.Request, error) {
		return newBodiless(ctx, http.MethodGet, endpoint, authorization)
	})
}

// newBodiless builds a request without a body. authorization may be empty.
func newBodiless(ctx context.Context, method, endpoint, authorization string) (*http.Request, error) {
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

// send sends the request that build makes, within Config.Timeout.
func (c *Client) send(ctx context.Context, op string, build func(context.Context) (*http.Request, error)) (answer, *Error) {
	if end, bounded := ctx.Deadline(); !bounded || time.Until(end) > c.cfg.Timeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	var trace sendTrace
	req, err := build(trace.watch(ctx))
	if err != nil {
		return answer{}, unsent(op, err)
	}

	a := answer{op: op, sentAt: c.cfg.Now(), settings: &answerSettings{fallback: c.cfg.DefaultLifetime}}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, unanswered(op, err, trace.mayHaveSent(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusProxyAuthRequired {
		return answer{}, proxyAnswered(op)
	}
	// What arrived before an error is kept: the tokens can stand whole in it.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	a.status, a.header, a.received = resp.StatusCode, resp.Header, c.cfg.Now()
	a.body, a.whole = body, err == nil && len(body) <= maxBody
	a.inflate()
	return a, nil
}

// addTokenParams adds Config.TokenParams to a request for the token endpoint.
func (c *Client) addTokenParams(form url.Values) {
	for name, values := range c.cfg.TokenParams {
		if !form.Has(name) {
			form[name] = values
		}
	}
}

// newRequest builds the POST.
func (c *Client) newRequest(ctx context.Context, endpoint string, form url.Values) (*http.Request, error) {
	id, secret := c.cfg.ClientID, c.cfg.ClientSecret
	switch c.cfg.ClientAuth {
	case AuthNone, AuthMTLS, AuthSelfSignedMTLS:
		form.Set("client_id", id)
	case AuthPrivateKeyJWT:
		if err := c.addAssertion(endpoint, form); err != nil {
			return nil, err
		}
	case AuthPost:
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	}
	// A body that is no *strings.Reader leaves req.GetBody nil, without which
	// net/http cannot send the request a second time on its own. HTTP/1 and
	// HTTP/2 both would in some cases after a connection broke.
	text := form.Encode()
	body := struct{ io.Reader }{strings.NewReader(text)}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(text))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	switch c.cfg.ClientAuth {
	case AuthBasic:
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	case AuthBasicRaw:
		req.SetBasicAuth(id, secret)
	}
	return req, nil
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
	return !isConnectError(err)
}
