package wire

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/internal/lenient"
	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/internal/retryafter"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
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
	Spent           string        // the refresh token that was sent, if one was
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

// Page reports whether the body is a web page: markup, and no object behind it as behind the
// notices of some interpreters. XML does not count, except under 403, where firewalls and object
// stores answer so.
func (a *Answer) Page() bool {
	text := strings.ToLower(a.beginning(512))
	mediaType, _, _ := strings.Cut(strings.ToLower(a.Header.Get("Content-Type")), ";")
	isXML := strings.HasPrefix(text, "<?xml") || strings.HasSuffix(strings.TrimSpace(mediaType), "/xml")
	if isXML && a.Status != http.StatusForbidden && !strings.Contains(text, "<html") && !strings.Contains(text, "<!doctype html") {
		return false
	}
	return strings.HasPrefix(text, "<") && a.Fields() == nil
}

// text returns the beginning of a body that is text for people, and "" for any other: a
// page, an object, or what is left of one.
func (a *Answer) text() string {
	text := a.beginning(maxPhrase)
	if !a.Whole || strings.IndexAny(text, "{[\"") == 0 || a.Page() || a.Fields() != nil {
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

// IsSuccess reports whether a status is 2xx.
func IsSuccess(status int) bool { return status >= 200 && status <= 299 }

// IsRefusal reports whether a status says that the server looked at the request
// and did not want it. 408, 425 and 429 speak of the moment, not of the request.
func IsRefusal(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status <= 499
}

// maxRetryAfter caps what a server can ask for, so that a typing mistake on its
// side does not end a session for a year.
const maxRetryAfter = time.Hour

// RetryAt returns until when the server wants to be left alone, by Retry-After or by what the
// answer's members say instead; zero if it does not say.
func (a *Answer) RetryAt(fields member.Fields) time.Time {
	wait, told := retryafter.Wait(a.Header, a.Received)
	if !told {
		wait = waitInBody(fields)
	}
	if wait <= 0 {
		return time.Time{}
	}
	return a.Received.Round(0).Add(min(wait, maxRetryAfter))
}

// secretEnded reports whether the client authenticated by a secret that had
// expired, by the server's clock, when the answer came.
func (a *Answer) secretEnded() bool {
	return !a.Settings.SecretEnds.IsZero() && !a.ServerTime().Before(a.Settings.SecretEnds)
}

// ServerTime is the server's clock when it answered, or ours if it did not say.
func (a *Answer) ServerTime() time.Time {
	if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
		return date
	}
	return a.Received
}

// Clocks are what the life of a token in the answer is weighed by.
func (a *Answer) Clocks() lifetime.Clocks {
	_, err := http.ParseTime(a.Header.Get("Date"))
	return lifetime.Clocks{Server: a.ServerTime().Round(0), Ours: a.SentAt.Round(0), Dated: err == nil}
}

// Skew is how far our clock is ahead of the server's, zero if that is not known.
func (a *Answer) Skew() time.Duration {
	skew, _ := dpop.Skew(a.Header, a.Received)
	return skew
}

// waitInBody returns how long an answer's own members ask to wait, zero if they do
// not.
func waitInBody(fields member.Fields) time.Duration {
	for _, object := range errorObjects(fields) {
		for _, name := range waitMembers {
			if n, ok := object.Seconds(name); ok && n >= 0 {
				return time.Duration(min(n, int64(maxRetryAfter/time.Second)-1)+1) * time.Second // fractions were dropped
			}
		}
		for _, name := range waitMillisecondMembers {
			if n, ok := object.Seconds(name); ok && n >= 0 {
				return time.Duration(min(n, maxRetryAfter.Milliseconds()-1)+1) * time.Millisecond
			}
		}
	}
	return 0
}

// inflate undoes what net/http does not if it has not asked for it: a transport with
// DisableCompression, or a request with an Accept-Encoding that a proxy adds. What is
// compressed with gzip is known by its first bytes, whatever the header says. Of an
// answer that is cut it gives what there is.
func (a *Answer) inflate() {
	r := inflater(a.Body, a.Header)
	if r == nil {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	a.Body, a.Whole = body, a.Whole && err == nil && len(body) <= maxBody
}

// inflater returns a reader of what body is when it is inflated, or nil if it is not
// compressed in a way that is known here.
func inflater(body []byte, header http.Header) io.Reader {
	if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		if r, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			return r
		}
	}
	if !strings.EqualFold(strings.TrimSpace(header.Get("Content-Encoding")), "deflate") {
		return nil
	}
	// RFC 9110 section 8.4.1.2 means zlib; some servers send what is inside of it alone.
	if r, err := zlib.NewReader(bytes.NewReader(body)); err == nil {
		return r
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return nil // the header is wrong
	}
	return flate.NewReader(bytes.NewReader(body))
}
