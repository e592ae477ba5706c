package wire

// hintAgain is for a code that cannot be redeemed any more.
const hintAgain = "start the login again"

// loginCodes are codes that end an attempt to log in, and mean nothing when a
// refresh is answered: there, they do not end a session.
var loginCodes = map[string]Meaning{
	// The person, or a policy, said no: RFC 6749 section 4.1.2.1 and RFC 8628
	// section 3.5, then what device flows in use say for it.
	"access_denied":          {Kind: ErrLoginRequired, Reason: ErrAccessDenied},
	"authorization_declined": {Kind: ErrLoginRequired, Reason: ErrAccessDenied},
	"authorization_denied":   {Kind: ErrLoginRequired, Reason: ErrAccessDenied},
	"user_denied":            {Kind: ErrLoginRequired, Reason: ErrAccessDenied},
	"user_cancelled":         {Kind: ErrLoginRequired, Reason: ErrAccessDenied},

	// The code came too late: RFC 8628 section 3.5, and other words for it.
	"expired_token":       {Kind: ErrLoginRequired, Reason: ErrCodeExpired},
	"code_expired":        {Kind: ErrLoginRequired, Reason: ErrCodeExpired},
	"expired_code":        {Kind: ErrLoginRequired, Reason: ErrCodeExpired},
	"device_code_expired": {Kind: ErrLoginRequired, Reason: ErrCodeExpired},
	"expired_device_code": {Kind: ErrLoginRequired, Reason: ErrCodeExpired},

	// The server does not know the code, or not any more. RFC 6749 section 5.2 has
	// invalid_grant for it.
	"bad_verification_code": {Kind: ErrLoginRequired, Hint: hintAgain},
	"incorrect_device_code": {Kind: ErrLoginRequired, Hint: hintAgain},
	"invalid_device_code":   {Kind: ErrLoginRequired, Hint: hintAgain},
	"invalid_code":          {Kind: ErrLoginRequired, Hint: hintAgain},

	"unsupported_response_type": {Kind: ErrMisconfigured, Hint: "the server does not offer the authorization code flow to this client"},
	"device_flow_disabled":      {Kind: ErrMisconfigured, Hint: "turn the device flow on where the client is registered, or log in with a browser"},
	"redirect_uri_mismatch":     {Kind: ErrMisconfigured, Hint: "check Config.RedirectURL: the client is registered with another", Field: "RedirectURL"},
}
