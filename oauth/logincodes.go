package oauth

// hintAgain is for a code that cannot be redeemed any more.
const hintAgain = "start the login again"

// loginCodes are codes that end an attempt to log in, and mean nothing when a
// refresh is answered: there, they are no reason to end a session.
var loginCodes = map[string]meaning{
	// The person, or a policy, said no: RFC 6749 section 4.1.2.1 and RFC 8628
	// section 3.5, then what device flows in use say for it.
	"access_denied":          {kind: ErrLoginRequired, reason: ErrAccessDenied},
	"authorization_declined": {kind: ErrLoginRequired, reason: ErrAccessDenied},
	"authorization_denied":   {kind: ErrLoginRequired, reason: ErrAccessDenied},
	"user_denied":            {kind: ErrLoginRequired, reason: ErrAccessDenied},
	"user_cancelled":         {kind: ErrLoginRequired, reason: ErrAccessDenied},

	// The code came too late: RFC 8628 section 3.5, and other words for it.
	"expired_token":       {kind: ErrLoginRequired, reason: ErrCodeExpired},
	"code_expired":        {kind: ErrLoginRequired, reason: ErrCodeExpired},
	"expired_code":        {kind: ErrLoginRequired, reason: ErrCodeExpired},
	"device_code_expired": {kind: ErrLoginRequired, reason: ErrCodeExpired},
	"expired_device_code": {kind: ErrLoginRequired, reason: ErrCodeExpired},

	// The server does not know the code, or not any more. RFC 6749 section 5.2 has
	// invalid_grant for it.
	"bad_verification_code": {kind: ErrLoginRequired, hint: hintAgain},
	"incorrect_device_code": {kind: ErrLoginRequired, hint: hintAgain},
	"invalid_device_code":   {kind: ErrLoginRequired, hint: hintAgain},
	"invalid_code":          {kind: ErrLoginRequired, hint: hintAgain},

	"unsupported_response_type": {kind: ErrMisconfigured, hint: "the server does not offer the authorization code flow to this client"},
	"device_flow_disabled":      {kind: ErrMisconfigured, hint: "turn the device flow on where the client is registered, or log in with a browser"},
	"redirect_uri_mismatch":     {kind: ErrMisconfigured, hint: "check Config.RedirectURL: the client is registered with another"},
}
