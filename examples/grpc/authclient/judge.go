package authclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/evertoken/evertoken/oauth"
)

// An outcome is what became of a call that failed, with everything that judging
// it needs.
type outcome struct {
	op       string
	err      error
	sent     bool // the call may have reached the server
	answered bool // the status came from the other side, and not from our own gRPC
	now      time.Time
}

// reasons is the closed list of reasons that decide something, each with the code
// that belongs to it. Kratos gives an ErrorInfo no domain, so that is not looked
// at. oauth.Error knows the finer sentinel of each.
var reasons = map[string]struct {
	code    codes.Code
	kind    error
	perhaps error // what it can mean besides; it is suspected when it lasts
}{
	"TOKEN_INVALID":          {codes.Unauthenticated, oauth.ErrLoginRequired, nil},
	"TOKEN_EXPIRED":          {codes.Unauthenticated, oauth.ErrLoginRequired, nil},
	"TOKEN_REUSED":           {codes.Unauthenticated, oauth.ErrLoginRequired, nil},
	"USER_NOT_FOUND":         {codes.NotFound, oauth.ErrLoginRequired, nil},
	"REFRESH_TOKEN_REQUIRED": {codes.InvalidArgument, oauth.ErrMisconfigured, nil},
	// A switch that lacks a case says it of a dead token as of a database that is down.
	"REFRESH_ERROR": {codes.Internal, oauth.ErrTransient, oauth.ErrTokenInvalid},
}

// httpStatuses are the HTTP statuses that Kratos takes codes for, in which
// oauth.Error speaks of what the server meant: a refusal (4xx), or a bad moment.
// All others are 500. Unlike in Kratos, Aborted is a bad moment: it asks to try
// again.
var httpStatuses = map[codes.Code]int{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.Unauthenticated:    http.StatusUnauthorized,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.Aborted:            http.StatusServiceUnavailable,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
}

// judge decides what a failed call means. Only a closed list of reasons means
// that a login is required. Of the server's words it keeps the reason alone, and
// of our own gRPC's the code: its messages can quote anything.
func judge(o outcome) *oauth.Error {
	st := status.Convert(o.err)
	fail := &oauth.Error{Op: o.op, Kind: oauth.ErrTransient, Sent: o.sent}
	reason, delay := details(st)
	if !o.answered || hearsay(st.Code(), reason, delay) {
		fail.Err = noAnswer(st.Code())
		if !o.sent && st.Code() == codes.Unauthenticated { // nothingButTLS
			fail.Kind, fail.Hint = oauth.ErrMisconfigured, "tokens go over TLS only: give the connection TLS credentials"
		}
		return fail
	}
	fail.Sent, fail.Status = true, http.StatusInternalServerError
	if known, found := httpStatuses[st.Code()]; found {
		fail.Status = known
	}
	if delay > 0 {
		fail.RetryAt = o.now.Round(0).Add(min(delay, maxRetryDelay))
	}
	if plausibleReason(reason) {
		fail.Code = reason
	}
	if st.Code() == codes.Unimplemented {
		fail.Kind, fail.Sent = oauth.ErrMisconfigured, false // nothing has taken it
		fail.Hint = "the server has no such service or method: compare the package and service of its proto file with authclient.Calls"
	}
	if r, found := reasons[reason]; found && r.code == st.Code() {
		fail.Kind, fail.Err = r.kind, r.perhaps
	} else if o.op == opLogin && st.Code() == codes.Unauthenticated {
		fail.Kind = oauth.ErrLoginRequired // a wrong password: no session is at stake
	}
	return fail
}

// maxRetryDelay caps what a server can ask for, so that a typing mistake on its
// side does not end a session for a year.
const maxRetryDelay = time.Hour

// hearsay reports whether a status may be a proxy's word about the server behind
// it. What that has done is as open as if no answer had come. A server that says
// so itself says why, or when to come again.
func hearsay(code codes.Code, reason string, delay time.Duration) bool {
	switch code {
	case codes.Canceled:
		return true
	case codes.Unavailable, codes.DeadlineExceeded:
		return reason == "" && delay <= 0
	}
	return false
}

// details returns the reason of the ErrorInfo and the delay of the RetryInfo in a
// status, as far as it has them.
func details(st *status.Status) (reason string, delay time.Duration) {
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		case *errdetails.RetryInfo:
			delay = d.GetRetryDelay().AsDuration()
		}
	}
	return reason, delay
}

// noAnswer is the cause of a failure without an answer of the server's.
func noAnswer(code codes.Code) error {
	switch code {
	case codes.DeadlineExceeded:
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case codes.Canceled:
		return context.Canceled
	}
	return errors.New("no answer (" + code.String() + ")")
}

// plausibleReason reports whether a reason may be repeated in our messages: it has
// the form that google.rpc.ErrorInfo asks for, without digits, which a token has.
func plausibleReason(reason string) bool {
	return len(reason) <= 40 && strings.Trim(reason, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "" && reason != ""
}
