package bridge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
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

// refused returns what an answer refuses, and ends it.
func refused(resp *http.Response) *refusal {
	drop(resp)
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

// again reports whether what changes nothing and has failed is to be tried again, and when. It
// has had nothing from the server since the given time.
func (b *bridge) again(err error, since time.Time) (wait time.Duration, try bool) {
	r, is := errors.AsType[*refusal](err)
	switch {
	case is && isBusy(r.status):
		return r.wait, true
	case is && mayPass(r.status):
		return r.wait, time.Since(since) < patience
	case errors.Is(err, errNoResult):
		return retryPause, time.Since(since) < patience
	}
	return retryPause, b.Passes(err)
}

// retryAfter returns how long a server wants to be left alone.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if seconds <= 0 || err != nil && !errors.Is(err, strconv.ErrRange) {
		return retryPause
	}
	return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
}

func drop(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}
