package oauth

import (
	"strings"
	"testing"
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
