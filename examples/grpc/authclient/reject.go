package authclient

import (
	"context"
	"io"
	"net/http"
	"strings"
)

// again tells the manager that the server has refused the token of a call, or perhaps, with
// the error given, and makes the call once more if there is a better one. A nil
// repeat means that the call cannot be made again.
//
// What a rejection leads to is the business of refresh.Transport: one refresh for
// a token, however many calls it was rejected in; none if another caller has
// renewed it already, while the server is left alone, or when the token turns out not to be
// the reason. Manager.ForceRefresh would spend a refresh token in all these cases.
// So the call is shown to a Transport, as a request that is answered with 401, 403 or 400
// as long as it carries the rejected token.
func (c carrier) again(ctx context.Context, creds *callCreds, err error, repeat func(*callCreds) error) error {
	rejected, _ := creds.carried()
	refusal, shown := creds.refusal(err), false
	call := roundTripper(func(r *http.Request) int {
		if carries(r.Header, rejected) {
			shown = true
			return refusal
		}
		if repeat == nil {
			return http.StatusOK
		}
		next := &callCreds{Manager: c.manager}
		if err = repeat(next); shown && next.refusal(err) == http.StatusUnauthorized {
			return http.StatusUnauthorized
		}
		return http.StatusOK
	})
	r, reqErr := http.NewRequestWithContext(ctx, http.MethodPost, creds.uri(), nil)
	if reqErr != nil {
		return err
	}
	if repeat == nil {
		r.Body = io.NopCloser(strings.NewReader("")) // without GetBody it cannot be sent again
	}
	_, _ = c.manager.Transport(call).RoundTrip(r) // err says what came of it
	return err
}

// carries reports whether a header has all of the metadata.
func carries(h http.Header, md map[string]string) bool {
	for name, value := range md {
		if h.Get(name) != value {
			return false
		}
	}
	return true
}

// A roundTripper answers requests with a status.
type roundTripper func(*http.Request) int

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	return &http.Response{StatusCode: f(r), Request: r, Header: http.Header{}, Body: http.NoBody}, nil
}
