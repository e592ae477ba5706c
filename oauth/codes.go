package oauth

import (
	"net/http"
	"slices"
	"strings"
	"unicode"
)

// A meaning is what an error code says, whatever the grant.
type meaning struct {
	kind    error // nil: by itself the code decides nothing
	reason  error // the finer sentinel, if there is one
	verdict Verdict
	listed  bool // by the provider: it counts under 5xx too
	hint    string
}

// ended is the meaning of a word by which a server ends a session.
func ended(reason error) meaning {
	return meaning{kind: ErrLoginRequired, reason: reason, verdict: VerdictEnded}
}

// clientRefused is the meaning of a word about the client, and not about a session.
func clientRefused(hint string) meaning {
	return meaning{kind: ErrMisconfigured, verdict: VerdictClient, hint: hint}
}

// wrongSetting is the meaning of a word about the request. Servers also say it of a
// dead refresh token, so that it proves nothing.
func wrongSetting(reason error, hint string) meaning {
	return meaning{kind: ErrMisconfigured, reason: reason, verdict: VerdictUnclear, hint: hint}
}

const (
	hintClient = "check client ID, client secret and Config.ClientAuth (servers differ: client_secret_basic, client_secret_post, or basic without form-encoding)"
	hintGrant  = "this client is not allowed to use this grant; check its registration"
	hintAbsent = "the server does not know this client any more, or has turned it off; check its registration"
)

// codes is the closed list of error codes that decide something, by what codeWord
// makes of them. A code that is not here, and that names no trouble, is a refusal
// like any other.
var codes = map[string]meaning{
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

	"invalid_client":      clientRefused(hintClient),
	"unauthorized_client": clientRefused(hintGrant),
	"disabled_client":     clientRefused(hintAbsent),
	"client_disabled":     clientRefused(hintAbsent),
	"deleted_client":      clientRefused(hintAbsent),
	"client_not_found":    clientRefused(hintAbsent),
	"unknown_client":      clientRefused(hintAbsent),

	"invalid_scope":          wrongSetting(nil, "check Config.Scopes"),
	"invalid_request":        wrongSetting(nil, ""),
	"unsupported_grant_type": wrongSetting(nil, "the server does not offer this grant"),
	"invalid_target":         wrongSetting(nil, "check the resource indicator"),

	"authorization_pending": {kind: ErrTransient, verdict: VerdictTrouble},
	errCodeDPoPNonce:        {kind: ErrTransient, verdict: VerdictTrouble}, // twice in a row: its nonces change too fast for us
	errCodeDPoPProof: {kind: ErrMisconfigured, verdict: VerdictSettings,
		hint: "check this machine's clock, and that Config.TokenURL is the address by which the server knows itself"},
}

// meaningOf looks a code up for the given operation; the zero meaning decides
// nothing.
func meaningOf(op, code string) meaning {
	word := codeWord(code)
	if m, known := codes[word]; known {
		return m
	}
	if op != opRefresh {
		if m, known := loginCodes[word]; known {
			return m
		}
	}
	switch {
	case namesTrouble(word):
		return meaning{kind: ErrTransient, verdict: VerdictTrouble}
	case namesClient(word):
		return clientRefused(hintClient)
	}
	return meaning{}
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

// codeWord returns a code in the spelling of RFC 6749: TOKEN_REUSED, tokenReused
// and token-reused are token_reused. What follows a colon is a description.
func codeWord(code string) string {
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
			lower = false
			continue
		case gap, lower && unicode.IsUpper(r):
			b.WriteByte('_')
		}
		gap, lower = false, unicode.IsLower(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// isCodeWord reports whether codeWord has nothing to change.
func isCodeWord(code string) bool {
	for i := range len(code) {
		if c := code[i]; (c < 'a' || c > 'z') && (c != '_' || i == 0 || i == len(code)-1) {
			return false
		}
	}
	return true
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
