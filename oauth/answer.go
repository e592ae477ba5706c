package oauth

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/internal/lenient"
)

// An answer is what came back for a token request, with everything that judging
// it needs. Judging is separate from asking, so that it can be tested and fuzzed
// without a network.
type answer struct {
	op       string
	status   int
	header   http.Header
	body     []byte
	whole    bool      // the body arrived completely and within the limit
	sentAt   time.Time // before the request was sent
	received time.Time
	settings *answerSettings // nil: none. A pointer, as each function on the way to the server has a copy
}

// answerSettings are what of a configuration an answer is read by.
type answerSettings struct {
	fallback   time.Duration // Config.DefaultLifetime
	auth       ClientAuth    // how the client authenticated, if it did
	endCodes   []string      // Preset.EndCodes
	tokenPath  string        // Config.TokenPath or that of a dialect
	secretEnds time.Time     // Config.ClientSecretExpiresAt, zero if the secret does not end
}

// by returns what the answer is read by.
func (a answer) by() answerSettings {
	if a.settings == nil {
		return answerSettings{}
	}
	return *a.settings
}

// object returns the JSON object in the body, as far as it stands there: a good
// answer is read however odd the rest of it is, since what has been answered with
// tokens must not be sent again. A refusal of which the end is missing is not read:
// it could end a session, and asking again costs nothing.
func (a answer) object() lenient.Object {
	if !a.whole && !isSuccess(a.status) {
		return lenient.Object{}
	}
	o := lenient.Read(a.body, a.header.Get("Content-Type"), a.whole)
	o.Members = inOurCase(o.Members)
	return o
}

// members returns the members that stand whole in the body, or nil. There may have
// been more behind a cut. They can share the body's memory.
func (a answer) members() map[string]json.RawMessage { return a.object().Members }

// fields returns the members of the object in the body, or nil if there is none, or
// if it is cut.
func (a answer) fields() map[string]json.RawMessage {
	if o := a.object(); o.Closed {
		return o.Members
	}
	return nil
}

// tokenFields returns the members among which the tokens are, and whether these are
// all. fields is what a.fields returned.
//
// With a path they are those of the object at its end, and nothing from above is
// mixed in: there can be another token, for another purpose. Where the path's first
// member is missing in an answer that is whole, it is read as if there were no path:
// servers nest the tokens of a login and send those of a refresh plainly.
func (a answer) tokenFields(fields map[string]json.RawMessage) (members map[string]json.RawMessage, closed bool) {
	first, _, _ := strings.Cut(a.by().tokenPath, ".")
	if _, nested := fields[first]; fields != nil && !nested {
		return fields, true
	}
	o := a.object()
	if a.by().tokenPath != "" {
		for name := range strings.SplitSeq(a.by().tokenPath, ".") {
			o = o.Child(name)
		}
	}
	return inOurCase(o.Members), o.Closed
}

// page reports whether the body is a web page: markup, and no object behind it as
// behind the notices of some interpreters.
func (a answer) page() bool {
	return strings.HasPrefix(a.beginning(512), "<") && a.fields() == nil
}

// text returns the beginning of a body that is text for people, and "" for any other: a
// page, an object, or what is left of one.
func (a answer) text() string {
	text := a.beginning(maxPhrase)
	if !a.whole || strings.IndexAny(text, "<{[\"") == 0 || a.fields() != nil {
		return ""
	}
	return text
}

// beginning returns the first n bytes of the body, without a byte order mark and the
// space around.
func (a answer) beginning(n int) string {
	return strings.TrimSpace(strings.TrimPrefix(string(a.body[:min(len(a.body), n)]), "\ufeff"))
}

var responseNames = []string{"access_token", "refresh_token", "token_type", "expires_in", "scope", "id_token"}

// caselessNames are found in whatever case a server writes them, as by x/oauth2.
var caselessNames = append(responseNames[:len(responseNames):len(responseNames)],
	"error", "error_description", "device_code", "user_code", "verification_uri", "verification_url",
	"verification_uri_complete", "interval", "client_id", "client_secret", "request_uri")

// inOurCase renames members whose names differ from ours by case and space only. The
// exact name wins over others unless its value is null, and of those the first in byte
// order: some rule has to be.
func inOurCase(members map[string]json.RawMessage) map[string]json.RawMessage {
	odd := false
	for name := range members {
		odd = odd || ourCase(name) != name
	}
	if !odd {
		return members
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		ours := ourCase(name)
		value, taken := members[ours]
		if taken && string(value) != "null" || !slices.Contains(caselessNames, ours) {
			continue
		}
		members[ours] = members[name]
		delete(members, name)
	}
	return members
}

func ourCase(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// pair reads a successful answer, or returns nil if it has no usable token. fields
// is what a.fields returned.
func (a answer) pair(fields map[string]json.RawMessage) *TokenPair {
	members, closed := a.tokenFields(fields)
	return usable(a.read(members), closed)
}

// usable returns p, or nil if it may lack the refresh token. closed tells whether
// all of the answer was read.
//
// An answer that is cut counts if its refresh token stands whole in it. With the
// access token alone it does not: a new refresh token may have stood behind the cut.
// The one that we have would then be spent, and to keep it would end the session
// with the next refresh, long after the server's grace. Sent again at once, it is
// still inside of that; and where nothing rotates, that costs a request.
func usable(p *TokenPair, closed bool) *TokenPair {
	if p == nil || !closed && p.RefreshToken == "" {
		return nil
	}
	return p
}

// read returns the pair that members hold, which it uses up, or nil if there is no
// usable access token. A token that no header can carry is none. Nor is there a pair
// with a refresh token that cannot be read: to keep the one that we have in its place
// would end the session with the next refresh.
func (a answer) read(members map[string]json.RawMessage) *TokenPair {
	access := bareToken(tokenText(members["access_token"]))
	if !usableToken(access) || illegible(members["refresh_token"]) {
		return nil
	}
	sentAt := a.sentAt.Round(0)
	p := &TokenPair{
		AccessToken:  access,
		RefreshToken: tokenText(members["refresh_token"]),
		TokenType:    textField(members, "token_type"),
		IssuedAt:     sentAt,
		Scope:        scopeField(members),
		IDToken:      strings.TrimSpace(textField(members, "id_token")),
		Skew:         a.skew(),
	}
	p.ExpiresIn, _ = secondsField(members, "expires_in")
	if life, known := a.lifetime(members, p); known {
		p.ExpiresAt = sentAt.Add(life)
	}
	if life, known := a.refreshLifetime(members, p.RefreshToken); known {
		p.RefreshExpiresAt = sentAt.Add(life)
	}
	p.RefreshAt = refreshHint(members, p)
	p.Extra = without(members, responseNames)
	return p
}

// usableToken reports whether a token can travel in a header: printable ASCII
// (RFC 6749 appendix A.12).
func usableToken(token string) bool {
	for i := range len(token) {
		if token[i] < 0x20 || token[i] > 0x7e {
			return false
		}
	}
	return strings.TrimSpace(token) != ""
}

// maxRetryAfter caps what a server can ask for, so that a typing mistake on its
// side does not end a session for a year.
const maxRetryAfter = time.Hour

// retryAt reads Retry-After in both forms (RFC 9110 section 10.2.3), or what the
// answer's members say instead. A date is taken relative to the server's own Date, so
// that clock skew cancels out.
func (a answer) retryAt(fields map[string]json.RawMessage) time.Time {
	text := strings.TrimSpace(a.header.Get("Retry-After"))
	wait := waitInBody(fields)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		wait = time.Duration(min(n, int64(maxRetryAfter/time.Second))) * time.Second
	} else if when, err := http.ParseTime(text); err == nil {
		wait = when.Sub(a.serverTime())
	}
	if wait <= 0 {
		return time.Time{}
	}
	return a.received.Round(0).Add(min(wait, maxRetryAfter))
}

// secretEnded reports whether the client authenticated by a secret that was no good
// any more, by the server's clock, when the answer came.
func (a answer) secretEnded() bool {
	by := a.by()
	return by.auth.usesSecret() && !by.secretEnds.IsZero() && !a.serverTime().Before(by.secretEnds)
}

// serverTime is the server's clock when it answered, or ours if it did not say.
func (a answer) serverTime() time.Time {
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		return date
	}
	return a.received
}

// skew is how far our clock is ahead of the server's, zero if that is not known.
func (a answer) skew() time.Duration {
	skew, _ := dpop.Skew(a.header, a.received)
	return skew
}
