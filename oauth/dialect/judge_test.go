package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

var dialects = map[string]func() Dialect{
	"kratos": Kratos, "sanic-jwt": SanicJWT, "gin-jwt": GinJWT, "aspnet": ASPNET, "cookie": Cookie,
}

func kratosSays(reason string) string {
	return `{"error":{"code":401,"reason":"` + reason + `","message":"` + planted + `"}}`
}

func sanicSays(exception string) string {
	return `{"reasons":["` + planted + `"],"exception":"` + exception + `"}`
}

const ginSays = `{"code":401,"message":"` + planted + `"}`

// dialectOutcomes is what each dialect's answers to a refresh mean. The rows
// without a dialect hold for all of them.
var dialectOutcomes = []struct {
	dialect string
	status  int
	body    string

	want   error // nil: a pair
	reason error
	code   string
}{
	{"kratos", 200, `{"access_token":"a","refresh_token":"r","expires_in":900}`, nil, nil, ""},
	{"kratos", 200, `{"accessToken":"a","refreshToken":"r","expiresIn":"900"}`, nil, nil, ""},
	{"kratos", 200, `{"token":"a"}`, oauth.ErrMisconfigured, nil, ""}, // spent: not to be sent again
	{"kratos", 400, kratosSays("REFRESH_TOKEN_REQUIRED"), oauth.ErrMisconfigured, oauth.ErrRefreshTokenRequired, "REFRESH_TOKEN_REQUIRED"},
	{"kratos", 401, kratosSays("TOKEN_INVALID"), oauth.ErrLoginRequired, oauth.ErrTokenInvalid, "TOKEN_INVALID"},
	{"kratos", 401, kratosSays("TOKEN_EXPIRED"), oauth.ErrLoginRequired, oauth.ErrTokenExpired, "TOKEN_EXPIRED"},
	{"kratos", 401, kratosSays("TOKEN_REUSED"), oauth.ErrLoginRequired, oauth.ErrTokenReused, "TOKEN_REUSED"},
	{"kratos", 404, kratosSays("USER_NOT_FOUND"), oauth.ErrLoginRequired, oauth.ErrUserNotFound, "USER_NOT_FOUND"},
	{"kratos", 200, kratosSays("TOKEN_EXPIRED"), oauth.ErrTransient, nil, "TOKEN_EXPIRED"},
	{"kratos", 400, kratosSays("TOKEN_EXPIRED"), oauth.ErrTransient, nil, "TOKEN_EXPIRED"},
	{"kratos", 401, kratosSays("USER_NOT_FOUND"), oauth.ErrTransient, nil, "USER_NOT_FOUND"},
	{"kratos", 429, kratosSays("TOKEN_EXPIRED"), oauth.ErrTransient, nil, ""},
	{"kratos", 500, kratosSays("TOKEN_EXPIRED"), oauth.ErrTransient, oauth.ErrTokenExpired, "TOKEN_EXPIRED"},
	{"kratos", 500, kratosSays("REFRESH_ERROR"), oauth.ErrTransient, oauth.ErrTokenInvalid, "REFRESH_ERROR"},
	{"kratos", 500, `{"code":500,"reason":"REFRESH_ERROR","message":"x"}`, oauth.ErrTransient, oauth.ErrTokenInvalid, "REFRESH_ERROR"},
	{"kratos", 503, kratosSays("REFRESH_ERROR"), oauth.ErrTransient, nil, ""},
	{"kratos", 401, kratosSays("REFRESH_ERROR"), oauth.ErrTransient, nil, "REFRESH_ERROR"},
	{"sanic-jwt", 500, sanicSays("InvalidRetrieveUserObject"), oauth.ErrTransient, oauth.ErrUserNotFound, "InvalidRetrieveUserObject"},
	{"sanic-jwt", 500, `{"description":"x","status":500,"message":"y"}`, oauth.ErrTransient, nil, ""},
	{"kratos", 401, kratosSays("CLOCK_SKEW"), oauth.ErrTransient, nil, "CLOCK_SKEW"},
	{"kratos", 401, kratosSays("token_expired"), oauth.ErrLoginRequired, oauth.ErrTokenExpired, "TOKEN_EXPIRED"},
	{"kratos", 401, kratosSays(planted), oauth.ErrTransient, nil, ""},
	{"kratos", 401, `{"error":"TOKEN_EXPIRED"}`, oauth.ErrTransient, nil, ""},
	{"kratos", 401, `{"code":401,"reason":"TOKEN_EXPIRED","message":"` + planted + `","metadata":{}}`, oauth.ErrLoginRequired, oauth.ErrTokenExpired, "TOKEN_EXPIRED"},
	{"kratos", 401, `{"error":{"code":"TOKEN_EXPIRED"}}`, oauth.ErrTransient, nil, ""},
	{"kratos", 401, `{"error":{"reason":["TOKEN_EXPIRED"]}}`, oauth.ErrTransient, nil, ""},
	{"kratos", 401, ``, oauth.ErrTransient, nil, ""},

	{"sanic-jwt", 200, `{"access_token":"a"}`, nil, nil, ""},
	{"sanic-jwt", 401, sanicSays("AuthenticationFailed"), oauth.ErrLoginRequired, oauth.ErrTokenInvalid, "AuthenticationFailed"},
	{"sanic-jwt", 401, sanicSays("Unauthorized"), oauth.ErrTransient, nil, ""},
	{"sanic-jwt", 400, sanicSays("MissingAuthorizationHeader"), oauth.ErrTransient, nil, ""},
	{"sanic-jwt", 400, sanicSays("AuthenticationFailed"), oauth.ErrTransient, nil, "AuthenticationFailed"},
	{"sanic-jwt", 500, sanicSays("AuthenticationFailed"), oauth.ErrTransient, oauth.ErrTokenInvalid, "AuthenticationFailed"},
	{"sanic-jwt", 401, `{"exception":["AuthenticationFailed"]}`, oauth.ErrTransient, nil, ""},

	{"gin-jwt", 200, `{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r"}`, nil, nil, ""},
	{"gin-jwt", 401, ginSays, oauth.ErrTransient, oauth.ErrTokenInvalid, ""},
	{"gin-jwt", 400, ginSays, oauth.ErrTransient, nil, ""},
	{"gin-jwt", 403, ginSays, oauth.ErrTransient, nil, ""},
	{"gin-jwt", 401, html, oauth.ErrTransient, nil, ""},

	{"aspnet", 200, `{"accessToken":"a","refreshToken":"r"}`, nil, nil, ""},
	{"aspnet", 200, `{"accessToken":"a"}`, nil, nil, ""},
	{"aspnet", 200, `{"access_token":"a"}`, nil, nil, ""},
	{"aspnet", 200, `{"jwt":"a"}`, oauth.ErrMisconfigured, nil, ""},
	{"aspnet", 200, `"` + planted + `"`, oauth.ErrMisconfigured, nil, ""}, // perhaps a token
	{"aspnet", 401, ``, oauth.ErrTransient, oauth.ErrTokenInvalid, ""},
	{"aspnet", 401, planted, oauth.ErrTransient, oauth.ErrTokenInvalid, ""},
	{"aspnet", 401, html, oauth.ErrTransient, nil, ""},
	{"aspnet", 400, ``, oauth.ErrTransient, nil, ""},

	{"cookie", 200, `{"access_token":"a","expires_in":900}`, nil, nil, ""},
	{"cookie", 401, ``, oauth.ErrTransient, oauth.ErrTokenInvalid, ""},
	{"cookie", 403, ``, oauth.ErrTransient, nil, ""},

	{"", 200, ``, oauth.ErrTransient, nil, ""},
	{"", 200, html, oauth.ErrTransient, nil, ""},
	{"", 302, ``, oauth.ErrMisconfigured, nil, ""},
	{"", 400, oauthError("invalid_grant"), oauth.ErrTransient, nil, ""}, // another dialect's word
	{"", 403, html, oauth.ErrTransient, nil, ""},
	{"", 404, ``, oauth.ErrTransient, nil, ""},
	{"", 408, ``, oauth.ErrTransient, nil, ""},
	{"", 429, oauthError("invalid_grant"), oauth.ErrTransient, nil, ""},
	{"", 500, oauthError("invalid_grant"), oauth.ErrTransient, nil, ""},
	{"", 503, html, oauth.ErrTransient, nil, ""},
	{"", 999, ``, oauth.ErrTransient, nil, ""},
}

func TestEveryAnswerInADialectHasItsMeaning(t *testing.T) {
	for name, dialect := range dialects {
		d := dialect()
		for _, tt := range dialectOutcomes {
			if tt.dialect != "" && tt.dialect != name {
				continue
			}
			t.Run(name+" "+http.StatusText(tt.status)+" "+tt.body, func(t *testing.T) {
				pair, fail := judge(d.Answer, d.Refresh.Errors, answered(opRefresh, tt.status, tt.body))
				if (pair != nil) != (tt.want == nil) || (fail == nil) != (tt.want == nil) {
					t.Fatalf("got pair %v, error %v; want %v", pair, fail, tt.want)
				}
				if fail == nil {
					return
				}
				for _, kind := range []error{oauth.ErrLoginRequired, oauth.ErrTransient, oauth.ErrMisconfigured} {
					if got := errors.Is(fail, kind); got != (kind == tt.want) {
						t.Errorf("errors.Is(%q, %q) = %v; want only %q", fail, kind, got, tt.want)
					}
				}
				for _, reason := range []error{oauth.ErrTokenExpired, oauth.ErrTokenReused, oauth.ErrTokenInvalid, oauth.ErrUserNotFound, oauth.ErrRefreshTokenRequired} {
					if got := errors.Is(fail, reason); got != (reason == tt.reason) {
						t.Errorf("errors.Is(%q, %q) = %v; want reason %v", fail, reason, got, tt.reason)
					}
				}
				if fail.Code != tt.code || fail.Status != tt.status || !fail.Sent {
					t.Errorf("code %q, status %d, sent %v; want %q, %d, true", fail.Code, fail.Status, fail.Sent, tt.code, tt.status)
				}
				if strings.Contains(fail.Error(), "PLANTED") {
					t.Errorf("the body is in the error: %s", fail)
				}
			})
		}
	}
}

func TestATableIsAboutWords(t *testing.T) {
	n := Answer{ErrorCodes: []string{"code"}}
	errs := []Error{
		{Code: "GONE", Means: oauth.ErrTokenExpired},
		{Code: "KICKED", Means: oauth.ErrLoginRequired},
		{Status: 403, Code: "ODD", Means: oauth.ErrTransient},
		{Status: 401, Means: oauth.ErrTokenInvalid},
	}
	for _, tt := range []struct {
		status       int
		code         string
		want, reason error
	}{
		{400, "GONE", oauth.ErrLoginRequired, oauth.ErrTokenExpired}, // any refusal
		{401, "GONE", oauth.ErrLoginRequired, oauth.ErrTokenExpired},
		{200, "GONE", oauth.ErrLoginRequired, oauth.ErrTokenExpired}, // some say it under a success
		{500, "GONE", oauth.ErrTransient, oauth.ErrTokenExpired},     // what could be trouble is suspected at most,
		{503, "GONE", oauth.ErrTransient, oauth.ErrTokenExpired},
		{500, "KICKED", oauth.ErrTransient, oauth.ErrTokenInvalid}, // for whatever reason
		{429, "GONE", oauth.ErrTransient, nil},                     // and throttling says nothing of the session
		{400, "gone", oauth.ErrLoginRequired, oauth.ErrTokenExpired},
		{503, "", oauth.ErrTransient, nil},
		{401, "ODD", oauth.ErrTransient, nil}, // a word that means something else is not "no word"
		{401, "", oauth.ErrTransient, oauth.ErrTokenInvalid},
	} {
		_, fail := judge(n, errs, answered(opRefresh, tt.status, `{"code":"`+tt.code+`"}`))
		if fail.Kind != tt.want || fail.Err != tt.reason {
			t.Errorf("HTTP %d %q is %v; want %v, %v", tt.status, tt.code, fail, tt.want, tt.reason)
		}
	}
}

// What an answer says behind a code of the table may be a secret.
func TestACodeIsInTheSpellingOfTheTable(t *testing.T) {
	for name, tt := range map[string]struct {
		dialect Dialect
		status  int
		body    string
		code    string
	}{
		"refused":           {Kratos(), 401, `{"code":401,"reason":"TOKEN_EXPIRED: rt-PLANTED is expired"}`, "TOKEN_EXPIRED"},
		"trouble":           {Kratos(), 500, `{"code":500,"reason":"REFRESH_ERROR: rt-PLANTED"}`, "REFRESH_ERROR"},
		"another spelling":  {Kratos(), 401, `{"code":401,"reason":"tokenExpired: rt-PLANTED"}`, "TOKEN_EXPIRED"},
		"another member":    {SanicJWT(), 401, `{"exception":"AuthenticationFailed: rt-PLANTED"}`, "AuthenticationFailed"},
		"none of the table": {Kratos(), 401, `{"code":401,"reason":"WHATEVER: rt-PLANTED"}`, ""},
	} {
		_, fail := judge(tt.dialect.Answer, tt.dialect.Refresh.Errors, answered(opRefresh, tt.status, tt.body))
		if fail.Code != tt.code || strings.Contains(fail.Error(), "PLANTED") {
			t.Errorf("%s: code %q, %v; want %q", name, fail.Code, fail, tt.code)
		}
	}
}

// Numbers are compared as they stand: with a sign or a fraction they are others.
func TestANumberIsACodeOfItsOwn(t *testing.T) {
	errs := []Error{{Code: "1", Means: oauth.ErrLoginRequired}, {Code: "-40", Means: oauth.ErrLoginRequired}}
	for code, want := range map[string]bool{`1`: true, `"1"`: true, `-40`: true, `-1`: false, `40`: false, `"+1"`: false, `"1.0"`: false, `"-"`: false, `"1:"`: false} {
		_, fail := judge(Answer{ErrorCodes: []string{"errcode"}}, errs, answered(opRefresh, 200, `{"errcode":`+code+`,"errmsg":"system busy"}`))
		if got := fail.Verdict() == oauth.VerdictEnded; got != want {
			t.Errorf("errcode %s ends the session: %v; want %v", code, got, want)
		}
	}
}

// A word that the table has for trouble, for the client or for a dead session is that,
// under whatever refusal it comes.
func TestAListedWordHasTheVerdictOfItsMeaning(t *testing.T) {
	for _, status := range []int{200, 400, 401, 403, 409, 422} {
		for means, want := range map[error]oauth.Verdict{
			oauth.ErrTransient: oauth.VerdictTrouble, oauth.ErrClientRefused: oauth.VerdictClient,
			oauth.ErrTokenExpired: oauth.VerdictEnded, oauth.ErrLoginRequired: oauth.VerdictEnded,
		} {
			for _, listed := range []int{0, status} {
				errs := []Error{{Status: listed, Code: "WORD", Means: means}}
				_, fail := judge(Answer{ErrorCodes: []string{"code"}}, errs, answered(opRefresh, status, `{"code":"WORD"}`))
				if got := fail.Verdict(); got != want || fail.Code != "WORD" {
					t.Errorf("HTTP %d, listed for %d as %q: %v, verdict %v; want %v", status, listed, means, fail, got, want)
				}
			}
		}
	}
}

func TestRefusedLoginsNeedNoCode(t *testing.T) {
	for name, dialect := range dialects {
		d := dialect()
		for body, want := range map[string]error{"": oauth.ErrLoginRequired, ginSays: oauth.ErrLoginRequired, html: oauth.ErrTransient} {
			_, fail := judge(d.Answer, d.Login.Errors, answered(opLogin, 401, body))
			if !errors.Is(fail, want) {
				t.Errorf("%s: login refused with 401 %q is %v; want %v", name, body, fail, want)
			}
		}
	}
}

func TestDialectAnswersAreReadUnderTheirNames(t *testing.T) {
	n := Answer{AccessToken: "jwt", RefreshToken: "access_token", ExpiresIn: "ttl", RefreshExpiresIn: "refreshTtl"}
	body := `{"jwt":"a","access_token":"r","ttl":60,"refreshTtl":3600,"refresh_token":"decoy","expires_in":5,"user":"alice"}`
	p, fail := judge(n, nil, answered(opRefresh, 200, body))
	if fail != nil {
		t.Fatal(fail)
	}
	if p.AccessToken != "a" || p.RefreshToken != "r" || p.ExpiresIn != 60 || !p.RefreshExpiresAt.Equal(sentAt.Add(time.Hour)) {
		t.Errorf("tokens %q and %q, expires_in %d, refresh until %v", p.AccessToken, p.RefreshToken, p.ExpiresIn, p.RefreshExpiresAt)
	}
	if string(p.Extra["user"]) != `"alice"` || p.Extra["jwt"] != nil {
		t.Errorf("extra fields %v", p.Extra)
	}
}

func TestRefreshTokenArrivesInACookie(t *testing.T) {
	const date = "Fri, 20 Nov 2026 11:00:00 GMT" // an hour ahead of us
	after := func(d time.Duration) time.Time { return sentAt.Add(d) }
	for _, tt := range []struct {
		cookie, want string
		end          time.Time
	}{
		{"refresh_token=r; Max-Age=60; HttpOnly", "r", after(time.Minute)},
		{"refresh_token=r; Expires=Fri, 20 Nov 2026 11:10:00 GMT", "r", after(10 * time.Minute)},
		{"refresh_token=r; Max-Age=60; Expires=Fri, 20 Nov 2026 11:10:00 GMT", "r", after(time.Minute)},
		{"refresh_token=a:b+/=%3D|, c", "a:b+/=%3D|, c", time.Time{}},
		{`refresh_token="r"`, `"r"`, time.Time{}},
		{"refresh_token=r; Max-Age=99999999999", "r", time.Time{}},
		{"refresh_token=r; Expires=Fri, 20 Nov 2126 11:10:00 GMT", "r", time.Time{}},
		{"refresh_token=; Max-Age=60", "", time.Time{}},
		{"refresh_token=deleted; Max-Age=0", "", time.Time{}},
		{"refresh_token=deleted; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "", time.Time{}},
		{"other=r", "", time.Time{}},
		{"", "", time.Time{}},
	} {
		t.Run(tt.cookie, func(t *testing.T) {
			p, fail := judge(Cookie().Answer, nil, answered(opRefresh, 200, `{"access_token":"a"}`, "Set-Cookie", tt.cookie, "Date", date))
			if fail != nil {
				t.Fatal(fail)
			}
			if p.RefreshToken != tt.want || !p.RefreshExpiresAt.Equal(tt.end) {
				t.Errorf("refresh token %q until %v; want %q until %v", p.RefreshToken, p.RefreshExpiresAt, tt.want, tt.end)
			}
		})
	}
}

// FuzzJudgeDialect looks for an answer that makes a verdict outside the tables.
func FuzzJudgeDialect(f *testing.F) {
	for _, tt := range dialectOutcomes {
		for name := range dialects {
			if tt.dialect == "" || tt.dialect == name {
				f.Add(name, tt.status, tt.body, "refresh_token=r; Max-Age=60", "60", true)
			}
		}
	}
	f.Fuzz(func(t *testing.T, name string, status int, body, cookie, retryAfter string, whole bool) {
		dialect := dialects[name]
		if dialect == nil {
			return
		}
		d := dialect()
		a := answered(opRefresh, status, body, "Set-Cookie", cookie, "Retry-After", retryAfter)
		a.Whole = whole
		pair, fail := judge(d.Answer, d.Refresh.Errors, a)
		if (pair == nil) == (fail == nil) {
			t.Fatalf("pair %v and error %v; want exactly one", pair, fail)
		}
		if pair != nil {
			checkPair(t, status, pair)
			return
		}
		checkDialectFailure(t, d, a, fail)
	})
}

// fatalIn are the only refusals that end a session, dialect by dialect: written
// down again, so that a table cannot grow unnoticed.
var fatalIn = map[string]map[string]int{
	"kratos":    {"token_invalid": 401, "token_expired": 401, "token_reused": 401, "user_not_found": 404},
	"sanic-jwt": {"authentication_failed": 401},
}

func checkDialectFailure(t *testing.T, d Dialect, a *wire.Answer, fail *oauth.Error) {
	t.Helper()
	if errors.Is(fail, oauth.ErrLoginRequired) && (fatalIn[d.Name][wire.CodeWord(fail.Code)] != a.Status || !a.Whole || !strings.Contains(string(a.Body), "{")) {
		t.Errorf("%s: HTTP %d with code %q means login required", d.Name, a.Status, fail.Code)
	}
	kinds := 0
	for _, kind := range []error{oauth.ErrLoginRequired, oauth.ErrTransient, oauth.ErrMisconfigured} {
		if errors.Is(fail, kind) {
			kinds++
		}
	}
	if kinds != 1 {
		t.Errorf("%s: %v is of %d kinds; want one", d.Name, fail, kinds)
	}
	// Of the body nothing but a code can be in the text.
	if fail.Code != "" && !wire.PlausibleCode(fail.Code) && !slices.ContainsFunc(d.Refresh.Errors, func(e Error) bool { return e.names(fail.Code) }) {
		t.Errorf("%s: the code %q is repeated", d.Name, fail.Code)
	}
	var members *wire.MembersError
	if own := []error{nil, wire.ErrNotUsable, wire.ErrRedirect, wire.ErrTrouble, oauth.ErrTokenExpired, oauth.ErrTokenReused, oauth.ErrTokenInvalid, oauth.ErrUserNotFound, oauth.ErrRefreshTokenRequired}; !errors.As(fail.Err, &members) && !slices.Contains(own, fail.Err) {
		t.Errorf("%s: the cause is %v", d.Name, fail.Err)
	}
}

// planted is in every body and must be in no error.
const planted = "PLANTED-eyJhbGciOi.s3cr3t"

const html = "<!DOCTYPE html><title>Sign in</title><p>" + planted

var sentAt = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// answered is an answer to op as the network gave it.
func answered(op string, status int, body string, headers ...string) *wire.Answer {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &wire.Answer{Op: op, Status: status, Header: h, Body: []byte(body), Whole: true, SentAt: sentAt, Received: sentAt.Add(300 * time.Millisecond)}
}

// oauthError is an error document of OAuth's with a secret in its description.
func oauthError(code string) string {
	return fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, planted)
}

func checkPair(t *testing.T, status int, pair *oauth.TokenPair) {
	t.Helper()
	if status < 200 || status > 299 || !member.UsableToken(pair.AccessToken) {
		t.Errorf("HTTP %d gave a pair with the token %q", status, pair.AccessToken)
	}
	if life, known := pair.Lifetime(); known && (life < 0 || life > lifetime.Max) {
		t.Errorf("lifetime %v is not to be believed", life)
	}
}

// A code is no contradiction to itself, and what is written behind it can be one.
func TestAListedWordIsWeighedWithWhatStandsBesideIt(t *testing.T) {
	n := Answer{ErrorCodes: []string{"reason", "message", "status"}}
	errs := []Error{
		{Code: "500", Means: oauth.ErrTokenInvalid},
		{Code: "Token invalid", Means: oauth.ErrTokenInvalid},
		{Status: 401, Code: "TOKEN_EXPIRED", Means: oauth.ErrTokenExpired},
	}
	for _, tt := range []struct {
		status int
		body   string
		want   oauth.Verdict
	}{
		{200, `{"status":500,"detail":"refresh token expired"}`, oauth.VerdictEnded},
		{200, `{"status":"500","statusCode":503}`, oauth.VerdictTrouble},
		{400, `{"message":"Token invalid"}`, oauth.VerdictEnded},
		{400, `{"message":"Token invalid: it has been used"}`, oauth.VerdictEnded},
		{400, `{"message":"Token invalid: maintenance mode, try again later"}`, oauth.VerdictTrouble},
		{401, `{"reason":"TOKEN_EXPIRED"}`, oauth.VerdictEnded},
		{403, `{"reason":"TOKEN_EXPIRED"}`, oauth.VerdictUnclear},
		{500, `{"reason":"TOKEN_EXPIRED","code":500}`, oauth.VerdictUnclear}, // under another status
		{503, `{"reason":"TOKEN_EXPIRED"}`, oauth.VerdictTrouble},
		{429, `{"reason":"TOKEN_EXPIRED"}`, oauth.VerdictTrouble},
		{500, `{"reason":"OTHER"}`, oauth.VerdictTrouble},
	} {
		if _, fail := judge(n, errs, answered(opRefresh, tt.status, tt.body)); fail.Verdict() != tt.want {
			t.Errorf("HTTP %d %s: %v, %v; want %v", tt.status, tt.body, fail.Verdict(), fail, tt.want)
		}
	}
}

// A word that is listed with a status of the backend's own trouble counts under that.
func TestAWordUnderItsOwn5xxIsTheBackendsWord(t *testing.T) {
	n := Answer{ErrorCodes: []string{"code"}}
	for means, want := range map[error]oauth.Verdict{
		oauth.ErrClientRefused: oauth.VerdictClient, oauth.ErrMisconfigured: oauth.VerdictUnclear, oauth.ErrRefreshTokenRequired: oauth.VerdictUnclear,
		oauth.ErrTokenInvalid: oauth.VerdictUnclear, oauth.ErrLoginRequired: oauth.VerdictUnclear, oauth.ErrTransient: oauth.VerdictTrouble,
	} {
		for _, status := range []int{500, 503} {
			errs := []Error{{Status: status, Code: "APP_VERSION_BLOCKED", Means: means}}
			if _, fail := judge(n, errs, answered(opRefresh, status, `{"code":"APP_VERSION_BLOCKED"}`)); fail.Verdict() != want {
				t.Errorf("%v with HTTP %d: %v, %v; want %v", means, status, fail.Verdict(), fail, want)
			}
		}
		errs := []Error{{Code: "APP_VERSION_BLOCKED", Means: means}}
		if _, fail := judge(n, errs, answered(opRefresh, 500, `{"code":"APP_VERSION_BLOCKED"}`)); fail.Verdict() == oauth.VerdictClient {
			t.Errorf("%v with no status of its own: %v", means, fail)
		}
	}
}

// An answer that breaks off, or has no access token that can be used, can have the new refresh
// token whole: the one that was sent is spent, and many backends end the session for it.
func TestTheRefreshTokenOfAnAnswerThatBreaksOffIsKept(t *testing.T) {
	for name, tt := range map[string]struct {
		n       Answer
		body    string
		headers []string
		whole   bool
		want    string // "" if there is nothing to go on with
		kind    error
	}{
		"behind it":             {Answer{}, `{"refresh_token":"rt-2","access_token":"eyJ`, nil, false, "rt-2", oauth.ErrTransient},
		"in names of its own":   {Answer{AccessToken: "jwt", RefreshToken: "rt"}, `{"rt":"rt-2","jwt":"eyJ`, nil, false, "rt-2", oauth.ErrTransient},
		"deeper":                {Answer{TokenPath: "data"}, `{"data":{"refreshToken":"rt-2","accessToken":"eyJ`, nil, false, "rt-2", oauth.ErrTransient},
		"in a cookie":           {Answer{RefreshCookie: "rt"}, `{"access_token":"eyJ`, []string{"Set-Cookie", "rt=rt-2"}, false, "rt-2", oauth.ErrTransient},
		"in a header":           {Answer{RefreshHeader: "X-Refresh"}, `{"access_token":"eyJ`, []string{"X-Refresh", "rt-2"}, false, "rt-2", oauth.ErrTransient},
		"without an access one": {Answer{}, `{"refresh_token":"rt-2"}`, nil, true, "rt-2", oauth.ErrMisconfigured},
		"cut itself":            {Answer{}, `{"access_token":"","refresh_token":"rt-`, nil, false, "", oauth.ErrTransient},
		"the one that was sent": {Answer{}, `{"refresh_token":"rt-1","access_token":"eyJ`, nil, false, "", oauth.ErrTransient},
	} {
		a := answered(opRefresh, 200, tt.body, tt.headers...)
		a.Whole, a.Settings.Spent = tt.whole, "rt-1"
		pair, fail := judge(tt.n, nil, a)
		switch {
		case fail == nil || fail.Kind != tt.kind:
			t.Errorf("%s: %v, want %v", name, fail, tt.kind)
		case tt.want == "" && pair != nil, tt.want != "" && (pair == nil || pair.RefreshToken != tt.want || pair.AccessToken != "" || fail.Unknown()):
			t.Errorf("%s: %v, %v; want the refresh token %q alone", name, pair, fail, tt.want)
		}
		login := answered(opLogin, 200, tt.body, tt.headers...)
		login.Whole = tt.whole
		if pair, _ := judge(tt.n, nil, login); pair != nil {
			t.Errorf("%s: a login gives %v", name, pair)
		}
	}
}
