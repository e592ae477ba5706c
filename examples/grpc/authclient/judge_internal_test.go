package authclient

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/evertoken/evertoken/examples/grpc/authpb"
	"github.com/evertoken/evertoken/oauth"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// refused returns a status with the details that are not empty.
func refused(t testing.TB, code codes.Code, reason string, delay time.Duration) error {
	t.Helper()
	var details []protoadapt.MessageV1
	if reason != "" {
		details = append(details, &errdetails.ErrorInfo{Reason: reason})
	}
	if delay != 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	}
	st, err := status.New(code, "secret").WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return st.Err()
}

// saysNo reports whether an error is the server's no to the refresh token.
func saysNo(fail *oauth.Error) bool {
	v := fail.Verdict()
	return v == oauth.VerdictEnded || v == oauth.VerdictUnclear
}

func TestJudgeAnswers(t *testing.T) {
	for _, tt := range []struct {
		code    codes.Code
		reason  string
		delay   time.Duration
		kind    error
		status  int  // 0: unknown
		refused bool // the server looked at the token and said no
		also    error
	}{
		{codes.Unauthenticated, "TOKEN_INVALID", 0, oauth.ErrLoginRequired, 401, true, oauth.ErrTokenInvalid},
		{codes.Unauthenticated, "TOKEN_EXPIRED", 0, oauth.ErrLoginRequired, 401, true, oauth.ErrTokenExpired},
		{codes.Unauthenticated, "TOKEN_REUSED", 0, oauth.ErrLoginRequired, 401, true, oauth.ErrTokenReused},
		{codes.NotFound, "USER_NOT_FOUND", 0, oauth.ErrLoginRequired, 404, true, oauth.ErrUserNotFound},
		{codes.InvalidArgument, "REFRESH_TOKEN_REQUIRED", 0, oauth.ErrMisconfigured, 400, true, oauth.ErrRefreshTokenRequired},

		// What a switch without these cases says of all of them, and of trouble: see F69.
		{codes.Internal, "REFRESH_ERROR", 0, oauth.ErrTransient, 500, true, oauth.ErrTokenInvalid},
		{codes.Unavailable, "REFRESH_ERROR", 0, oauth.ErrTransient, 503, false, nil},

		// A reason with another code, or none of the list, is not a verdict.
		{codes.Internal, "TOKEN_INVALID", 0, oauth.ErrTransient, 500, false, nil},
		{codes.Unavailable, "TOKEN_REUSED", 0, oauth.ErrTransient, 503, false, nil},
		{codes.PermissionDenied, "TOKEN_EXPIRED", 0, oauth.ErrTransient, 403, true, nil},
		{codes.Unauthenticated, "invalid_grant", 0, oauth.ErrTransient, 401, true, nil},
		{codes.Unauthenticated, "token_invalid", 0, oauth.ErrTransient, 401, true, nil},
		{codes.Unauthenticated, "ACCOUNT_LOCKED", 0, oauth.ErrTransient, 401, true, nil},
		{codes.Unauthenticated, "", 0, oauth.ErrTransient, 401, true, nil},
		{codes.NotFound, "", 0, oauth.ErrTransient, 404, true, nil},
		{codes.InvalidArgument, "", 0, oauth.ErrTransient, 400, true, nil},
		{codes.FailedPrecondition, "", 0, oauth.ErrTransient, 400, true, nil},
		{codes.OutOfRange, "", 0, oauth.ErrTransient, 400, true, nil},
		{codes.PermissionDenied, "", 0, oauth.ErrTransient, 403, true, nil},
		{codes.AlreadyExists, "", 0, oauth.ErrTransient, 409, true, nil},

		// A bad moment.
		{codes.ResourceExhausted, "", time.Minute, oauth.ErrTransient, 429, false, nil},
		{codes.Unavailable, "", time.Minute, oauth.ErrTransient, 503, false, nil},
		{codes.Unavailable, "DATABASE_DOWN", 0, oauth.ErrTransient, 503, false, nil},
		{codes.DeadlineExceeded, "DATABASE_DOWN", 0, oauth.ErrTransient, 504, false, nil},
		{codes.Aborted, "", 0, oauth.ErrTransient, 503, false, nil},
		{codes.Internal, "", 0, oauth.ErrTransient, 500, false, nil},
		{codes.Unknown, "", 0, oauth.ErrTransient, 500, false, nil},
		{codes.DataLoss, "", 0, oauth.ErrTransient, 500, false, nil},
		{codes.Unimplemented, "", 0, oauth.ErrMisconfigured, 501, false, nil},
		{codes.Code(99), "", 0, oauth.ErrTransient, 500, false, nil},

		// Perhaps a proxy's word: what the server behind it has done is open.
		{codes.Unavailable, "", 0, oauth.ErrTransient, 0, false, nil},
		{codes.DeadlineExceeded, "", 0, oauth.ErrTransient, 0, false, context.DeadlineExceeded},
		{codes.Canceled, "", 0, oauth.ErrTransient, 0, false, context.Canceled},
		{codes.Canceled, "TOKEN_INVALID", 0, oauth.ErrTransient, 0, false, nil},
	} {
		fail := judge(outcome{op: opRefresh, err: refused(t, tt.code, tt.reason, tt.delay), sent: true, answered: true, now: now})
		if fail.Kind != tt.kind || fail.Status != tt.status || saysNo(fail) != tt.refused || fail.Unknown() != (tt.status == 0) {
			t.Errorf("%v %s: %v, refused %v, unknown %v; want %v, HTTP %d, %v, %v", tt.code, tt.reason,
				fail, saysNo(fail), fail.Unknown(), tt.kind, tt.status, tt.refused, tt.status == 0)
		}
		if tt.also != nil && !errors.Is(fail, tt.also) {
			t.Errorf("%v %s: %v; want %q too", tt.code, tt.reason, fail, tt.also)
		}
		if want := now.Add(tt.delay); tt.delay > 0 && !fail.RetryAt.Equal(want) || tt.delay == 0 && !fail.RetryAt.IsZero() {
			t.Errorf("%v %s: to be asked again at %v; want %v", tt.code, tt.reason, fail.RetryAt, want)
		}
	}
}

func TestJudgeWithoutAnAnswer(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Internal,
		codes.ResourceExhausted, codes.PermissionDenied, codes.Unauthenticated} {
		err := refused(t, code, "TOKEN_INVALID", 0)
		fail := judge(outcome{op: opRefresh, err: err, sent: true, now: now})
		if fail.Kind != oauth.ErrTransient || !fail.Unknown() || saysNo(fail) {
			t.Errorf("%v after sending: %v; want an unknown outcome", code, fail)
		}
		fail = judge(outcome{op: opRefresh, err: err, now: now})
		want := oauth.ErrTransient
		if code == codes.Unauthenticated { // of our own gRPC: no TLS
			want = oauth.ErrMisconfigured
		}
		if fail.Kind != want || fail.Sent || fail.Unknown() || saysNo(fail) {
			t.Errorf("%v before sending: %v, sent %v; want %v, not sent", code, fail, fail.Sent, want)
		}
	}
}

func TestRetryDelayIsCapped(t *testing.T) {
	fail := judge(outcome{op: opRefresh, err: refused(t, codes.Unavailable, "", 1000*time.Hour), answered: true, now: now})
	if want := now.Add(time.Hour); !fail.RetryAt.Equal(want) {
		t.Errorf("to be asked again at %v; want %v", fail.RetryAt, want)
	}
}

func TestWrongPasswordIsNoVerdictOnARefreshToken(t *testing.T) {
	err := refused(t, codes.Unauthenticated, "INVALID_CREDENTIALS", 0)
	for op, want := range map[string]error{opLogin: oauth.ErrLoginRequired, opRefresh: oauth.ErrTransient} {
		if fail := judge(outcome{op: op, err: err, sent: true, answered: true, now: now}); fail.Kind != want {
			t.Errorf("%s: %v; want %v", op, fail, want)
		}
	}
}

func TestLifetimeOfAPair(t *testing.T) {
	// iat 1000, exp 4600: an hour.
	const jwt = "eyJhbGciOiJub25lIn0.eyJpYXQiOjEwMDAsImV4cCI6NDYwMH0."
	for _, tt := range []struct {
		access    string
		expiresIn int64
		want      time.Duration
		known     bool
	}{
		{"opaque", 900, 15 * time.Minute, true},
		{jwt, 900, 15 * time.Minute, true},
		{jwt, 0, time.Hour, true},
		{jwt, 5_000_000_000, time.Hour, true}, // nanoseconds
		{"opaque", 0, 0, false},
		{"opaque", 5_000_000_000, 0, false},
		{jwt, -3, 0, true},
	} {
		p, err := readPair(opRefresh, &authpb.RefreshTokenReply{AccessToken: tt.access, RefreshToken: jwt, ExpiresIn: tt.expiresIn}, now)
		if err != nil {
			t.Fatal(err)
		}
		if p.ExpiresAt.IsZero() == tt.known || tt.known && !p.ExpiresAt.Equal(now.Add(tt.want)) {
			t.Errorf("expires_in %d: dies at %v; want %v after %v", tt.expiresIn, p.ExpiresAt, tt.want, now)
		}
		if want := now.Add(time.Hour); !p.RefreshExpiresAt.Equal(want) {
			t.Errorf("the session ends at %v; want %v", p.RefreshExpiresAt, want)
		}
	}
	for _, reply := range []Reply{nil, (*authpb.RefreshTokenReply)(nil), new(authpb.RefreshTokenReply), &authpb.RefreshTokenReply{AccessToken: "  "}} {
		_, err := readPair(opRefresh, reply, now)
		var fail *oauth.Error
		if !errors.As(err, &fail) || !errors.Is(err, oauth.ErrUnreadAnswer) || !errors.Is(err, oauth.ErrMisconfigured) || fail.Unknown() {
			t.Errorf("no access token: %v; want an answer that is not to be asked for again", err)
		}
	}
	for _, access := range []string{"a\nb", "a\x7f", "ä"} {
		_, err := readPair(opRefresh, &authpb.RefreshTokenReply{AccessToken: access, ExpiresIn: 900}, now)
		var fail *oauth.Error
		if !errors.As(err, &fail) || !fail.Unknown() {
			t.Errorf("access token %q: %v; want an unknown outcome", access, err)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(uint32(16), "TOKEN_INVALID", int64(0), true, true)
	f.Add(uint32(16), "eyJhbGciOiJub25lIn0", int64(-1), true, false)
	f.Add(uint32(14), "", int64(time.Minute), false, false)
	f.Add(uint32(12), "", int64(time.Minute), false, true)
	f.Fuzz(func(t *testing.T, code uint32, reason string, delay int64, sent, answered bool) {
		if codes.Code(code) == codes.OK || !utf8.ValidString(reason) {
			return // no status, and nothing that gRPC would carry
		}
		err := refused(t, codes.Code(code), reason, time.Duration(delay))
		fail := judge(outcome{op: opRefresh, err: err, sent: sent, answered: answered, now: now})
		listed, found := reasons[reason]
		if (fail.Kind == oauth.ErrLoginRequired) != (answered && found && listed.kind == oauth.ErrLoginRequired && listed.code == codes.Code(code)) {
			t.Errorf("%v", fail)
		}
		if fail.Kind == nil || fail.RetryAt.After(now.Add(time.Hour)) ||
			answered && fail.Status != 0 && !fail.Sent && codes.Code(code) != codes.Unimplemented { // which nothing has taken
			t.Errorf("%v, again at %v, sent %v", fail, fail.RetryAt, fail.Sent)
		}
		if strings.Contains(fail.Error(), "secret") || fail.Code != "" && (fail.Code != reason || strings.ContainsAny(reason, "0123456789 .:%abcdefghijklmnopqrstuvwxyz")) {
			t.Errorf("%v repeats the server's words", fail)
		}
	})
}

func FuzzReadPair(f *testing.F) {
	f.Add("a", "b", int64(900))
	f.Add("eyJhbGciOiJub25lIn0.eyJpYXQiOjEwMDAsImV4cCI6NDYwMH0.", "..", int64(0))
	f.Fuzz(func(t *testing.T, access, refresh string, expiresIn int64) {
		p, err := readPair(opRefresh, &authpb.RefreshTokenReply{AccessToken: access, RefreshToken: refresh, ExpiresIn: expiresIn}, now)
		if (p == nil) == (err == nil) {
			t.Fatalf("pair %v and error %v; want one of them", p, err)
		}
		if p == nil {
			return
		}
		if far := now.Add(maxLifetime); p.ExpiresAt.After(far) || p.RefreshExpiresAt.After(far) ||
			!p.ExpiresAt.IsZero() && p.ExpiresAt.Before(now) || !p.RefreshExpiresAt.IsZero() && !p.RefreshExpiresAt.After(now) {
			t.Errorf("a life until %v and %v", p.ExpiresAt, p.RefreshExpiresAt)
		}
	})
}
