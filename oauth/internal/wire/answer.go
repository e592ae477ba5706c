package wire

import (
	"net/http"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/lenient"
	"github.com/evertoken/evertoken/internal/member"
)

// An Answer is what came back for a request, with everything that judging it needs.
// Judging is separate from asking, so that it can be tested and fuzzed without a
// network.
type Answer struct {
	Op       string
	Status   int
	Header   http.Header
	Body     []byte
	Whole    bool      // the body arrived completely and within the limit
	SentAt   time.Time // before the request was sent
	Received time.Time
	Settings Settings
}

// Settings are what of a configuration an answer is read by.
type Settings struct {
	DefaultLifetime time.Duration // of an access token about which the server says nothing
	EndCodes        []string      // by which the provider ends a session at a refresh
	TokenPath       string        // where the tokens are
	Basic           bool          // the client authenticated by HTTP Basic
	SecretEnds      time.Time     // zero if it did so without a secret, or with one that does not end
	ClientHint      string        // what to check if the client is refused; empty means HintClient
}

// Object returns the JSON object in the body, as far as it stands there: a good
// answer is read however odd the rest of it is, since what has been answered with
// tokens must not be sent again. A refusal of which the end is missing is not read:
// it could end a session, and asking again costs nothing.
func (a *Answer) Object() lenient.Object {
	if !a.Whole && !IsSuccess(a.Status) {
		return lenient.Object{}
	}
	o := lenient.Read(a.Body, a.Header.Get("Content-Type"), a.Whole)
	o.Members = member.InOurCase(o.Members)
	return o
}

// Members returns the members that stand whole in the body, or nil. There may have
// been more behind a cut. They can share the body's memory.
func (a *Answer) Members() member.Fields { return a.Object().Members }

// Fields returns the members of the object in the body, or nil if there is none, or
// if it is cut.
func (a *Answer) Fields() member.Fields {
	if o := a.Object(); o.Closed {
		return o.Members
	}
	return nil
}

// TokenFields returns the members among which the tokens are, and whether these are
// all. fields is what a.Fields returned.
//
// With a path they are those of the object at its end, and nothing from above is
// mixed in: there can be another token, for another purpose. Where the path's first
// member is missing in an answer that is whole, it is read as if without a path:
// servers nest the tokens of a login and send those of a refresh plainly.
func (a *Answer) TokenFields(fields member.Fields) (members member.Fields, closed bool) {
	first, _, _ := strings.Cut(a.Settings.TokenPath, ".")
	if _, nested := fields[first]; fields != nil && !nested {
		return fields, true
	}
	o := a.Object()
	if a.Settings.TokenPath != "" {
		for name := range strings.SplitSeq(a.Settings.TokenPath, ".") {
			o = o.Child(name)
		}
	}
	return member.InOurCase(o.Members), o.Closed
}

// Page reports whether the body is a web page: markup, and no object behind it as
// behind the notices of some interpreters.
func (a *Answer) Page() bool {
	return strings.HasPrefix(a.beginning(512), "<") && a.Fields() == nil
}

// text returns the beginning of a body that is text for people, and "" for any other: a
// page, an object, or what is left of one.
func (a *Answer) text() string {
	text := a.beginning(maxPhrase)
	if !a.Whole || strings.IndexAny(text, "<{[\"") == 0 || a.Fields() != nil {
		return ""
	}
	return text
}

// beginning returns the first n bytes of the body, without a byte order mark and the
// space around.
func (a *Answer) beginning(n int) string {
	return strings.TrimSpace(strings.TrimPrefix(string(a.Body[:min(len(a.Body), n)]), "\ufeff"))
}

// Suffices reports whether an answer with a usable access token will do. refresh is the
// refresh token in it, and closed tells whether all of the answer was read.
//
// An answer that is cut counts if its refresh token stands whole in it. With the
// access token alone it does not: a new refresh token may have stood behind the cut.
// The one that we have would then be spent, and to keep it would end the session
// with the next refresh, long after the server's grace. Sent again at once, it is
// still inside of that; and where nothing rotates, that costs a request.
func Suffices(refresh string, closed bool) bool { return closed || refresh != "" }
