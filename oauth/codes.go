package oauth

import "net/http"

// A meaning is what an error code says, whatever the grant.
type meaning struct {
	kind   error // nil: by itself the code decides nothing
	reason error // the finer sentinel, if there is one
	hint   string
}

// codes is the closed list of error codes that decide something when a server
// refuses a request. A code that is not here is a refusal like any other.
var codes = map[string]meaning{
	// RFC 6749 section 5.2. The code alone cannot tell an expired refresh token
	// from a revoked or a reused one.
	"invalid_grant": {kind: ErrLoginRequired},

	// What home-grown JSON backends say instead.
	"TOKEN_EXPIRED":          {kind: ErrLoginRequired, reason: ErrTokenExpired},
	"TOKEN_REUSED":           {kind: ErrLoginRequired, reason: ErrTokenReused},
	"TOKEN_INVALID":          {kind: ErrLoginRequired, reason: ErrTokenInvalid},
	"USER_NOT_FOUND":         {kind: ErrLoginRequired, reason: ErrUserNotFound},
	"REFRESH_TOKEN_REQUIRED": {kind: ErrMisconfigured, reason: ErrRefreshTokenRequired},

	"invalid_client": {kind: ErrMisconfigured,
		hint: "check client ID, client secret and Config.ClientAuth (servers differ: client_secret_basic, client_secret_post, or basic without form-encoding)"},
	"unauthorized_client":    {kind: ErrMisconfigured, hint: "this client is not allowed to use this grant; check its registration"},
	"invalid_scope":          {kind: ErrMisconfigured, hint: "check Config.Scopes"},
	"invalid_request":        {kind: ErrMisconfigured},
	"unsupported_grant_type": {kind: ErrMisconfigured, hint: "the server does not offer this grant"},
	"invalid_target":         {kind: ErrMisconfigured, hint: "check the resource indicator"},

	"temporarily_unavailable": {kind: ErrTransient},
	"server_error":            {kind: ErrTransient},
	"slow_down":               {kind: ErrTransient},
	errCodeDPoPNonce:          {kind: ErrTransient}, // twice in a row: its nonces change too fast for us
	errCodeDPoPProof:          {kind: ErrMisconfigured, hint: "check this machine's clock, and that Config.TokenURL is the address by which the server knows itself"},
	"authorization_pending":   {kind: ErrTransient},
}

// meaningOf looks a code up for the given operation; the zero meaning decides
// nothing.
func meaningOf(op, code string) meaning {
	if m, known := codes[code]; known || op == opRefresh {
		return m
	}
	return loginCodes[code]
}

func isSuccess(status int) bool { return status >= 200 && status <= 299 }

// isRefusal reports whether a status says that the server looked at the request
// and did not want it. 408, 425 and 429 speak of the moment, not of the request.
func isRefusal(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status <= 499
}

// plausibleCode reports whether a server's error code may be repeated in our
// messages. RFC 6749 would allow any printable text, a token among them; real
// codes are words joined by underscores.
func plausibleCode(code string) bool {
	if code == "" || len(code) > 40 {
		return false
	}
	lower, upper := true, true
	for _, r := range code {
		lower = lower && (r >= 'a' && r <= 'z' || r == '_')
		upper = upper && (r >= 'A' && r <= 'Z' || r == '_')
	}
	return lower || upper
}
