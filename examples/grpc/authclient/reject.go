package authclient

import (
	"context"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc"
)

// again tells the manager that the server has rejected the token of a call, with
// the error given, and makes the call once more if there is a better one. A nil
// repeat means that the call cannot be made again.
//
// What a rejection leads to is the business of refresh.Transport: one refresh for
// a token, however many calls it was rejected in; none if another caller has
// renewed it already, while the server is left alone, or when the token turns out not to be
// the reason. Manager.ForceRefresh would spend a refresh token in all these cases.
// So the call is shown to a Transport, as a request that is answered with 401 as
// long as it carries the rejected token.
func (c carrier) again(ctx context.Context, cc *grpc.ClientConn, creds *callCreds, err error, repeat func(*callCreds) error) error {
	rejected, _ := creds.carried()
	shown := false
	call := roundTripper(func(r *http.Request) int {
		if r.Header.Get("Authorization") == rejected {
			shown = true
			return http.StatusUnauthorized
		}
		if repeat == nil {
			return http.StatusOK
		}
		next := &callCreds{Manager: c.manager}
		if err = repeat(next); shown && next.rejected(err) {
			return http.StatusUnauthorized
		}
		return http.StatusOK
	})
	r, reqErr := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host(cc.Target()), nil)
	if reqErr != nil {
		return err
	}
	if repeat == nil {
		r.Body = io.NopCloser(strings.NewReader("")) // without GetBody it cannot be sent again
	}
	_, _ = c.manager.Transport(call).RoundTrip(r) // err says what came of it
	return err
}

// host returns the end of a target such as dns:///api.example.com:443.
func host(target string) string { return target[strings.LastIndexByte(target, '/')+1:] }

// A roundTripper answers requests with a status.
type roundTripper func(*http.Request) int

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	return &http.Response{StatusCode: f(r), Request: r, Header: http.Header{}, Body: http.NoBody}, nil
}
