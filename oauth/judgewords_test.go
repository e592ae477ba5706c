package oauth

import (
	"errors"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/member"
)

// What servers, and what stands in front of them, are known to say to a refresh, by
// what it comes to.
var sayings = map[Verdict][]struct {
	status int
	body   string
}{
	VerdictTrouble: {
		// Texts.
		{400, "upstream request timeout"},
		{403, "Rate limit exceeded"},
		{400, "Too many requests, please try again later."},
		{200, "Service Temporarily Unavailable"},
		{200, "\ufeff upstream timed out\n"},
		{503, "upstream connect error or disconnect/reset before headers. reset reason: connection failure"},
		{520, "error code: 520"},
		{530, "error code: 1033"},
		{599, ""},
		{408, ""},
		{425, "Too Early"},
		// Pages.
		{403, "<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD><BODY>Reference #18.2d\n</BODY></HTML>"},
		{413, "<html>\r\n<head><title>413 Request Entity Too Large</title></head></html>"},
		{403, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code></Error>`},
		// Gateways.
		{403, `{"fault":{"faultstring":"Rate limit quota violation. Quota limit exceeded. Identifier : x","detail":{"errorcode":"policies.x"}}}`},
		{403, `{"fault":{"faultstring":"x","detail":{"errorcode":"policies.ratelimit.QuotaViolation"}}}`},
		{403, `{"fault":{"error":[{"message":"message=ThrottleExceeded; errorCode=003001; statusCode=429"}],"type":"SYSTEM"}}`},
		{403, `{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 01:12:00."}`},
		{200, `{"kind":"Status","status":"Failure","message":"no endpoints available","reason":"ServiceUnavailable","code":503}`},
		{403, `{"message":"You have exceeded a secondary rate limit."}`},
		// Servers.
		{400, `{"__type":"ProvisionedThroughputExceededException","message":"x"}`},
		{400, `{"__type":"com.amazonaws.cognito#InternalErrorException"}`},
		{400, `{"errorCode":"E0000047","errorSummary":"API call exceeded rate limit due to too many requests."}`},
		{400, `{"errorCode":"E0000009","errorSummary":"Internal Server Error"}`},
		{400, `{"error":"invalid_request","error_description":"AADSTS90024: RequestBudgetExceededError","error_codes":[90024]}`},
		{400, `{"error":"invalid_grant","error_description":"AADSTS50196: a client request loop","error_codes":[50196]}`},
		{403, `{"error":{"code":403,"message":"x","errors":[{"domain":"usageLimits","reason":"rateLimitExceeded"}]}}`},
		{403, `{"error":{"code":403,"errors":[{"domain":"usageLimits","reason":"dailyLimitExceeded"}]}}`},
		{400, `{"error":{"message":"(#4) Application request limit reached","type":"OAuthException","is_transient":false,"code":4}}`},
		{400, `{"errors":[{"status":"429","code":"x"}]}`},
		{200, `{"ok":false,"error":"fatal_error"}`},
		{200, `{"ok":false,"error":"request_timeout"}`},
		{200, `{"errcode":-1,"errmsg":"system error"}`},
		{200, `{"errcode":45009,"errmsg":"reach max api daily quota limit"}`},
		{200, `{"code":20024,"error":"x","error_description":"server busy"}`},
		{200, `{"status":601,"body":{},"error":"Too Many Requests"}`},
		{400, `{"error":"Bad Gateway"}`},
		{400, `{"error":"database_error"}`},
		{200, `{"errorType":"Sandbox.Timedout","errorMessage":"Task timed out after 3.00 seconds"}`},
		{400, `{"error":"invalid_grant","status":503}`},
		{429, `{"error":"invalid_grant"}`},
		{500, `{"error":"invalid_grant"}`},
		{500, `{"error":"invalid_client"}`},
		// Of one session speaks what a person has too many of, and not what is asked too often.
		{403, `{"error":"too_many_token_requests"}`},
		{403, `{"error":"userRateLimitExceeded"}`},
		{401, `{"error":"too_many_login_attempts"}`},
		{400, `{"error":"token_service_unavailable"}`},
		{400, `{"error":"limit_exceeded"}`},
		{400, `{"message":"User store unavailable"}`},
		{400, `{"error":"invalid_grant: maintenance mode, try again later"}`},
		{400, `<?xml version="1.0"?><ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`},
		{401, `<?xml version="1.0"?><!DOCTYPE html PUBLIC "x"><html><title>Sign in</title></html>`},
	},
	VerdictClient: {
		{400, `{"error":"unauthorized_client","error_description":"AADSTS700016","error_codes":[700016]}`},
		{401, `{"errorCode":"invalid_client","errorSummary":"Invalid value for 'client_id' parameter.","errorLink":"invalid_client"}`},
		{401, `{"errors":[{"errorType":"invalid_client","message":"Invalid authorization header format."}],"success":false}`},
		{400, `{"status":"BAD_CLIENT_ID","message":"missing or invalid client id"}`},
		{401, `{"code":"invalid_client: ` + planted + `"}`},
		{401, `{"error":"Unauthorized","code":"INVALID_CLIENT"}`},
		{401, `{"error":{"type":"invalid_client"}}`},
		{401, `{"error":"Invalid client"}`},
		{401, `{"error":"invalid client credentials"}`},
		{401, `{"error":"client_authentication_failed"}`},
		{400, `{"error":"client_expired"}`},
		{400, `{"error":"inactive_client"}`},
		{400, `{"error":"expired_client_secret"}`},
		{400, `{"error":"ClientSuspended"}`},
		{200, `{"error":"application_suspended"}`},
		{200, `{"ok":false,"error":"bad_client_secret"}`},
	},
	VerdictUnclear: {
		{402, `{"error":"payment_required"}`},
		{409, `{"message":"conflict"}`},
		{411, "Length Required"},
		{415, `{"type":"https://tools.ietf.org/html/rfc7231#section-6.5.13","title":"Unsupported Media Type","status":415}`},
		{418, "I'm a teapot"},
		{421, "Misdirected Request"},
		{422, `{"errors":{"refresh_token":["can't be blank"]}}`},
		{499, ""},
		{403, "RBAC: access denied"},
		{403, "error code: 1020"},
		{404, `{"fault":{"faultstring":"Unable to identify proxy for host: default","detail":{"errorcode":"messaging.x.ApplicationNotFound"}}}`},
		{404, `{"kind":"Status","status":"Failure","message":"services \"auth\" not found","reason":"NotFound","code":404}`},
		{403, `{"errors":[{"code":1010,"message":"browser_signature_banned"}],"success":false}`},
		{401, `{"fault":{"error":[{"message":"message=AuthenticationFailed; errorCode=003200; statusCode=401","code":"3200"}]}}`},
		{400, `{"error":"restricted_client"}`},
		{400, `{"error":"invalid_client_metadata"}`},
		{400, `{"error":"client"}`},
		{400, `{"error":"not_found"}`},
		{401, `{"code":"TOKEN_EXPIRED","message":"no bearer"}`}, // perhaps a gateway's word
		{400, `{"__type":"NotAuthorizedException","message":"Refresh Token has been revoked"}`},
		{200, "OK"},
		{200, `[]`},
		{201, `{"error":"nope"}`},
		{200, `{"errcode":40030,"errmsg":"invalid refresh_token"}`},
		// The time of a session is no time in which a server did not answer.
		{401, `{"error":"session_timeout"}`},
		{401, `{"error":"TOKEN_TIMEOUT"}`},
		{401, `{"message":"Your session has timed out. Log in again."}`},
		{401, "Session timeout"},
		// Nor are a person's sessions, devices and tokens the server's.
		{401, `{"error":"too_many_sessions"}`},
		{401, `{"error":"session_limit_exceeded"}`},
		{403, `{"code":403,"reason":"DEVICE_LIMIT_REACHED"}`},
		{401, `{"error":"refresh_limit_exceeded"}`},
		{401, `{"message":"Refresh token unavailable"}`},
		{401, `{"message":"Token rejected. Please retry with a valid token"}`},
		{403, "Account unavailable"},
		{401, `<?xml version="1.0"?><error><code>900901</code></error>`},
		{400, "<?xml version=\"1.0\"?>\n<fault><code>4</code></fault>"},
	},
	VerdictEnded: {
		{400, `{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}`},
		{400, `{"errors":[{"errorType":"invalid_grant","message":"Refresh token invalid"}],"success":false}`},
		{400, `{"error":"Invalid_Grant: token expired"}`},
		{404, `{"error":"invalid-grant"}`},
		{200, `{"error":"invalidGrant"}`},
		{400, `{"error":"invalid_grant","status":400}`},
		{400, `{"error":"invalid_grant","code":500,"error_code":"502"}`}, // numbers of its own
		{400, `{"error":"invalid_grant","error_description":"Token is expired. Please try again later or log in"}`},
		{401, `{"reason":"Invalid Token!","error":"invalid_grant"}`},
		{400, "\ufeff{\"error\":\"invalid_grant\",}"},
	},
}

func TestSayingsOfServersComeToWhatTheyMean(t *testing.T) {
	for want, said := range sayings {
		for _, s := range said {
			_, fail := judge(answered(opRefresh, s.status, s.body))
			if fail == nil || fail.Verdict() != want {
				t.Errorf("HTTP %d %s: %v; want verdict %v", s.status, s.body, fail, want)
				continue
			}
			if strings.Contains(fail.Error(), "PLANTED") {
				t.Errorf("HTTP %d: the error repeats what the server says: %v", s.status, fail)
			}
		}
	}
}

func TestVerdictsHaveNames(t *testing.T) {
	if names := VerdictTrouble.String() + ", " + VerdictSettings.String() + ", " + Verdict(99).String(); names != "trouble, settings, invalid" {
		t.Errorf("verdicts are called %s", names)
	}
}

// A server that sends its tokens as cookies, to a client that looks for none.
func TestF64_AnAnswerWhoseTokensAreCookiesIsSpent(t *testing.T) {
	const value = "0123456789abcdefABCDEF"
	for _, tt := range []struct {
		status       int
		body, cookie string
		want         Verdict
	}{
		{200, `{}`, "refresh_token=" + value + "; HttpOnly", VerdictUnread},
		{204, ``, "refresh_token=" + value, VerdictUnread},
		{200, `"ok"`, "rt=eyJhbGciOiJIUzI1NiJ9.e30.c2ln", VerdictUnread},
		{200, `{"ok":true}`, "jwt=" + value, VerdictUnread},
		{302, html, "access_token=" + value + "; Path=/", VerdictUnread},
		{202, ``, "aws-waf-token=abc:def; Path=/", VerdictUnknown},
		{202, ``, "session_token_lb=7f; Path=/", VerdictUnknown},
		{202, ``, "__RequestVerificationToken2=" + value, VerdictUnknown},
		{200, `OK`, "token=" + value, VerdictUnclear},
		{302, html, "state=eyJhbGciOiJIUzI1NiJ9.e30.c2ln", VerdictSettings},
		{200, html, "auth=" + value, VerdictUnknown},

		{200, `{}`, "refresh_token=; Max-Age=0", VerdictUnclear},
		{200, `{}`, "refresh_token=" + value + "; Max-Age=0", VerdictUnclear},
		{200, `{"success":false}`, "refresh_token=" + value, VerdictUnclear},
		{200, `{}`, "XSRF-TOKEN=" + value, VerdictUnclear},
		{200, `{}`, "lang=de", VerdictUnclear},
		{204, ``, "session=" + value, VerdictUnknown},
		{401, `{}`, "refresh_token=" + value, VerdictUnclear},
	} {
		_, fail := judge(answered(opRefresh, tt.status, tt.body, "Set-Cookie", tt.cookie))
		if fail == nil || fail.Verdict() != tt.want {
			t.Errorf("HTTP %d %s with %s: %v; want verdict %q", tt.status, tt.body, tt.cookie, fail, tt.want)
			continue
		}
		name, _, _ := strings.Cut(tt.cookie, "=")
		if strings.Contains(fail.Error(), value) || tt.want == VerdictUnread && !strings.Contains(fail.Error(), "cookie "+name) {
			t.Errorf("%q; want it to name the cookie and not its value", fail.Error())
		}
	}
}

// A whole answer in names that nothing here knows has spent the token all the same. What
// a server says of a refusal under 200 is another matter.
func TestF64_AWholeAnswerInOtherNamesIsSpent(t *testing.T) {
	const opaque = "0123456789abcdefABCDEF"
	for body, want := range map[string]Verdict{
		`{"jwt":"` + opaque + `"}`:                                             VerdictUnread,
		`{"key":"` + opaque + `","renewal":"` + opaque + `"}`:                  VerdictUnread,
		`{"k":"` + opaque + `"}`:                                               VerdictUnread,
		`{"data":{"session":"` + opaque + `"}}`:                                VerdictUnread,
		`{"code":0,"msg":"success","data":{"sid":"` + opaque + `"}}`:           VerdictUnread,
		`{"code":"200","message":"OK","result":{"sid":"` + opaque + `"}}`:      VerdictUnread,
		`{"success":true,"error":null,"payload":"` + opaque + `"}`:             VerdictUnread,
		`{"ok":true,"sid":"` + opaque + `","errors":[]}`:                       VerdictUnread,
		`{"errcode":0,"errmsg":"ok","sid":"` + opaque + `"}`:                   VerdictUnread,
		`{"user":{"id":7,"email":"a@example.com"},"session":"` + opaque + `"}`: VerdictUnread,
		`{"expires_in":900,"scope":"a"}`:                                       VerdictUnread,
		`{"message":"Token refreshed successfully.","sid":"` + opaque + `"}`:   VerdictUnread,
		`{"code":0,"msg":"Success!","data":{"sid":"` + opaque + `"}}`:          VerdictUnread,
		`{"status":"refreshed","sid":"` + opaque + `"}`:                        VerdictUnread,
		`{"success":true,"message":"Renewed","sid":"` + opaque + `"}`:          VerdictUnread,

		`{"code":0,"msg":"成功","data":{"ticket":"` + opaque + `"}}`: VerdictUnread,
		`{"code":20000,"data":{"ticket":"` + opaque + `"}}`:        VerdictUnread,
		`{"code":20001,"message":"token过期","data":{"ticket":"x"}}`: VerdictUnclear,
		`{"code":401,"data":{"path":"/refresh"}}`:                  VerdictUnclear,
		`{"code":1,"msg":"expired","data":{"path":"/refresh"}}`:    VerdictUnclear,

		`{"message":"not refreshed","sid":"` + opaque + `"}`:                  VerdictUnclear,
		`{"message":"Refresh unsuccessful","sid":"` + opaque + `"}`:           VerdictUnclear,
		`{"message":"token already refreshed","sid":"` + opaque + `"}`:        VerdictUnclear,
		`{"message":"the token could not be renewed","sid":"` + opaque + `"}`: VerdictUnclear,
		`{"status":"issued token expired"}`:                                   VerdictUnclear,
		`{"detail":"successfully logged out"}`:                                VerdictUnclear,
		`{"message":"refresh token wasn't issued here"}`:                      VerdictUnclear,

		`{}`:                VerdictUnclear,
		`{"success":false}`: VerdictUnclear,
		`{"success":"false","sid":"` + opaque + `"}`: VerdictUnclear,
		`{"ok":0,"sid":"` + opaque + `"}`:            VerdictUnclear,
		`{"errcode":42007}`:                          VerdictUnclear,
		`{"errcode":42007,"errmsg":"expired"}`:       VerdictUnclear,
		`{"code":1,"msg":"session expired"}`:         VerdictUnclear,
		`{"code":401,"data":null}`:                   VerdictUnclear,
		`{"status":"error","data":{}}`:               VerdictUnclear,
		`{"message":"please log in"}`:                VerdictUnclear,
		`{"error_text":"no such session"}`:           VerdictUnclear,
		`{"result":{"errors":["expired"]}}`:          VerdictUnclear,
		`{"reasons":["x"],"exception":"X"}`:          VerdictUnclear,
		`{"access_token":"","refresh_token":""}`:     VerdictUnclear,
		`{"data":{"accessToken":null}}`:              VerdictUnclear,
	} {
		_, fail := judge(answered(opRefresh, 200, body))
		if fail == nil || fail.Verdict() != want {
			t.Errorf("%s: %v; want verdict %q", body, fail, want)
			continue
		}
		if unread := want == VerdictUnread; errors.Is(fail, ErrMisconfigured) != unread || errors.Is(fail, ErrUnreadAnswer) != unread {
			t.Errorf("%s: %v", body, fail)
		}
		if strings.Contains(fail.Error(), opaque) || strings.Contains(fail.Error(), "example.com") {
			t.Errorf("%q repeats what the server sent", fail.Error())
		}
		for name := range member.Object([]byte(body)) {
			if want == VerdictUnread && !strings.Contains(fail.Error(), name) {
				t.Errorf("%q does not name the member %q", fail.Error(), name)
			}
		}
	}
	// At a login nothing is spent that could be lost.
	if _, fail := judge(answered(opPassword, 200, `{"sid":"x"}`)); errors.Is(fail, ErrUnreadAnswer) {
		t.Errorf("at a login: %v", fail)
	}
}

// Tokens in a form that is not read have spent the refresh token all the same. A page for
// people, whatever it speaks of, has not.
func TestLaw5_TokensInAnotherFormAreNotSentForAgain(t *testing.T) {
	const value = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"
	for _, tt := range []struct {
		status             int
		body, name, header string
		want               Verdict
	}{
		{200, `"` + value + `"`, "", "", VerdictUnread},
		{200, value + "\n", "Content-Type", "text/plain", VerdictUnread},
		{200, "Bearer " + value, "Content-Type", "text/plain", VerdictUnread},
		{200, `"1|laravelsanctumtoken40charslaravelsanctumtok"`, "", "", VerdictUnread},
		{200, `["` + value + `","rt-2"]`, "", "", VerdictUnread},
		{204, ``, "Authorization", "Bearer " + value, VerdictUnread},
		{200, `{}`, "Authorization", "Bearer " + value, VerdictUnread},
		{200, ``, "X-Access-Token", value, VerdictUnread},
		{200, `<?xml version="1.0"?><OAuth><access_token>at-2</access_token></OAuth>`, "Content-Type", "application/xml", VerdictUnread},
		{200, `<html><pre>{"access_token":"at-2","refresh_token":"rt-2"}</pre>`, "Content-Type", "text/html", VerdictUnread},
		{200, `<html><pre>{&quot;accessToken&quot;: &quot;at-2&quot;}</pre>`, "Content-Type", "text/html", VerdictUnread},
		{200, "\x0b\x1e\x80xyz", "Content-Encoding", "br", VerdictUnread},
		{200, "\x28\xb5\x2f\xfdxyz", "Content-Encoding", "zstd", VerdictUnread},

		{200, `"ok"`, "", "", VerdictUnclear},
		{200, `"the service is not available now"`, "", "", VerdictUnclear},
		{200, `<html><p>Your access token has ended. Access_token: see the manual.`, "", "", VerdictUnknown},
		{200, `<html><input name="access_token" value="abcdef">`, "", "", VerdictUnknown},
		{200, `<html><script>{"access_token":"at-2"}</script>`, "", "", VerdictUnknown},
		{503, `<html><pre>{"access_token":"at-2"}</pre>`, "", "", VerdictTrouble},
		{401, `{}`, "Authorization", "Bearer " + value, VerdictUnclear},
		{200, `{"success":false}`, "Authorization", "Bearer " + value, VerdictUnclear},
		{200, ``, "WWW-Authenticate", "Bearer", VerdictUnknown},
		{200, ``, "Authorization", "Bearer", VerdictUnknown},
	} {
		_, fail := judge(answered(opRefresh, tt.status, tt.body, tt.name, tt.header))
		if fail == nil || fail.Verdict() != tt.want {
			t.Errorf("HTTP %d %q with %s %s: %v; want verdict %q", tt.status, tt.body, tt.name, tt.header, fail, tt.want)
			continue
		}
		if strings.Contains(fail.Error(), value) || strings.Contains(fail.Error(), "at-2") {
			t.Errorf("%q repeats a token", fail.Error())
		}
	}
}

// A word for nothing is no token, and the refresh token that there is stays.
func TestWordsForNothingAreNoTokens(t *testing.T) {
	for _, word := range []string{"null", "NULL", "undefined", "None", "nil", "<nil>", " ", `\n`, ""} {
		pair, fail := judge(answered(opRefresh, 200, `{"access_token":"at-2","refresh_token":"`+word+`"}`))
		if fail != nil || pair.RefreshToken != "" {
			t.Errorf("%q: refresh token %q, %v; want none", word, pair.RefreshToken, fail)
		}
		if pair, _ := judge(answered(opRefresh, 200, `{"access_token":"`+word+`","refresh_token":"rt-2"}`)); pair != nil {
			t.Errorf("%q is taken for an access token", word)
		}
	}
	for text, want := range map[string]string{"Bearer a.b.c": "a.b.c", "JWT a.b.c": "a.b.c", "jwt  a.b.c": "a.b.c", "JWTa": "JWTa", "nilly": "nilly"} {
		if pair, fail := judge(answered(opRefresh, 200, `{"access_token":"`+text+`"}`)); fail != nil || pair.AccessToken != want {
			t.Errorf("%q: %v, %v; want %q", text, pair, fail, want)
		}
	}
}

// What goes into errors, events and records of a server's words is bounded.
func TestCodesAreBounded(t *testing.T) {
	for code, want := range map[string]string{
		"invalid" + strings.Repeat("-", 700_000) + "grant":  "invalid_grant",
		strings.Repeat("client_", 100_000) + "invalid":      "",
		"invalid_client_" + strings.Repeat("secret_", 2000): "",
	} {
		if _, fail := judge(answered(opRefresh, 400, `{"error":"`+code+`"}`)); fail.Code != want {
			t.Errorf("a code of %d bytes; want %q", len(fail.Code), want)
		}
	}
}
