package wire

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/evertoken/evertoken/internal/lenient"
	"github.com/evertoken/evertoken/internal/member"
)

// A Meaning is what an error code says, whatever the grant.
type Meaning struct {
	Kind    error // nil: by itself the code decides nothing
	Reason  error // the finer sentinel, if there is one
	Verdict Verdict
	Listed  bool // by the provider, for this status: it counts under 5xx too
	Hint    string
	Field   string // of oauth.Config, to look at
}

// ended is the meaning of a word by which a server ends a session.
func ended(reason error) Meaning {
	return Meaning{Kind: ErrLoginRequired, Reason: reason, Verdict: VerdictEnded}
}

// clientRefused is the meaning of a word about the client, and not about a session.
func clientRefused(hint string) Meaning {
	m := Meaning{Kind: ErrMisconfigured, Verdict: VerdictClient, Hint: hint}
	if hint == HintClient {
		m.Field = "ClientAuth"
	}
	return m
}

// wrongSetting is the meaning of a word about the request. Servers also say it of a
// dead refresh token, so that it proves nothing.
func wrongSetting(reason error, hint string) Meaning {
	return Meaning{Kind: ErrMisconfigured, Reason: reason, Verdict: VerdictUnclear, Hint: hint}
}

const (
	// HintClient is for a client that the server does not accept.
	HintClient = "check client ID, client secret and Config.ClientAuth (servers differ: client_secret_basic, client_secret_post, or basic without form-encoding)"
	hintGrant  = "this client is not allowed to use this grant; check its registration"
	hintAbsent = "the server does not know this client any more, or has turned it off; check its registration"
)

// codes is the closed list of error codes that decide something, by what CodeWord
// makes of them. A code that is not here, and that names no trouble, is a refusal
// like any other.
var codes = map[string]Meaning{
	// RFC 6749 section 5.2. The code alone cannot tell an expired refresh token
	// from a revoked or a reused one.
	"invalid_grant": ended(nil),

	// OpenID Connect Core section 3.1.2.6: the person has to do something.
	"login_required":             ended(nil),
	"interaction_required":       ended(nil),
	"consent_required":           ended(nil),
	"account_selection_required": ended(nil),

	// What GitHub and Slack say, under 200.
	"bad_refresh_token":     ended(ErrTokenInvalid),
	"invalid_refresh_token": ended(ErrTokenInvalid),

	// What home-grown JSON backends say instead.
	"token_expired":          ended(ErrTokenExpired),
	"token_reused":           ended(ErrTokenReused),
	"token_invalid":          ended(ErrTokenInvalid),
	"user_not_found":         ended(ErrUserNotFound),
	"refresh_token_required": wrongSetting(ErrRefreshTokenRequired, ""),

	"invalid_client":      clientRefused(HintClient),
	"unauthorized_client": clientRefused(hintGrant),
	"disabled_client":     clientRefused(hintAbsent),
	"client_disabled":     clientRefused(hintAbsent),
	"deleted_client":      clientRefused(hintAbsent),
	"client_not_found":    clientRefused(hintAbsent),
	"unknown_client":      clientRefused(hintAbsent),

	"invalid_scope":          {Kind: ErrMisconfigured, Verdict: VerdictUnclear, Hint: "check Config.Scopes", Field: "Scopes"},
	"invalid_request":        wrongSetting(nil, ""),
	"unsupported_grant_type": wrongSetting(nil, "the server does not offer this grant"),
	"invalid_target":         wrongSetting(nil, "check the resource indicator"),

	"authorization_pending": {Kind: ErrTransient, Verdict: VerdictTrouble},
	CodeDPoPNonce:           {Kind: ErrTransient, Verdict: VerdictTrouble}, // twice in a row: its nonces change too fast for us
	CodeDPoPProof: {Kind: ErrMisconfigured, Verdict: VerdictSettings,
		Hint: "check this machine's clock, and that Config.TokenURL is the address by which the server knows itself", Field: "TokenURL"},
}

// MeaningOf looks a code up for the given operation; the zero meaning decides
// nothing.
func MeaningOf(op, code string) Meaning {
	word := CodeWord(code)
	if m, known := codes[word]; known {
		return m
	}
	if op != OpRefresh {
		if m, known := loginCodes[word]; known {
			return m
		}
	}
	switch {
	case namesTrouble(word):
		return Meaning{Kind: ErrTransient, Verdict: VerdictTrouble}
	case namesClient(word):
		return clientRefused(HintClient)
	}
	return Meaning{}
}

// isDecisive reports whether a word is on our lists, which hold nothing that must not be
// repeated.
func isDecisive(word string) bool {
	_, known := codes[word]
	return known || namesClient(word)
}

// namesClient reports whether a word says of a client, and of nothing else, that it is
// not accepted: "client" or "application", what is wrong, and at most what of it.
func namesClient(word string) bool {
	client, wrong := false, false
	for part := range strings.SplitSeq(word, "_") {
		switch {
		case part == "client", part == "application":
			client = true
		case slices.Contains(clientFaults, part):
			wrong = true
		case !slices.Contains(clientParts, part):
			return false
		}
	}
	return client && wrong
}

var (
	clientFaults = []string{
		"invalid", "incorrect", "bad", "wrong", "unknown", "unauthorized", "unauthenticated", "unregistered",
		"disabled", "deleted", "inactive", "expired", "suspended", "blocked", "revoked", "rejected", "failed", "found",
	}
	clientParts = []string{"oauth", "id", "secret", "credential", "credentials", "authentication", "not", "is", "or"}
)

// CodeWord returns a code in the spelling of RFC 6749: TOKEN_REUSED, tokenReused
// and token-reused are token_reused. What follows a colon is a description.
func CodeWord(code string) string {
	code, _, _ = strings.Cut(code, ":")
	if isCodeWord(code) {
		return code
	}
	var b strings.Builder
	lower, gap := false, false
	for _, r := range code {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			gap = b.Len() > 0
			continue
		case gap, lower && unicode.IsUpper(r):
			b.WriteByte('_')
		}
		gap, lower = false, unicode.IsLower(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// isCodeWord reports whether CodeWord has nothing to change.
func isCodeWord(code string) bool {
	for i := range len(code) {
		if c := code[i]; (c < 'a' || c > 'z') && (c != '_' || i == 0 || i == len(code)-1) {
			return false
		}
	}
	return true
}

// PlausibleCode reports whether a server's error code may be repeated in our
// messages. RFC 6749 would allow any printable text, a token among them; real
// codes are words joined by underscores.
func PlausibleCode(code string) bool {
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

// IsSentAsGiven reports whether a header of this name, in any case, is sent with the value that a
// request has for it. The others say how a message is sent, and HTTP says that itself.
func IsSentAsGiven(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Te", "Upgrade":
		return false
	}
	return true
}

// IsHeaderWord reports whether s can name a header, a cookie or a scheme (RFC
// 9110 section 5.6.2).
func IsHeaderWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

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

// hasNumber reports whether an answer of Microsoft's servers has one of the AADSTS
// numbers.
func hasNumber(fields member.Fields, list []int) bool {
	var numbers []int
	if raw, found := fields["error_codes"]; found && json.Unmarshal(raw, &numbers) != nil {
		return false
	}
	return slices.ContainsFunc(numbers, func(n int) bool { return slices.Contains(list, n) })
}

// entraClientErrors are the AADSTS numbers about a client: not found in the tenant,
// wrong, expired or missing secret, wrong assertion, turned off. Source:
// learn.microsoft.com/entra/identity-platform/reference-error-codes.
var entraClientErrors = []int{700016, 7000215, 7000222, 7000218, 700024, 700027, 7000112, 7000114}

// entraTrouble are the AADSTS numbers about a bad moment: a service behind does not
// answer, or the client asks too often, which is said as invalid_grant.
var entraTrouble = []int{50196, 90006, 90012, 90024, 90033, 90036, 90055}

const (
	// maxNameDepth is how deep members are named: data.session.access_token.
	maxNameDepth = 3
	// maxNames bounds what an error lists.
	maxNames = 20
	// maxNameLength and maxNameDigits tell names from values that a server uses as
	// names, such as tokens and hashes.
	maxNameLength, maxNameDigits = 40, 4
)

// memberNames returns the paths of the members of an answer, sorted, to show what a
// server sends under other names than expected. There is nothing in it but names that
// look like names; values never are.
func memberNames(fields member.Fields) []string {
	var names []string
	walk(fields, "", maxNameDepth, func(path, _ string, _ json.RawMessage) bool {
		names = append(names, path)
		return len(names) < maxNames
	})
	return names
}

// holdsTokens reports whether an answer seems to hold tokens, under whatever names:
// such an answer must not be asked for again, though we cannot read it.
func holdsTokens(fields member.Fields) bool {
	found := false
	walk(fields, "", maxNameDepth, func(_, name string, raw json.RawMessage) bool {
		text := member.Text(raw)
		found = namesToken(name) && member.UsableToken(text) && !strings.Contains(text, " ") || looksLikeJWT(text)
		return !found
	})
	return found
}

// walk calls see for each member to the given depth, in order of names, until it
// returns false. Members whose names look like values are passed over, and so is what
// is in them.
func walk(fields member.Fields, above string, depth int, see func(path, name string, raw json.RawMessage) bool) bool {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !isPlainName(name) {
			continue
		}
		if !see(above+name, name, fields[name]) {
			return false
		}
		if depth > 1 && !walk(childObject(fields[name]), above+name+".", depth-1, see) {
			return false
		}
	}
	return true
}

// childObject returns the members of an object in JSON, of the first in an array, or
// of one that was encoded once more.
func childObject(raw json.RawMessage) member.Fields {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		raw = list[0]
	}
	text := strings.TrimLeft(member.Text(raw), "\ufeff \t\r\n")
	if text == "" {
		return member.Object(raw)
	}
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "ey") { // base64 of it
		return nil
	}
	return lenient.Read([]byte(text), "", true).Members
}

// isPlainName reports whether a member's name can be shown.
func isPlainName(name string) bool {
	digits := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c >= '0' && c <= '9':
			digits++
		case !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-' || c == '.'):
			return false
		}
	}
	return name != "" && len(name) <= maxNameLength && digits <= maxNameDigits
}

// namesToken reports whether a member of this name can hold a token. Some hold
// words about one.
func namesToken(name string) bool {
	name = strings.ToLower(name)
	for _, about := range []string{"type", "error", "message", "description", "expir", "uri", "url", "endpoint", "name", "hint", "csrf", "xsrf", "verification"} {
		if strings.Contains(name, about) {
			return false
		}
	}
	return strings.Contains(name, "token") || strings.Contains(name, "jwt")
}

// looksLikeJWT reports whether text is a JWT by its shape, signed or encrypted (RFC
// 7515 section 3.1, RFC 7516 section 3.1).
func looksLikeJWT(text string) bool {
	header, _, _ := strings.Cut(text, ".")
	dots := strings.Count(text, ".")
	return (dots == 2 || dots == 4) && member.JWTPart(header) != nil
}

// ErrorCode finds the error code of an answer: the string of RFC 6749 section
// 5.2, or the "reason" (else the "code") of an error object. Where that decides nothing,
// it is a word about the client, which ends no session, or one that can only mean this
// refresh token, wherever the answer has its codes.
func ErrorCode(fields member.Fields, endCodes []string) string {
	code := plainCode(fields, endCodes)
	if MeaningOf(OpRefresh, code).Kind != nil || IsListed(endCodes, code) {
		return code
	}
	for _, object := range errorObjects(fields) {
		for _, name := range codeMembers {
			word := CodeWord(object.Text(name))
			if MeaningOf(OpRefresh, word).Verdict == VerdictClient || namesGrant(word) {
				return word
			}
		}
	}
	return code
}

// namesGrant reports whether a word that ends sessions names the grant or the refresh
// token. Others, such as token_expired, a gateway also says of a request that lacks an
// access token.
func namesGrant(word string) bool {
	return word == "invalid_grant" || word == "bad_refresh_token" || word == "invalid_refresh_token"
}

// plainCode returns the error code that stands where RFC 6749 and most others have it.
// It returns "" for anything that does not look like a code, unless it is one that we
// or endCodes know.
func plainCode(fields member.Fields, endCodes []string) string {
	code := fields.Text("error")
	var object member.Fields
	if code == "" && json.Unmarshal(fields["error"], &object) == nil {
		if code = object.Text("reason"); code == "" {
			code = object.Text("code")
		}
	}
	code, _, _ = strings.Cut(code, ":")
	code = strings.TrimSpace(code)
	if PlausibleCode(code) || isDecisive(CodeWord(code)) || IsListed(endCodes, code) {
		return code
	}
	return ""
}

// IsListed reports whether a list has a code, in whatever spelling.
func IsListed(list []string, code string) bool {
	return code != "" && slices.ContainsFunc(list, func(c string) bool { return c == code || CodeWord(c) == CodeWord(code) })
}

// Where answers have their codes, their words for people, a status of their own, and
// flags.
var (
	codeMembers    = []string{"error", "code", "error_code", "errorCode", "errorcode", "reason", "type", "__type", "errorType", "title", "name", "status"}
	messageMembers = []string{"message", "error_description", "error_message", "errorMessage", "error_summary", "errorSummary",
		"description", "detail", "msg", "errmsg", "faultstring"}
	statusMembers = []string{"status", "statusCode", "status_code", "httpStatus", "http_status"}
	numberMembers = []string{"code", "error_code"} // a status, or a number of the server's own
	flagMembers   = []string{"is_transient", "isTransient", "transient", "retryable", "temporary", "throttled"}
	waitMembers   = []string{"retry_after", "retryAfter", "retry_after_seconds", "retryAfterSeconds"}

	waitMillisecondMembers = []string{"retry_after_ms", "retryAfterMs"}
)

// errorMembers are where an answer tells more of an error: an object, or a list of
// them.
var errorMembers = []string{"error", "errors", "fault", "detail"}

// errorObjects returns the objects in which an answer tells of an error: itself, and
// what it holds as errorMembers, and those in turn. Of a list the first one counts.
func errorObjects(fields member.Fields) []member.Fields {
	if fields == nil {
		return nil
	}
	objects := []member.Fields{fields}
	for _, inner := range errorsIn(fields) {
		objects = append(append(objects, inner), errorsIn(inner)...)
	}
	return objects
}

// errorsIn returns the objects that an object holds as errorMembers.
func errorsIn(fields member.Fields) (objects []member.Fields) {
	for _, name := range errorMembers {
		raw := fields[name]
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
			raw = list[0]
		}
		var object member.Fields
		if json.Unmarshal(raw, &object) == nil && object != nil {
			objects = append(objects, object)
		}
	}
	return objects
}
