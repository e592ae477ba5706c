package oauth

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// judgeDialect is judge for an answer in a dialect; errs is the table of the
// request. Exactly one of pair and error is non-nil.
func judgeDialect(n DialectAnswer, errs []DialectError, a answer) (*TokenPair, *Error) {
	by := a.by()
	by.tokenPath = n.TokenPath
	a.settings = &by
	fields := a.fields()
	if isSuccess(a.status) {
		if pair := n.pair(a, fields); pair != nil {
			return pair, nil
		}
	}
	fail := n.failure(a, errs, fields)
	a.miss(fail)
	return nil, fail
}

// failure judges like a standard answer whose code means what the table says. Words
// of other dialects, invalid_grant among them, decide nothing.
func (n DialectAnswer) failure(a answer, errs []DialectError, fields map[string]json.RawMessage) *Error {
	code := n.code(fields)
	known := slices.ContainsFunc(errs, func(e DialectError) bool { return e.Code != "" && e.names(code) })
	if !known && !plausibleCode(code) {
		code = ""
	}
	var m meaning
	var cause error
	for _, e := range errs {
		if e.fits(a.status, code, known, a.page()) {
			m, cause = e.meaning(a.op)
			break
		}
	}
	fail := a.failureBy(fields, code, m)
	if (fail.Err == nil || fail.Err == errNotUsable) && cause != nil && (m.kind == nil || fail.Kind == m.kind) {
		fail.Err = cause
	}
	return fail
}

// code follows the path to the error code, or returns "".
func (n DialectAnswer) code(fields map[string]json.RawMessage) string {
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
	return textField(fields, last)
}

// names reports whether code is e's, in whatever spelling.
func (e DialectError) names(code string) bool {
	return code == e.Code || code != "" && codeWord(code) == codeWord(e.Code)
}

// fits reports whether e is about an answer. A refusal in words of the table is not
// also one without words, and a web page is somebody else's.
func (e DialectError) fits(status int, code string, known, page bool) bool {
	if e.Status != 0 && e.Status != status {
		return false
	}
	if e.Code == "" {
		return isRefusal(status) && !known && !page
	}
	return e.names(code)
}

// meaning returns what e says, and the finer reason, which goes into the error. A
// status alone ends no session: there the reason is all.
func (e DialectError) meaning(op string) (m meaning, cause error) {
	kind := e.kind()
	if e.Means != kind {
		cause = e.Means
	}
	switch {
	case e.Code == "" && op == opRefresh:
		return meaning{}, cause
	case kind == ErrLoginRequired:
		return meaning{kind: kind, verdict: VerdictEnded, listed: true}, cause
	case kind == ErrTransient:
		return meaning{kind: kind, verdict: VerdictTrouble}, cause
	}
	return meaning{kind: kind, verdict: VerdictUnclear}, cause
}

// pair reads a successful answer, or returns nil if it has no usable token.
func (n DialectAnswer) pair(a answer, fields map[string]json.RawMessage) *TokenPair {
	members, closed := a.tokenFields(fields)
	p := a.read(n.standard(members))
	if p == nil || n.RefreshCookie == "" {
		return usable(p, closed)
	}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		life, known := cookieLifetime(a, c)
		if c.Name != n.RefreshCookie || c.Value == "" || known && life <= 0 {
			continue // another one, or one that deletes the cookie
		}
		p.RefreshToken = verbatim(c)
		if known {
			p.RefreshExpiresAt = p.IssuedAt.Add(life)
		}
	}
	return usable(p, closed)
}

// standard returns the fields under the names of RFC 6749. What has another name
// in this dialect is not also looked for under the standard one.
func (n DialectAnswer) standard(fields map[string]json.RawMessage) map[string]json.RawMessage {
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
func spelled(fields map[string]json.RawMessage, name string) string {
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
func cookieLifetime(a answer, c *http.Cookie) (time.Duration, bool) {
	switch {
	case c.MaxAge < 0: // net/http's spelling of Max-Age=0, too
		return 0, true
	case believable(int64(c.MaxAge)):
		return time.Duration(c.MaxAge) * time.Second, true
	case c.MaxAge == 0 && !c.Expires.IsZero():
		life := c.Expires.Sub(a.serverTime().Round(0))
		return max(life, 0), life <= maxLifetime
	}
	return a.jwtLifetime(c.Value)
}

// isHeaderWord reports whether s can name a header, a cookie or a scheme (RFC
// 9110 section 5.6.2).
func isHeaderWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}
