package wire

import (
	"slices"
	"strings"
)

// A Meaning is what an error code says, whatever the grant.
type Meaning struct {
	Kind    error // nil: by itself the code decides nothing
	Reason  error // the finer sentinel, if there is one
	Verdict Verdict
	Listed  bool // by the provider: it counts under 5xx too
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
