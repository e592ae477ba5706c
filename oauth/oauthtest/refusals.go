package oauthtest

// PassingRefusals returns the refusals of what stands in front of token endpoints,
// and of their own overload protection. Each was reported from a refresh that worked
// again some minutes or hours later, so none says anything about the refresh token.
// Script them with Refusal.Fault.
func PassingRefusals() []Refusal {
	return []Refusal{
		{Name: "404 text, Go or Traefik", Status: 404, ContentType: "text/plain", Body: "404 page not found\n"},
		{Name: "404 text, default backend of an ingress while its service is replaced", Status: 404, ContentType: "text/plain", Body: "default backend - 404"},
		{Name: "404 JSON, an API gateway without a route", Status: 404, Body: `{"message":"no Route matched with those values"}`},
		{Name: "404 empty", Status: 404},
		{Name: "403 problem+json of a firewall", Status: 403, ContentType: "application/problem+json",
			Body: `{"title":"Request blocked","detail":"","status":403,"security":{"clientIp":"x","incidentId":"y"}}`},
		{Name: "403 JSON of a cloud firewall", Status: 403, Body: `{"__type":"ForbiddenException","message":"Request not allowed due to WAF block."}`},
		{Name: "403 JSON of an API gateway", Status: 403, Body: `{"message":"Forbidden"}`},
		{Name: "401 JSON of an API gateway", Status: 401, Body: `{"message":"Unauthorized"}`},
		{Name: "407 text", Status: 407, ContentType: "text/plain", Body: "Proxy Authentication Required"},
		{Name: "400 throttled", Status: 400, Body: `{"__type":"TooManyRequestsException","message":"Rate exceeded"}`},
		{Name: "400 rate_limit_exceeded", Status: 400, Body: `{"error":"rate_limit_exceeded"}`},
		{Name: "400 internal_failure", Status: 400, Body: `{"error":"internal_failure","error_description":"Backend Error"}`},
		{Name: "400 text of a web server", Status: 400, ContentType: "text/plain", Body: "400 Bad Request"},
		{Name: "405 text", Status: 405, ContentType: "text/plain", Body: "Method Not Allowed"},
		{Name: "410 text", Status: 410, ContentType: "text/plain", Body: "Gone"},
		{Name: "426 text", Status: 426, ContentType: "text/plain", Body: "Upgrade Required"},
		{Name: "431 text", Status: 431, ContentType: "text/plain", Body: "Request Header Fields Too Large"},
		{Name: "451 text", Status: 451, ContentType: "text/plain", Body: "Unavailable For Legal Reasons"},
		{Name: "503 text", Status: 503, ContentType: "text/plain", Body: "no healthy upstream"},
		{Name: "403 HTML", Status: 403, ContentType: "text/html", Body: "<html>blocked</html>"},
	}
}

// ClientRefusals returns how servers refuse a client, and with it all of its
// sessions, until its secret is renewed or its registration mended. Script them with
// Refusal.Fault.
func ClientRefusals() []Refusal {
	return []Refusal{
		{Name: "401 invalid_client, the secret has ended", Status: 401, Body: `{"error":"invalid_client"}`},
		{Name: "400 unauthorized_client", Status: 400, Body: `{"error":"unauthorized_client"}`},
		{Name: "401 disabled_client", Status: 401, Body: `{"error":"disabled_client"}`},
	}
}

// DeadAnswers returns answers with status 200 by which token endpoints tell that a
// refresh token is dead, in words that are no OAuth error (RFC 6749 section 5.2) or in
// none. Script them with Refusal.Fault.
func DeadAnswers() []Refusal {
	return []Refusal{
		{Name: "body with a status of its own", Status: 200, Body: `{"status":401,"body":{},"error":"invalid_token: refresh token not found"}`},
		{Name: "numeric code", Status: 200, Body: `{"errcode":42007,"errmsg":"access_token and refresh_token exception"}`},
		{Name: "success:false", Status: 200, Body: `{"success":false,"message":"refresh token expired"}`},
		{Name: "code with other characters", Status: 200, Body: `{"error":"auth/id-token-revoked"}`},
		{Name: "empty tokens", Status: 200, Body: `{"access_token":"","refresh_token":"","expires_in":0}`},
		{Name: "null", Status: 200, Body: `{"access_token":null}`},
		{Name: "nothing", Status: 200, ContentType: "application/json"},
	}
}

// TokenTypes returns values of token_type that servers send with tokens which their
// APIs take as Bearer tokens. Script them with Fault.Edit:
//
//	s.Script(oauthtest.Fault{Times: -1, Edit: func(fields map[string]any) { fields["token_type"] = "JWT" }})
func TokenTypes() []string {
	return []string{
		"User Access Token", "Application Access Token", "bearer ", "Bearer Token", "BearerToken",
		"JWT", "N_A", "user", "bot", "access", "oauth",
	}
}
