package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// maxBody bounds what is read of an answer. Token responses with large ID tokens
// reach some tens of kilobytes.
const maxBody = 1 << 20

// DefaultTimeout is how long requests may take where nothing else is configured:
// what people wait for a login server before they give up.
const DefaultTimeout = 30 * time.Second

// A Sender sends requests, each once, and follows no redirect. It is safe for
// concurrent use, and must not be changed once it is used.
type Sender struct {
	HTTP     *http.Client
	Timeout  time.Duration // of each request
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

// Send sends the request that build makes, within s.Timeout.
func (s *Sender) Send(ctx context.Context, op string, build func(context.Context) (*http.Request, error)) (*Answer, *Failure) {
	if end, bounded := ctx.Deadline(); !bounded || time.Until(end) > s.Timeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Timeout)
		defer cancel()
	}
	var trace sendTrace
	req, err := build(trace.watch(ctx))
	if err != nil {
		return nil, unsent(op, err)
	}

	a := &Answer{Op: op, SentAt: s.Now(), Settings: s.Settings}
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return nil, Unanswered(op, err, trace.mayHaveSent(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusProxyAuthRequired {
		return nil, proxyAnswered(op)
	}
	// What arrived before an error is kept: the tokens can stand whole in it.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	a.Status, a.Header, a.Received = resp.StatusCode, resp.Header, s.Now()
	a.Body, a.Whole = body, err == nil && len(body) <= maxBody
	a.inflate()
	return a, nil
}

// Get asks for endpoint with one GET and the given Authorization header, which may be
// empty. Otherwise it is like Send.
func (s *Sender) Get(ctx context.Context, op, endpoint, authorization string) (*Answer, *Failure) {
	return s.Send(ctx, op, func(ctx context.Context) (*http.Request, error) {
		return NewBodiless(ctx, http.MethodGet, endpoint, authorization)
	})
}
