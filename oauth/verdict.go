package oauth

import "github.com/evertoken/evertoken/oauth/internal/wire"

// A Verdict is what an error says about the session whose tokens were in the
// request. Only VerdictEnded ends one. See docs/verdicts.md for which answer is
// which.
type Verdict uint8

const (
	// VerdictTrouble: the moment is bad, or the request did not arrive. Try again
	// later, not before Error.RetryAt.
	VerdictTrouble Verdict = iota
	// VerdictUnknown: the server may have acted on the request, and its answer did
	// not come through. Send it again within seconds: many servers keep a grace
	// window for this case.
	VerdictUnknown
	// VerdictEnded: the server has said, by one of a closed list of words, that the
	// grant is over. Only a login helps.
	VerdictEnded
	// VerdictClient: the server does not accept the client. That says nothing about
	// the session.
	VerdictClient
	// VerdictUnclear: the server, or something in front of it, refuses in words that
	// mean anything from a dead token to a wrong address.
	VerdictUnclear
	// VerdictUnread: the server has answered with tokens that stand where none are
	// expected. The refresh token is spent; sending it again would count as reuse.
	VerdictUnread
	// VerdictSettings: something here has to be changed, and the server was not
	// asked or did not look: a mistake in the configuration, a redirect, a DPoP proof
	// that is refused.
	VerdictSettings
)

// String names the verdict.
func (v Verdict) String() string {
	names := [...]string{"trouble", "unknown", "ended", "client refused", "unclear", "unread", "settings"}
	if int(v) >= len(names) {
		return "invalid"
	}
	return names[v]
}

// Verdict returns what e says about the session. It goes by e's fields alone, so
// that it also serves for errors that another Refresher makes.
func (e *Error) Verdict() Verdict { return Verdict((*wire.Failure)(e).Verdict()) }

// EndsSession reports whether an error code is one of the closed list of words by
// which servers end sessions, in whatever case it is spelled. A dialect.Dialect has a
// list of its own.
func EndsSession(code string) bool {
	return wire.MeaningOf(opRefresh, code).Verdict == wire.VerdictEnded
}
