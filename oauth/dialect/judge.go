package dialect

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// judge is judge for an answer in a dialect; errs is the table of the
// request. Exactly one of pair and error is non-nil.
func judge(n Answer, errs []Error, a *wire.Answer) (*oauth.TokenPair, *oauth.Error) {
	a.Settings.TokenPath = n.TokenPath
	fields := a.Fields()
	if wire.IsSuccess(a.Status) {
		if pair := n.pair(a, fields); pair != nil {
			return pair, nil
		}
	}
	fail := n.failure(a, errs, fields)
	a.Miss((*wire.Failure)(fail))
	return nil, fail
}

// failure judges like a standard answer whose code means what the table says. Words
// of other dialects, invalid_grant among them, decide nothing.
func (n Answer) failure(a *wire.Answer, errs []Error, fields member.Fields) *oauth.Error {
	code := n.code(fields)
	known := slices.ContainsFunc(errs, func(e Error) bool { return e.Code != "" && e.names(code) })
	if !known && !wire.PlausibleCode(code) {
		code = ""
	}
	var m wire.Meaning
	var cause error
	for _, e := range errs {
		if e.fits(a.Status, code, known, a.Page()) {
			m, cause = e.meaning(a.Op)
			break
		}
	}
	fail := (*oauth.Error)(a.FailureBy(fields, code, m))
	if (fail.Err == nil || fail.Err == wire.ErrNotUsable) && cause != nil && (m.Kind == nil || fail.Kind == m.Kind) {
		fail.Err = cause
	}
	return fail
}

// code follows the path to the error code, or returns "".
func (n Answer) code(fields member.Fields) string {
	if len(n.ErrorCode) == 0 {
		return ""
	}
	path, last := n.ErrorCode[:len(n.ErrorCode)-1], n.ErrorCode[len(n.ErrorCode)-1]
	for _, name := range path {
		var object map[string]json.RawMessage
		if json.Unmarshal(fields[name], &object) != nil {
			return ""
		}
		fields = object
	}
	return fields.Text(last)
}

// names reports whether code is e's, in whatever spelling.
func (e Error) names(code string) bool {
	return code == e.Code || code != "" && wire.CodeWord(code) == wire.CodeWord(e.Code)
}

// fits reports whether e is about an answer. A refusal in words of the table is not
// also one without words, and a web page is not the backend's word.
func (e Error) fits(status int, code string, known, page bool) bool {
	if e.Status != 0 && e.Status != status {
		return false
	}
	if e.Code == "" {
		return wire.IsRefusal(status) && !known && !page
	}
	return e.names(code)
}

// meaning returns what e says, and the finer reason, which goes into the error. A
// status alone ends no session: there the reason is all.
func (e Error) meaning(op string) (m wire.Meaning, cause error) {
	kind := e.kind()
	if e.Means != kind {
		cause = e.Means
	}
	switch {
	case e.Code == "" && op == wire.OpRefresh:
		return wire.Meaning{}, cause
	case kind == oauth.ErrLoginRequired:
		return wire.Meaning{Kind: kind, Verdict: wire.VerdictEnded, Listed: true}, cause
	case kind == oauth.ErrTransient:
		return wire.Meaning{Kind: kind, Verdict: wire.VerdictTrouble}, cause
	}
	return wire.Meaning{Kind: kind, Verdict: wire.VerdictUnclear}, cause
}

// pair reads a successful answer, or returns nil if it has no usable token.
func (n Answer) pair(a *wire.Answer, fields member.Fields) *oauth.TokenPair {
	members, closed := a.TokenFields(fields)
	p := oauth.ReadPair(a, n.standard(members))
	if p == nil {
		return nil
	}
	if n.RefreshCookie != "" {
		n.readCookies(a, p)
	}
	if !wire.Suffices(p.RefreshToken, closed) {
		return nil
	}
	return p
}

// readCookies gives p the refresh token that a cookie brings, if one does.
func (n Answer) readCookies(a *wire.Answer, p *oauth.TokenPair) {
	for _, c := range (&http.Response{Header: a.Header}).Cookies() {
		life, known := cookieLifetime(a, c)
		if c.Name != n.RefreshCookie || c.Value == "" || known && life <= 0 {
			continue // another one, or one that deletes the cookie
		}
		p.RefreshToken = verbatim(c)
		if known {
			p.RefreshExpiresAt = p.IssuedAt.Add(life)
		}
	}
}

// standard returns the fields under the names of RFC 6749. What has another name
// in this dialect is not also looked for under the standard one.
func (n Answer) standard(fields member.Fields) map[string]json.RawMessage {
	renamed := map[string]string{
		"access_token": n.AccessToken, "refresh_token": n.RefreshToken, "token_type": n.TokenType,
		"expires_in": n.ExpiresIn, "scope": n.Scope, "id_token": n.IDToken,
		"refresh_token_expires_in": n.RefreshExpiresIn,
	}
	out := maps.Clone(fields)
	for standard, name := range renamed {
		if name != "" {
			delete(out, standard)
			delete(out, spelled(fields, name))
		}
	}
	for standard, name := range renamed {
		if raw, found := fields[spelled(fields, name)]; found && name != "" {
			out[standard] = raw
		}
	}
	return out
}

// spelled returns the name as fields have it: exactly, or else the first in byte
// order that differs by case only.
func spelled(fields member.Fields, name string) string {
	if _, exact := fields[name]; exact {
		return name
	}
	for _, other := range slices.Sorted(maps.Keys(fields)) {
		if strings.EqualFold(other, name) {
			return other
		}
	}
	return name
}

// verbatim returns a cookie's value as it came: a user agent takes quotes for a
// part of it (RFC 6265 section 5.2).
func verbatim(c *http.Cookie) string {
	if c.Quoted {
		return `"` + c.Value + `"`
	}
	return c.Value
}

// cookieLifetime is how long a refresh token in a cookie lives; not at all, if it
// is zero. Max-Age comes before Expires (RFC 6265 section 5.3), which is by the
// server's clock.
func cookieLifetime(a *wire.Answer, c *http.Cookie) (time.Duration, bool) {
	switch {
	case c.MaxAge < 0: // net/http's spelling of Max-Age=0, too
		return 0, true
	case lifetime.Believable(int64(c.MaxAge)):
		return time.Duration(c.MaxAge) * time.Second, true
	case c.MaxAge == 0 && !c.Expires.IsZero():
		life := c.Expires.Sub(a.ServerTime().Round(0))
		return max(life, 0), life <= lifetime.Max
	}
	return lifetime.OfJWT(c.Value, a.ServerTime().Round(0))
}
