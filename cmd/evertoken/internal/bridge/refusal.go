package bridge

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/drain"
	"github.com/evertoken/evertoken/internal/retryafter"
)

// patience is how long what changes nothing is tried at a server that is there and does not do
// it: a restart or a deployment takes less.
const patience = 5 * time.Minute

// A refusal is a status in place of an answer.
type refusal struct {
	status int
	wait   time.Duration // what the server asks for
}

func (r *refusal) Error() string { return fmt.Sprintf("the server says HTTP %d", r.status) }

// maxAnswerTime is how long the body of an answer may take that is short: a refusal, or the
// beginning of a session. Servers under load take seconds.
const maxAnswerTime = 20 * time.Second

// bounded ends an answer's body after maxAnswerTime, until the function that it returns is called.
func bounded(resp *http.Response) func() bool {
	return time.AfterFunc(maxAnswerTime, func() { _ = resp.Body.Close() }).Stop
}

// refused returns what an answer refuses, and ends it.
func refused(resp *http.Response) *refusal {
	drain.Response(resp)
	return &refusal{resp.StatusCode, retryAfter(resp.Header)}
}

// isBusy reports whether a status says that a request was not carried out, and may be later.
func isBusy(status int) bool {
	return status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
}

// mayPass reports whether a status may be another one in a moment, as a gateway's before a server
// that is being restarted. A request may have been carried out nevertheless.
func mayPass(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	}
	return isBusy(status)
}

// errNoResult is why a session was not begun whose server has ended its answer.
var errNoResult = errors.New("the server ends its answer without a result")

// A cut is why there is no answer to a request that was sent: the connection broke. A request
// without a token, or one that waits for a login, fails otherwise, and asking again would ask a person.
type cut struct{ error }

func (c cut) Unwrap() error { return c.error }

// do sends a request, and calls sent when it is on its way.
func (b *bridge) do(req *http.Request, sent func()) (*http.Response, error) {
	var unanswered atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { unanswered.Store(true); sent() },
		GotFirstResponseByte: func() { unanswered.Store(false) },
	})
	resp, err := b.Client.Do(req.WithContext(ctx))
	if err != nil && unanswered.Load() {
		return nil, cut{err}
	}
	return resp, err
}

// again reports whether what changes nothing and has failed is to be tried again, and when. It
// has had nothing from the server since the given time.
func (b *bridge) again(err error, since time.Time) (wait time.Duration, try bool) {
	r, is := errors.AsType[*refusal](err)
	_, broke := errors.AsType[cut](err)
	switch {
	case is && isBusy(r.status):
		return r.wait, true
	case is && (mayPass(r.status) || r.status == http.StatusNotFound): // a gateway's, while there is no server behind it
		return r.wait, time.Since(since) < patience
	case broke, errors.Is(err, errNoResult):
		return retryPause, time.Since(since) < patience
	}
	return retryPause, b.Passes(err)
}

// retryAfter returns how long a server wants to be left alone, within our limits.
func retryAfter(header http.Header) time.Duration {
	wait, _ := retryafter.Wait(header, time.Now())
	return min(max(wait, retryPause), maxRetryAfter)
}
