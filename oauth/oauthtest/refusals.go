package oauthtest

func refreshRefusals() []Refusal {
	return []Refusal{
		{Name: "401 invalid_grant", Status: 401, Body: `{"error":"invalid_grant"}`},
		{Name: "400 invalid_request", Status: 400, Body: `{"error":"invalid_request","error_description":"the refresh token is invalid"}`},
		{Name: "400 unauthorized_client", Status: 400, Body: `{"error":"unauthorized_client"}`},
		{Name: "400 and nothing", Status: 400},
		{Name: "401 code and message", Status: 401, Body: `{"code":401,"message":"token is expired"}`},
		{Name: "400 invalid_client", Status: 400, Body: `{"error":"invalid_client"}`},
		{Name: "401 invalid_client", Status: 401, Challenge: `Basic realm="x"`, Body: `{"error":"invalid_client"}`},
		{Name: "403 invalid_client", Status: 403, Body: `{"error":"invalid_client"}`},
		{Name: "400 plain text", Status: 400, ContentType: "text/plain", Body: "Bad refresh token\n"},
		{Name: "401 like the API's", Status: 401, Challenge: `Bearer error="invalid_token"`, Body: `{"error":"invalid_token"}`},
		{Name: "500 web page", Status: 500, ContentType: "text/html", Body: "<html><h1>Internal Server Error</h1></html>"},
	}
}

func accessRefusals() []Refusal {
	return []Refusal{
		{Name: "401 without a challenge", Status: 401},
		{Name: "401 with a malformed challenge", Status: 401, Challenge: `Bearer realm="never closed, error=`},
		{Name: "401 invalid_request", Status: 401, Challenge: `Bearer error="invalid_request"`, Body: `{"error":"invalid_request"}`},
		{Name: "403 access_denied", Status: 403, Body: `{"error":"access_denied"}`},
		{Name: "403 empty object", Status: 403, Body: `{}`},
		{Name: "403 empty web page", Status: 403, ContentType: "text/html"},
		{Name: "403 with a challenge", Status: 403, Challenge: `Bearer error="invalid_token"`},
	}
}

func passingRefusals() []Refusal {
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

func clientRefusals() []Refusal {
	return []Refusal{
		{Name: "401 invalid_client, the secret has ended", Status: 401, Body: `{"error":"invalid_client"}`},
		{Name: "400 unauthorized_client", Status: 400, Body: `{"error":"unauthorized_client"}`},
		{Name: "401 disabled_client", Status: 401, Body: `{"error":"disabled_client"}`},
	}
}

func deadAnswers() []Refusal {
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

func tokenTypes() []string {
	return []string{
		"User Access Token", "Application Access Token", "bearer ", "Bearer Token", "BearerToken",
		"JWT", "N_A", "user", "bot", "access", "oauth",
	}
}
