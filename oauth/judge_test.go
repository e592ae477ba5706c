package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/wire"
	"github.com/golang-jwt/jwt/v5"
)

// planted is in every body below and must be in no error.
const planted = "PLANTED-eyJhbGciOi.s3cr3t"

var (
	sentAt     = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	receivedAt = sentAt.Add(300 * time.Millisecond)
)

// answered is an answer to op as the network gave it.
func answered(op string, status int, body string, headers ...string) *wire.Answer {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &wire.Answer{Op: op, Status: status, Header: h, Body: []byte(body), Whole: true, SentAt: sentAt, Received: receivedAt}
}

// oauthError is an error document with a secret in its description.
func oauthError(code string) string {
	return fmt.Sprintf(`{"error":%q,"error_description":%q,"error_uri":"https://x/?t=%s"}`, code, planted, planted)
}

const html = "<!DOCTYPE html><title>Sign in</title><p>" + planted

// outcomes is the table "What came back, and what it means", as far as the
// answer alone decides it.
var outcomes = []struct {
	name   string
	op     string // refresh if empty
	status int
	body   string

	want      error // nil: a pair
	reason    error
	code      string
	verdict   Verdict
	page      bool
	bodyIsCut bool
}{
	{name: "usable token", status: 200, body: `{"access_token":"a","token_type":"Bearer"}`},
	{name: "usable token as 201", status: 201, body: `{"access_token":"a"}`},
	{name: "usable token beside an error field", status: 200, body: `{"access_token":"a","error":"server_error"}`},

	{name: "200 empty", status: 200, body: ``, want: ErrTransient, verdict: VerdictUnknown},
	{name: "200 HTML", status: 200, body: html, want: ErrTransient, page: true, verdict: VerdictUnknown},
	{name: "200 cut", status: 200, body: `{"access_token":"` + planted, want: ErrTransient, bodyIsCut: true, verdict: VerdictUnknown},
	{name: "200 whole JSON of a cut answer", status: 200, body: `{"access_token":"` + planted + `"}`, bodyIsCut: true},
	{name: "200 tokens elsewhere", status: 200, body: `{"ok":true,"user":{"accessToken":"` + planted + `"}}`, want: ErrMisconfigured, verdict: VerdictUnread},
	{name: "200 without token", status: 200, body: `{"token_type":"Bearer"}`, want: ErrMisconfigured, verdict: VerdictUnread},
	{name: "200 null", status: 200, body: `null`, want: ErrTransient, verdict: VerdictUnclear},
	{name: "200 array", status: 200, body: `["` + planted + `"]`, want: ErrMisconfigured, verdict: VerdictUnread},
	{name: "200 token is null", status: 200, body: `{"access_token":null}`, want: ErrTransient, verdict: VerdictUnclear},
	{name: "200 token is a number", status: 200, body: `{"access_token":5}`, want: ErrTransient, verdict: VerdictUnclear},
	{name: "200 token is blank", status: 200, body: `{"access_token":"  "}`, want: ErrTransient, verdict: VerdictUnclear},
	{name: "200 token breaks a header", status: 200, body: `{"access_token":"a\r\nX-Evil: 1"}`, want: ErrTransient, verdict: VerdictUnclear},
	{name: "200 token is not ASCII", status: 200, body: `{"access_token":"ä"}`, want: ErrTransient, verdict: VerdictUnclear},
	{name: "200 with a refusal", status: 200, body: oauthError("invalid_grant"), want: ErrLoginRequired, code: "invalid_grant", verdict: VerdictEnded},
	{name: "204", status: 204, want: ErrTransient, verdict: VerdictUnknown},

	{name: "301", status: 301, body: html, want: ErrMisconfigured, page: true, verdict: VerdictSettings},
	{name: "307", status: 307, body: oauthError("invalid_grant"), want: ErrMisconfigured, verdict: VerdictSettings},
	{name: "304", status: 304, want: ErrMisconfigured, verdict: VerdictSettings},

	{name: "400 invalid_grant", status: 400, body: oauthError("invalid_grant"), want: ErrLoginRequired, code: "invalid_grant", verdict: VerdictEnded},
	{name: "401 invalid_grant", status: 401, body: oauthError("invalid_grant"), want: ErrLoginRequired, code: "invalid_grant", verdict: VerdictEnded},
	{name: "403 invalid_grant", status: 403, body: oauthError("invalid_grant"), want: ErrLoginRequired, code: "invalid_grant", verdict: VerdictEnded},
	{name: "TOKEN_EXPIRED", status: 401, body: `{"error":"TOKEN_EXPIRED"}`, want: ErrLoginRequired, reason: ErrTokenExpired, code: "TOKEN_EXPIRED", verdict: VerdictEnded},
	{name: "TOKEN_REUSED", status: 401, body: `{"error":{"code":401,"reason":"TOKEN_REUSED"}}`, want: ErrLoginRequired, reason: ErrTokenReused, code: "TOKEN_REUSED", verdict: VerdictEnded},
	{name: "TOKEN_INVALID", status: 401, body: `{"error":{"code":"TOKEN_INVALID"}}`, want: ErrLoginRequired, reason: ErrTokenInvalid, code: "TOKEN_INVALID", verdict: VerdictEnded},
	{name: "USER_NOT_FOUND", status: 404, body: `{"error":"USER_NOT_FOUND"}`, want: ErrLoginRequired, reason: ErrUserNotFound, code: "USER_NOT_FOUND", verdict: VerdictEnded},
	{name: "REFRESH_TOKEN_REQUIRED", status: 400, body: `{"error":"REFRESH_TOKEN_REQUIRED"}`, want: ErrMisconfigured, reason: ErrRefreshTokenRequired, code: "REFRESH_TOKEN_REQUIRED", verdict: VerdictUnclear},

	{name: "400 the login_required family", status: 400, body: oauthError("interaction_required"), want: ErrLoginRequired, code: "interaction_required", verdict: VerdictEnded},
	{name: "200 bad_refresh_token", status: 200, body: oauthError("bad_refresh_token"), want: ErrLoginRequired, reason: ErrTokenInvalid, code: "bad_refresh_token", verdict: VerdictEnded},
	{name: "200 with a word that says trouble", status: 200, body: `{"ok":false,"error":"ratelimited"}`, want: ErrTransient, code: "ratelimited", verdict: VerdictTrouble},
	{name: "400 in camel case", status: 400, body: `{"error":"tokenReused"}`, want: ErrLoginRequired, reason: ErrTokenReused, code: "tokenReused", verdict: VerdictEnded},
	{name: "400 with a description behind the code", status: 400, body: `{"error":"invalid_grant: ` + planted + `"}`, want: ErrLoginRequired, code: "invalid_grant", verdict: VerdictEnded},
	{name: "400 invalid_grant that calls itself transient", status: 400, body: `{"error":"invalid_grant","is_transient":true}`, want: ErrTransient, code: "invalid_grant", verdict: VerdictTrouble},
	{name: "400 invalid_grant with words of advice", status: 400, body: `{"error":"invalid_grant","error_description":"temporarily gone, try again later"}`, want: ErrLoginRequired, code: "invalid_grant", verdict: VerdictEnded},

	{name: "400 throttled by its type", status: 400, body: `{"__type":"com.example#TooManyRequestsException","message":"` + planted + `"}`, want: ErrTransient, verdict: VerdictTrouble},
	{name: "400 throttled by its message", status: 400, body: `{"message":"Rate exceeded"}`, want: ErrTransient, verdict: VerdictTrouble},
	{name: "403 with a status of its own", status: 403, body: `{"status":503,"title":"x"}`, want: ErrTransient, verdict: VerdictTrouble},
	{name: "200 with a refusal's status of its own", status: 200, body: `{"status":401,"error":"invalid_token: ` + planted + `"}`, want: ErrTransient, code: "invalid_token", verdict: VerdictUnclear},
	{name: "200 with a status of its own and words", status: 200, body: `{"status":601,"error":"Too Many Requests"}`, want: ErrTransient, verdict: VerdictTrouble},
	{name: "400 whose error is an object of trouble", status: 400, body: `{"error":{"code":429,"message":"` + planted + `"}}`, want: ErrTransient, verdict: VerdictTrouble},
	{name: "400 with a list of errors", status: 400, body: `{"errors":[{"code":"server_busy"}]}`, want: ErrTransient, verdict: VerdictTrouble},

	{name: "401 disabled_client", status: 401, body: oauthError("disabled_client"), want: ErrMisconfigured, code: "disabled_client", verdict: VerdictClient},
	{name: "200 incorrect_client_credentials", status: 200, body: oauthError("incorrect_client_credentials"), want: ErrMisconfigured, code: "incorrect_client_credentials", verdict: VerdictClient},
	{name: "400 with a number for an ended secret", status: 400, body: `{"error":"odd_one","error_codes":[7000222]}`, want: ErrMisconfigured, code: "odd_one", verdict: VerdictClient},
	{name: "invalid_client", status: 401, body: oauthError("invalid_client"), want: ErrMisconfigured, code: "invalid_client", verdict: VerdictClient},
	{name: "unauthorized_client", status: 400, body: oauthError("unauthorized_client"), want: ErrMisconfigured, code: "unauthorized_client", verdict: VerdictClient},
	{name: "invalid_scope", status: 400, body: oauthError("invalid_scope"), want: ErrMisconfigured, code: "invalid_scope", verdict: VerdictUnclear},
	{name: "invalid_request", status: 400, body: oauthError("invalid_request"), want: ErrMisconfigured, code: "invalid_request", verdict: VerdictUnclear},
	{name: "unsupported_grant_type", status: 400, body: oauthError("unsupported_grant_type"), want: ErrMisconfigured, code: "unsupported_grant_type", verdict: VerdictUnclear},
	{name: "invalid_target", status: 400, body: oauthError("invalid_target"), want: ErrMisconfigured, code: "invalid_target", verdict: VerdictUnclear},

	{name: "400 empty", status: 400, want: ErrTransient, verdict: VerdictUnclear},
	{name: "400 text", status: 400, body: planted, want: ErrTransient, verdict: VerdictUnclear},
	{name: "400 another code", status: 400, body: oauthError("use_your_head"), want: ErrTransient, code: "use_your_head", verdict: VerdictUnclear},
	{name: "401 code and message", status: 401, body: `{"code":"invalid_grant","message":"` + planted + `"}`, want: ErrLoginRequired, code: "invalid_grant", verdict: VerdictEnded},
	{name: "401 another word that ends sessions as code", status: 401, body: `{"code":"token_expired","message":"` + planted + `"}`, want: ErrTransient, verdict: VerdictUnclear},
	{name: "401 another dialect's code", status: 401, body: `{"error":{"code":40}}`, want: ErrTransient, verdict: VerdictUnclear},
	{name: "400 access_denied is not a verdict on a session", status: 400, body: oauthError("access_denied"), want: ErrTransient, code: "access_denied", verdict: VerdictUnclear},
	{name: "400 expired_token is not a verdict on a session", status: 400, body: oauthError("expired_token"), want: ErrTransient, code: "expired_token", verdict: VerdictUnclear},
	{name: "400 cut invalid_grant", status: 400, body: oauthError("invalid_grant"), want: ErrTransient, bodyIsCut: true, verdict: VerdictUnclear},
	{name: "400 code with spaces", status: 400, body: oauthError("invalid_grant "), want: ErrLoginRequired, code: "invalid_grant", verdict: VerdictEnded},
	{name: "400 code in mixed case", status: 400, body: oauthError("Invalid_Grant"), want: ErrLoginRequired, code: "Invalid_Grant", verdict: VerdictEnded},
	{name: "400 a token for a code", status: 400, body: oauthError(planted), want: ErrTransient, verdict: VerdictUnclear},
	{name: "404", status: 404, body: planted, want: ErrTransient, verdict: VerdictUnclear},
	{name: "415", status: 415, body: planted, want: ErrTransient, verdict: VerdictUnclear},
	{name: "403 HTML of a firewall", status: 403, body: html, want: ErrTransient, page: true},
	{name: "400 HTML after white space", status: 400, body: "\r\n  " + html, want: ErrTransient, page: true},
	{name: "400 use_dpop_nonce", status: 400, body: oauthError("use_dpop_nonce"), want: ErrTransient, code: "use_dpop_nonce"},

	{name: "408", status: 408, body: oauthError("invalid_grant"), want: ErrTransient, code: "invalid_grant"},
	{name: "425", status: 425, want: ErrTransient},
	{name: "429", status: 429, body: oauthError("slow_down"), want: ErrTransient, code: "slow_down"},
	{name: "429 invalid_grant", status: 429, body: oauthError("invalid_grant"), want: ErrTransient, code: "invalid_grant"},
	{name: "500 server_error", status: 500, body: oauthError("server_error"), want: ErrTransient, code: "server_error"},
	{name: "500 invalid_grant", status: 500, body: oauthError("invalid_grant"), want: ErrTransient, code: "invalid_grant"},
	{name: "500 words that are not OAuth's", status: 500, body: oauthError("nil_pointer"), want: ErrTransient},
	{name: "500 HTML", status: 500, body: html, want: ErrTransient, page: true},
	{name: "502", status: 502, body: html, want: ErrTransient, page: true},
	{name: "503", status: 503, body: html, want: ErrTransient, page: true},
	{name: "400 temporarily_unavailable", status: 400, body: oauthError("temporarily_unavailable"), want: ErrTransient, code: "temporarily_unavailable"},
	{name: "400 server_error", status: 400, body: oauthError("server_error"), want: ErrTransient, code: "server_error"},
	{name: "400 slow_down", status: 400, body: oauthError("slow_down"), want: ErrTransient, code: "slow_down"},
	{name: "no HTTP status", status: 999, body: oauthError("invalid_grant"), want: ErrTransient, code: "invalid_grant"},
	{name: "101", status: 101, want: ErrTransient},

	{name: "device pending as 400", op: opDevice, status: 400, body: oauthError("authorization_pending"), want: ErrTransient, code: "authorization_pending"},
	{name: "device pending as 401", op: opDevice, status: 401, body: oauthError("authorization_pending"), want: ErrTransient, code: "authorization_pending"},
	{name: "device pending as 200", op: opDevice, status: 200, body: oauthError("authorization_pending"), want: ErrTransient, code: "authorization_pending"},
	{name: "device denied", op: opDevice, status: 400, body: oauthError("access_denied"), want: ErrLoginRequired, reason: ErrAccessDenied, code: "access_denied", verdict: VerdictEnded},
	{name: "device denied as 200", op: opDevice, status: 200, body: oauthError("access_denied"), want: ErrLoginRequired, reason: ErrAccessDenied, code: "access_denied", verdict: VerdictEnded},
	{name: "device declined", op: opDevice, status: 400, body: oauthError("authorization_declined"), want: ErrLoginRequired, reason: ErrAccessDenied, code: "authorization_declined", verdict: VerdictEnded},
	{name: "device code ended", op: opDevice, status: 400, body: oauthError("expired_token"), want: ErrLoginRequired, reason: ErrCodeExpired, code: "expired_token", verdict: VerdictEnded},
	{name: "code refused", op: opExchange, status: 400, body: oauthError("invalid_grant"), want: ErrLoginRequired, code: "invalid_grant", verdict: VerdictEnded},
}

func TestEveryAnswerHasItsMeaning(t *testing.T) {
	for _, tt := range outcomes {
		t.Run(tt.name, func(t *testing.T) {
			op := tt.op
			if op == "" {
				op = opRefresh
			}
			a := answered(op, tt.status, tt.body)
			a.Whole = !tt.bodyIsCut
			pair, fail := judge(a)
			if tt.want == nil {
				if pair == nil || fail != nil {
					t.Fatalf("got pair %v, error %v; want a pair", pair, fail)
				}
				return
			}
			if pair != nil || fail == nil {
				t.Fatalf("got pair %v, error %v; want an error", pair, fail)
			}
			for _, kind := range []error{ErrLoginRequired, ErrTransient, ErrMisconfigured} {
				if got := errors.Is(fail, kind); got != (kind == tt.want) {
					t.Errorf("errors.Is(%q, %q) = %v; want only %q", fail, kind, got, tt.want)
				}
			}
			for _, reason := range []error{ErrTokenExpired, ErrTokenReused, ErrTokenInvalid, ErrUserNotFound, ErrRefreshTokenRequired, ErrAccessDenied, ErrCodeExpired} {
				if got := errors.Is(fail, reason); got != (reason == tt.reason) {
					t.Errorf("errors.Is(%q, %q) = %v; want reason %v", fail, reason, got, tt.reason)
				}
			}
			if fail.Op != op || fail.Code != tt.code || fail.Status != tt.status || !fail.Sent {
				t.Errorf("op %q, code %q, status %d, sent %v; want %q, %q, %d, true", fail.Op, fail.Code, fail.Status, fail.Sent, op, tt.code, tt.status)
			}
			if v := fail.Verdict(); v != tt.verdict || fail.Unknown() != (v == VerdictUnknown) {
				t.Errorf("verdict %q, unknown %v; want %q", v, fail.Unknown(), tt.verdict)
			}
			if fail.Page != tt.page {
				t.Errorf("page %v; want %v", fail.Page, tt.page)
			}
			if strings.Contains(fail.Error(), "PLANTED") {
				t.Errorf("the body is in the error: %s", fail)
			}
		})
	}
}

func TestRetryAfterIsRead(t *testing.T) {
	after := func(d time.Duration) time.Time { return receivedAt.Add(d) }
	for _, tt := range []struct {
		name, retryAfter, date string
		status                 int
		want                   time.Time
	}{
		{name: "seconds", retryAfter: "120", status: 429, want: after(2 * time.Minute)},
		{name: "seconds on 503", retryAfter: " 7 ", status: 503, want: after(7 * time.Second)},
		{name: "seconds on 400", retryAfter: "7", status: 400, want: after(7 * time.Second)},
		{name: "date by a clock that agrees", retryAfter: "Fri, 20 Nov 2026 10:02:00 GMT", date: "Fri, 20 Nov 2026 10:00:00 GMT", status: 503, want: after(2 * time.Minute)},
		{name: "date by a clock an hour ahead", retryAfter: "Fri, 20 Nov 2026 11:02:00 GMT", date: "Fri, 20 Nov 2026 11:00:00 GMT", status: 503, want: after(2 * time.Minute)},
		{name: "date without Date", retryAfter: "Fri, 20 Nov 2026 10:02:00 GMT", status: 503, want: sentAt.Add(2 * time.Minute)},
		{name: "a year is cut to an hour", retryAfter: "31536000", status: 429, want: after(time.Hour)},
		{name: "more than fits is cut", retryAfter: "9223372036854775807", status: 429, want: after(time.Hour)},
		{name: "a date next year is cut to an hour", retryAfter: "Sat, 20 Nov 2027 10:00:00 GMT", status: 503, want: after(time.Hour)},
		{name: "more than fits by far is cut", retryAfter: "99999999999999999999999", status: 503, want: after(time.Hour)},
		{name: "the last date there is", retryAfter: "Fri, 31 Dec 9999 23:59:59 GMT", status: 503, want: after(time.Hour)},
		{name: "the last date, by the first clock", retryAfter: "Fri, 31 Dec 9999 23:59:59 GMT", date: "Mon, 01 Jan 0001 00:00:00 GMT", status: 503, want: after(time.Hour)},
		{name: "the first date, by the last clock", retryAfter: "Mon, 01 Jan 0001 00:00:00 GMT", date: "Fri, 31 Dec 9999 23:59:59 GMT", status: 503},
		{name: "negative by far", retryAfter: "-99999999999999999999999", status: 503},
		{name: "no number", retryAfter: "NaN", status: 503},
		{name: "infinite", retryAfter: "Infinity", status: 503},
		{name: "hexadecimal", retryAfter: "0x10", status: 503},
		{name: "long", retryAfter: strings.Repeat("9", 200_000), status: 503, want: after(time.Hour)},
		{name: "past date", retryAfter: "Fri, 20 Nov 2020 10:02:00 GMT", status: 503},
		{name: "zero", retryAfter: "0", status: 503},
		{name: "negative", retryAfter: "-5", status: 503},
		{name: "nonsense", retryAfter: "soon", status: 503},
		{name: "absent", status: 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, fail := judge(answered(opRefresh, tt.status, "", "Retry-After", tt.retryAfter, "Date", tt.date))
			if !fail.RetryAt.Equal(tt.want) {
				t.Errorf("retry at %v; want %v", fail.RetryAt, tt.want)
			}
		})
	}
}

// What a body asks for has the limits of the header.
func TestWaitInABodyIsRead(t *testing.T) {
	for wait, want := range map[string]time.Duration{
		`7`: 8 * time.Second, `"7"`: 8 * time.Second, `7.5`: 8 * time.Second, `0`: time.Second, `3599`: time.Hour, `3600`: time.Hour, `1e18`: time.Hour,
		`9223372036854775807`: time.Hour, `99999999999999999999999`: time.Hour, `1e300`: time.Hour, `"Infinity"`: time.Hour,
		`-1`: 0, `-1e300`: 0, `"NaN"`: 0, `"soon"`: 0, `null`: 0, `{}`: 0, `[[7]]`: 0,
	} {
		var at time.Time
		if want > 0 {
			at = receivedAt.Add(want)
		}
		_, fail := judge(answered(opRefresh, 429, `{"error":"slow_down","retry_after":`+wait+`}`, "Content-Type", "application/json"))
		if !fail.RetryAt.Equal(at) {
			t.Errorf("retry_after %s: retry at %v; want %v", wait, fail.RetryAt, at)
		}
	}
}

func TestF47_ExpiresInHasDefinedMeaning(t *testing.T) {
	hour := sentAt.Add(time.Hour)
	var unknown time.Time
	for _, tt := range []struct {
		expiresIn string // "" means absent
		want      time.Time
		received  int64
	}{
		{`3600`, hour, 3600},
		{`"3600"`, hour, 3600},
		{`" 3600 "`, hour, 3600},
		{`3600.9`, hour, 3600},
		{`"3.6e3"`, hour, 3600},
		{`3.6e3`, hour, 3600},
		{`1`, sentAt.Add(time.Second), 1},
		{``, unknown, 0},
		{`null`, unknown, 0},
		{`true`, unknown, 0},
		{`"soon"`, unknown, 0},
		{`""`, unknown, 0},
		{`[3600]`, sentAt.Add(time.Hour), 3600},
		{`["3600"]`, sentAt.Add(time.Hour), 3600},
		{`[3600,60]`, unknown, 0},
		{`{"s":3600}`, unknown, 0},
		{`"NaN"`, unknown, 0},
		{`0`, unknown, 0},
		{`0.5`, unknown, 0},
		{`-3`, sentAt, -3},
		{`"-3"`, sentAt, -3},
		{`5000000000`, unknown, 5000000000}, // five seconds in nanoseconds
		{`1e12`, unknown, 1e12},
		{`9223372036854775807`, unknown, 1<<63 - 1},
		{`9223372036854775808`, unknown, 1<<63 - 1},
		{`1e400`, unknown, 1<<63 - 1},
		{`-1e400`, sentAt, -1 << 63},
		{`"Infinity"`, unknown, 1<<63 - 1},
	} {
		t.Run(tt.expiresIn, func(t *testing.T) {
			body := `{"access_token":"a"}`
			if tt.expiresIn != "" {
				body = `{"access_token":"a","expires_in":` + tt.expiresIn + `}`
			}
			pair, fail := judge(answered(opRefresh, 200, body))
			if fail != nil {
				t.Fatalf("error %v; an odd expires_in must not lose the token", fail)
			}
			if !pair.ExpiresAt.Equal(tt.want) || pair.ExpiresIn != tt.received {
				t.Errorf("expires at %v, in %d; want %v, %d", pair.ExpiresAt, pair.ExpiresIn, tt.want, tt.received)
			}
			if !pair.IssuedAt.Equal(sentAt) {
				t.Errorf("issued at %v; want the time before the request was sent, %v", pair.IssuedAt, sentAt)
			}
		})
	}
}

// signed makes a JWT that lives as long as told, by a clock an hour ahead.
func signed(t *testing.T, life time.Duration) string {
	t.Helper()
	iat := sentAt.Add(time.Hour)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		IssuedAt: jwt.NewNumericDate(iat), ExpiresAt: jwt.NewNumericDate(iat.Add(life)),
	}).SignedString([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestEvidenceOfLifetimeIsWeighed(t *testing.T) {
	token := signed(t, 10*time.Minute)
	body := func(more string) string { return fmt.Sprintf(`{"access_token":%q%s}`, token, more) }
	for _, tt := range []struct {
		name     string
		body     string
		fallback time.Duration
		want     time.Duration
	}{
		{"expires_in before all", body(`,"expires_in":60`), time.Hour, time.Minute},
		{"a configured default before the token", body(``), time.Hour, time.Hour},
		{"the token's own claims", body(``), 0, 10 * time.Minute},
		{"an absurd expires_in is not evidence", body(`,"expires_in":5000000000`), 0, 10 * time.Minute},
		{"zero is not evidence", body(`,"expires_in":0`), 0, 10 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := answered(opRefresh, 200, tt.body)
			a.Settings.DefaultLifetime = tt.fallback
			pair, _ := judge(a)
			if life, known := pair.Lifetime(); !known || life != tt.want {
				t.Errorf("lifetime %v (known: %v); want %v", life, known, tt.want)
			}
		})
	}
	for _, life := range []time.Duration{-time.Minute, 100 * 365 * 24 * time.Hour} {
		pair, _ := judge(answered(opRefresh, 200, fmt.Sprintf(`{"access_token":%q}`, signed(t, life))))
		if !pair.ExpiresAt.IsZero() {
			t.Errorf("a JWT that lives %v gives expiry %v; want unknown", life, pair.ExpiresAt)
		}
	}
}

func TestEndOfRefreshTokenIsFound(t *testing.T) {
	tomorrow := sentAt.Add(24 * time.Hour)
	jwtDay := signed(t, 24*time.Hour)
	for _, tt := range []struct {
		name, body string
		want       time.Time
	}{
		{"refresh_token_expires_in", `{"access_token":"a","refresh_token":"r","refresh_token_expires_in":86400}`, tomorrow},
		{"refresh_expires_in", `{"access_token":"a","refresh_token":"r","refresh_expires_in":"86400"}`, tomorrow},
		{"zero means it does not end", `{"access_token":"a","refresh_token":"` + jwtDay + `","refresh_expires_in":0}`, time.Time{}},
		{"the token's own claims", `{"access_token":"a","refresh_token":"` + jwtDay + `"}`, tomorrow},
		{"nothing known", `{"access_token":"a","refresh_token":"r"}`, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pair, _ := judge(answered(opRefresh, 200, tt.body))
			if !pair.RefreshExpiresAt.Equal(tt.want) {
				t.Errorf("refresh token ends %v; want %v", pair.RefreshExpiresAt, tt.want)
			}
		})
	}
}

func TestAnswerIsReadInServersDialects(t *testing.T) {
	pair, _ := judge(answered(opRefresh, 200, `{
		"access_token":"a","refresh_token":"r","token_type":"bearer","scope":["read","write"],
		"id_token":"i","tenant":{"id":7},"expires_in":60}`, "Date", "Fri, 20 Nov 2026 09:50:00 GMT"))
	if pair.Scope != "read write" || pair.IDToken != "i" || pair.RefreshToken != "r" || pair.Type() != "Bearer" || pair.TokenType != "bearer" {
		t.Errorf("got scope %q, type %q", pair.Scope, pair.TokenType)
	}
	if got := string(pair.Extra["tenant"]); got != `{"id":7}` || len(pair.Extra) != 1 {
		t.Errorf("extra fields %s; want the unknown one alone, as received", pair.Extra)
	}
	if want := 10 * time.Minute; pair.Skew != want {
		t.Errorf("skew %v; want %v", pair.Skew, want)
	}
	if !pair.ExpiresAt.Equal(sentAt.Add(time.Minute)) {
		t.Errorf("expires %v; the server's clock must not matter", pair.ExpiresAt)
	}
}

// fatal is, spelled out a second time and without separators, what may end a session.
var fatal = map[string]bool{
	"invalidgrant": true, "tokenexpired": true, "tokenreused": true, "tokeninvalid": true, "usernotfound": true,
	"loginrequired": true, "interactionrequired": true, "consentrequired": true, "accountselectionrequired": true,
	"badrefreshtoken": true, "invalidrefreshtoken": true,
}

func FuzzJudge(f *testing.F) {
	for _, tt := range outcomes {
		f.Add(tt.status, tt.body, "", "application/json", !tt.bodyIsCut)
	}
	f.Add(429, "{}", "3600", "text/html", true)
	f.Add(503, "{}", "Fri, 20 Nov 2026 10:02:00 GMT", "", true)
	f.Add(200, `{"access_token":"a","expires_in":"3600","refresh_expires_in":1e99}`, "", "", true)
	f.Add(200, `{"access_token":"e30.e30.","expires_in":[]}`, "", "", true)
	f.Add(200, "\ufeff{\"Access_token\":\"a\",\"expires_at\":\"2026-11-20T12:00:00Z\",}", "", "text/html", true)
	f.Add(200, "access_token=a&refresh_token=r&expires_in=3600000", "", "text/plain", false)
	f.Add(400, "<br>\n{\"error\":\"invalid_grant\"}", "", "text/html", true)
	f.Add(401, `{"errOr":"TOKEN REUSED"}`, "", "", true)
	f.Add(200, `{'access_token':'a','refresh_token':['r'],'expires_in':'PT1H','x':None}`, "", "", true)
	f.Fuzz(func(t *testing.T, status int, body, retryAfter, contentType string, whole bool) {
		a := answered(opRefresh, status, body, "Retry-After", retryAfter, "Content-Type", contentType)
		a.Whole = whole
		pair, fail := judge(a)
		if (pair == nil) == (fail == nil) {
			t.Fatalf("pair %v and error %v; want exactly one", pair, fail)
		}
		if pair != nil {
			checkPair(t, status, pair)
			return
		}
		checkFailure(t, a, fail)
	})
}

func checkPair(t *testing.T, status int, pair *TokenPair) {
	t.Helper()
	if status < 200 || status > 299 || !member.UsableToken(pair.AccessToken) {
		t.Errorf("HTTP %d gave a pair with the token %q", status, pair.AccessToken)
	}
	if life, known := pair.Lifetime(); known && (life < 0 || life > lifetime.Max) {
		t.Errorf("lifetime %v is not to be believed", life)
	}
	if _, err := json.Marshal(pair); err != nil {
		t.Errorf("the pair cannot be stored: %v", err)
	}
}

func checkFailure(t *testing.T, a *wire.Answer, fail *Error) {
	t.Helper()
	if fail.Kind == ErrLoginRequired {
		answered := a.Status >= 200 && a.Status < 500 && a.Status/100 != 3 && a.Status != 408 && a.Status != 425 && a.Status != 429
		if !answered || !fatal[member.Letters(fail.Code)] {
			t.Errorf("HTTP %d with code %q means login required", a.Status, fail.Code)
		}
	}
	if fail.Kind != ErrLoginRequired && fail.Kind != ErrTransient && fail.Kind != ErrMisconfigured {
		t.Errorf("kind %v", fail.Kind)
	}
	if wait := fail.RetryAt.Sub(a.Received); !fail.RetryAt.IsZero() && (wait <= 0 || wait > time.Hour) {
		t.Errorf("retry in %v; want within an hour", wait)
	}
	// Nothing of the body but its code and the names of members is in the text.
	var members *wire.MembersError
	if errors.As(fail.Err, &members) {
		for _, name := range members.Names {
			if !regexp.MustCompile(`^[\w.-]{1,130}$`).MatchString(name) {
				t.Errorf("the error repeats a member's name %q", name)
			}
		}
	} else if own := []error{nil, wire.ErrNotUsable, wire.ErrRedirect, wire.ErrTrouble, ErrClientRefused}; !slices.Contains(own, fail.Err) {
		t.Errorf("the cause is %v", fail.Err)
	}
	a.Body, a.Whole = []byte(`{"error":"`+fail.Code+`"}`), true
	if _, same := judge(a); fail.Err == nil && same.Error() != fail.Error() {
		t.Errorf("error %q; from the code alone it is %q", fail, same)
	}
}
