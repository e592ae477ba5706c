package dialect

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/lenient"
	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// judge is judge for an answer in a dialect; errs is the table of the
// request. Exactly one of pair and error is non-nil, but for what [wire.Answer.Overlooked]
// and [wire.Answer.Successor] find: then there are both, and for the latter a pair without an
// access token.
func judge(n Answer, errs []Error, a *wire.Answer) (*oauth.TokenPair, *oauth.Error) {
	a.Settings.TokenPath = n.tokenPath(a.Object())
	fields := a.Fields()
	var standard map[string]json.RawMessage
	if wire.IsSuccess(a.Status) {
		var closed bool
		standard, closed = n.members(a, fields)
		if pair := n.pair(a, standard, closed); pair != nil {
			if pair.RefreshToken == "" {
				return pair, (*oauth.Error)(a.Overlooked(pair.AccessToken, n.RefreshCookie))
			}
			return pair, nil
		}
		if pair := bare(a); pair != nil {
			return pair, nil
		}
	}
	fail := n.failure(a, errs, fields)
	a.Miss((*wire.Failure)(fail))
	if wire.IsSuccess(a.Status) {
		return n.successor(a, fail, standard), fail
	}
	return nil, fail
}

// successor returns the refresh token that is all that can be used of an answer, with its end;
// nil if there is none. members are under the names of RFC 6749.
func (n Answer) successor(a *wire.Answer, fail *oauth.Error, members map[string]json.RawMessage) *oauth.TokenPair {
	refresh, life, known := beside(a, n.RefreshCookie, n.RefreshHeader)
	if refresh != "" {
		members["refresh_token"], _ = json.Marshal(refresh)
	}
	next := a.Successor((*wire.Failure)(fail), members)
	if next == "" {
		return nil
	}
	p := &oauth.TokenPair{RefreshToken: next, IssuedAt: a.SentAt.Round(0)}
	if !known || next != refresh {
		life, known = a.Clocks().OfRefresh(members, next)
	}
	if known {
		p.RefreshExpiresAt = p.IssuedAt.Add(life)
	}
	return p
}

// members returns the members of an answer under the names of RFC 6749, and whether these are
// all.
func (n Answer) members(a *wire.Answer, fields member.Fields) (standard map[string]json.RawMessage, closed bool) {
	members, closed := a.TokenFields(fields)
	top := a.Object()
	here := top
	if n.TokenPath != "" {
		here = lenient.Object{Members: members, Closed: closed}
	}
	return n.standard(here, top, a.ServerTime().Round(0)), closed
}

// tokenPath returns TokenPath in the spelling that an answer has.
func (n Answer) tokenPath(o lenient.Object) string {
	if n.TokenPath == "" {
		return ""
	}
	names := strings.Split(n.TokenPath, ".")
	for i, name := range names {
		if name = spelled(o.Members, name); !strings.Contains(name, ".") {
			names[i] = name
		}
		o = o.Child(names[i])
	}
	return strings.Join(names, ".")
}

// failure judges like a standard answer whose code means what the table says. Words
// of other dialects, invalid_grant among them, decide nothing.
func (n Answer) failure(a *wire.Answer, errs []Error, fields member.Fields) *oauth.Error {
	code, known := n.code(fields, errs)
	if !known && !wire.PlausibleCode(code) {
		code = ""
	}
	var m wire.Meaning
	var cause error
	if i := slices.IndexFunc(errs, func(e Error) bool { return e.fits(a.Status, code, known, a.Page()) }); i >= 0 {
		m, cause = errs[i].meaning(a.Op, a.Status)
	} else if i := slices.IndexFunc(errs, func(e Error) bool { return known && e.Code == code }); i >= 0 && a.Status == http.StatusInternalServerError && errs[i].kind() == oauth.ErrLoginRequired {
		_, cause = errs[i].meaning(a.Op, a.Status) // a word for a dead session under another status
	}
	fail := (*oauth.Error)(a.FailureBy(fields, code, m))
	if known && m.Kind == nil && cause != nil && !fail.Page {
		fail.Code = code // under a 5xx
	}
	if (fail.Err == nil || fail.Err == wire.ErrNotUsable) && cause != nil && (m.Kind == nil || fail.Kind == m.Kind) {
		fail.Err = cause
	}
	return fail
}

// code returns the first error code that is in the table, or else the first text that a path
// leads to, and whether it is in the table: beside a code there can be a text for people. One
// that is there is in the table's spelling, since a server may say more than the code there, a
// token for instance. A number that is not there is a status of the answer's own.
func (n Answer) code(fields member.Fields, errs []Error) (code string, known bool) {
	for _, path := range n.ErrorCodes {
		object, last := at(fields, path)
		found := object.Name(last)
		if i := slices.IndexFunc(errs, func(e Error) bool { return e.Code != "" && e.names(found) }); i >= 0 {
			return errs[i].Code, true
		}
		code = cmp.Or(code, object.Text(last))
	}
	return code, false
}

// names reports whether code is e's, in whatever spelling. Numbers have one: -1 is not 1.
func (e Error) names(code string) bool {
	if code == e.Code || isNumber(code) || isNumber(e.Code) {
		return code == e.Code
	}
	word := wire.CodeWord(code)
	return word != "" && word == wire.CodeWord(e.Code)
}

func isNumber(code string) bool {
	_, err := strconv.ParseFloat(code, 64)
	return err == nil
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

// meaning returns what e says of an answer with a status, and the finer reason, which goes
// into the error. A status alone ends no session, nor does a word under a status of the
// backend's own trouble, whether e names that status or none: there the reason is all.
func (e Error) meaning(op string, status int) (m wire.Meaning, cause error) {
	kind := e.kind()
	if e.Means != kind {
		cause = e.Means
	}
	switch {
	case status >= 500 && op == wire.OpRefresh && kind == oauth.ErrLoginRequired:
		return wire.Meaning{}, cmp.Or(cause, oauth.ErrTokenInvalid)
	case e.Status == 0 && kind == oauth.ErrLoginRequired && !wire.IsSuccess(status) && !wire.IsRefusal(status) && op == wire.OpRefresh:
		return wire.Meaning{}, nil // 408, 425 and 429 speak of the moment
	case e.Code == "" && op == wire.OpRefresh:
		return wire.Meaning{}, cause
	case kind == oauth.ErrLoginRequired:
		return wire.Meaning{Kind: kind, Verdict: wire.VerdictEnded, Listed: true}, cause
	case kind == oauth.ErrTransient:
		return wire.Meaning{Kind: kind, Verdict: wire.VerdictTrouble}, wire.ErrTrouble
	case e.Means == oauth.ErrClientRefused:
		return wire.Meaning{Kind: kind, Verdict: wire.VerdictClient, Listed: e.Status == status}, cause
	}
	return wire.Meaning{Kind: kind, Verdict: wire.VerdictUnclear, Listed: e.Status == status}, cause
}

// pair reads a successful answer by its members under the names of RFC 6749, or returns nil if
// it has no usable token.
func (n Answer) pair(a *wire.Answer, standard map[string]json.RawMessage, closed bool) *oauth.TokenPair {
	if access, life, known := beside(a, n.AccessCookie, n.AccessHeader); access != "" {
		standard["access_token"], _ = json.Marshal(access) // a string always can be
		if _, itself := a.Clocks().OfJWT(access); known && !itself && !holds(standard["expires_in"]) {
			standard["expires_in"], _ = json.Marshal(int64(life / time.Second))
		}
		closed = closed || a.Fields() == nil // nothing is missing from a body that is not an object
	}
	p := oauth.ReadPair(a, standard)
	if p == nil {
		return nil
	}
	if refresh, life, known := beside(a, n.RefreshCookie, n.RefreshHeader); refresh != "" {
		if p.RefreshToken = refresh; known {
			p.RefreshExpiresAt = p.IssuedAt.Add(life)
		}
	}
	if !wire.Suffices(p.RefreshToken, closed) {
		return nil
	}
	return p
}

// beside returns the token that comes in a cookie or in a header, if one does, and how long it
// lives, if that is known.
func beside(a *wire.Answer, cookie, header string) (token string, life time.Duration, known bool) {
	if token, life, known = tokenCookie(a, cookie); token != "" || header == "" {
		return token, life, known
	}
	token = member.BareToken(a.Header.Get(header))
	if len(token) > maxCookie || strings.Contains(token, " ") || !member.UsableToken(token) || strings.EqualFold(token, "Bearer") {
		return "", 0, false // words, or a scheme without a token
	}
	life, known = a.Clocks().OfJWT(token)
	return token, life, known
}

// maxCookie is how long a token in a cookie or header may be. Node.js, the most generous of the
// usual servers, reads 16 KiB of headers: it could not read such a cookie when it comes back,
// and each save of the session would write it.
const maxCookie = 16 << 10

// tokenCookie returns the token in the last cookie of a name that brings one, and how long it
// lives, if that is known.
func tokenCookie(a *wire.Answer, name string) (token string, life time.Duration, known bool) {
	for _, c := range (&http.Response{Header: a.Header}).Cookies() {
		l, k := cookieLifetime(a, c)
		if name == "" || c.Name != name || c.Value == "" || len(c.Value) > maxCookie || k && l <= 0 {
			continue // another one, one that cannot be sent back, or one that deletes the cookie
		}
		token, life, known = verbatim(c), l, k
	}
	return token, life, known
}

// renamed are the names of members in a dialect by those that oauth.ReadPair knows.
func (n Answer) renamed() map[string]string {
	return map[string]string{
		"access_token": n.AccessToken, "refresh_token": n.RefreshToken, "token_type": n.TokenType,
		"expires_in": n.ExpiresIn, "scope": n.Scope, "id_token": n.IDToken,
		"refresh_token_expires_in": n.RefreshExpiresIn,
		"expires_at":               n.ExpiresAt, "refresh_token_expires_at": n.RefreshExpiresAt,
	}
}

// standard returns the fields under the names of RFC 6749. What has another name
// in this dialect is not also looked for under the standard one, but for a refresh token
// that is missing. here is where the tokens
// are, and top is all of the answer.
func (n Answer) standard(here, top lenient.Object, now time.Time) map[string]json.RawMessage {
	out, found := maps.Clone(here.Members), make(map[string]json.RawMessage)
	if out == nil {
		out = make(map[string]json.RawMessage) // the body is not an object
	}
	usual := here.Members[spelled(here.Members, "refresh_token")]
	for standard, names := range n.renamed() {
		if names == "" && strings.HasSuffix(standard, "_at") {
			continue // which ReadPair finds under many names
		}
		delete(out, standard)
		taken := false
		for name := range strings.FieldsSeq(cmp.Or(names, standard)) {
			raw := follow(here, name)
			if raw == nil && strings.Contains(name, ".") {
				raw = follow(top, name)
			}
			out = without(out, name)
			if !taken && holds(raw) {
				taken, found[unitKept(standard, name, raw, now)] = true, raw
			}
		}
	}
	if found["refresh_token"] == nil && holds(usual) {
		out = without(out, "refresh_token")
		found["refresh_token"] = usual // to go on with the one that was sent would end the session
	}
	maps.Copy(out, found)
	return out
}

// holds reports whether a member is there and holds something.
func holds(raw json.RawMessage) bool { return member.Holds(raw) }

// unitKept returns the standard name for a member that this dialect calls name, or name
// where that tells a unit of its own, as expires_in_minutes does, which the standard one
// would hide.
func unitKept(standard, name string, raw json.RawMessage, now time.Time) string {
	own := name[strings.LastIndexByte(name, '.')+1:]
	told := func(name string) (time.Duration, bool) {
		if standard == "expires_in" {
			return lifetime.OfAccess(member.Fields{name: raw}, "", 0, now)
		}
		return lifetime.OfRefresh(member.Fields{name: raw}, "", now)
	}
	if standard == "expires_in" || standard == "refresh_token_expires_in" {
		byOwn, known := told(own)
		if byStandard, _ := told(standard); known && byOwn != byStandard {
			return own
		}
		word := wire.CodeWord(own)
		if unit := lifetime.UnitWords[word[strings.LastIndexByte(word, '_')+1:]]; unit != "" && !known {
			return standard + "_" + unit // as of session_minutes
		}
	}
	return standard
}

// at returns the object in which the last name of a path is, and how that is spelled there.
// Of a list of objects on the way the first counts.
func at(fields member.Fields, path string) (member.Fields, string) {
	if name := spelled(fields, path); fields[name] != nil {
		return fields, name
	}
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		fields = objectIn(fields[spelled(fields, name)])
	}
	return fields, spelled(fields, names[len(names)-1])
}

// objectIn returns an object, or the first of a list of them.
func objectIn(raw json.RawMessage) member.Fields {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		raw = list[0]
	}
	return member.Object(raw)
}

// follow is at for an answer that can be cut: it returns what the path leads to, or nil.
func follow(o lenient.Object, path string) json.RawMessage {
	if raw := o.Members[spelled(o.Members, path)]; raw != nil {
		return raw
	}
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		o = o.Child(spelled(o.Members, name))
	}
	return o.Members[spelled(o.Members, names[len(names)-1])]
}

// without returns fields without the member that a path leads to, in any spelling: what is
// left of an answer is kept with the pair, where its tokens would be kept a second time.
// fields are used up.
func without(fields member.Fields, path string) member.Fields {
	if name := spelled(fields, path); fields[name] != nil {
		delete(fields, name)
		alike := likeName(path)
		maps.DeleteFunc(fields, func(other string, _ json.RawMessage) bool { return alike(other) })
		return fields
	}
	first, rest, nested := strings.Cut(path, ".")
	first = spelled(fields, first)
	inner := member.Object(fields[first])
	if !nested {
		return fields
	}
	if inner == nil { // a text with JSON in it, or an object that is cut
		if follow(lenient.Object{Members: fields}, path) != nil {
			delete(fields, first)
		}
		return fields
	}
	raw, err := json.Marshal(without(inner, rest))
	if err != nil {
		delete(fields, first)
		return fields
	}
	fields[first] = raw
	return fields
}

// spelled returns the name as fields have it: exactly, or else in another case, or else
// with other separators, and of several the first in byte order. Where an answer has a name
// in several spellings, as encoders write that leave no field out, one that holds something
// comes before those that do not.
func spelled(fields member.Fields, name string) string {
	if holds(fields[name]) {
		return name
	}
	letters := member.Plain(name)
	best, rank := name, 0
	for other, raw := range fields { // each once: an answer can have a hundred thousand
		likeness := 0
		switch {
		case other == name:
			likeness = 3
		case strings.EqualFold(other, name):
			likeness = 2
		case letters != "" && len(other) >= len(letters) && member.Plain(other) == letters:
			likeness = 1
		default:
			continue
		}
		if holds(raw) {
			likeness += 3
		}
		if likeness > rank || likeness == rank && other < best {
			best, rank = other, likeness
		}
	}
	return best
}

// separators are what spellings of a name differ in beside case.
var separators = strings.NewReplacer("_", "", "-", "", ".", "", " ", "")

// likeName returns a function that reports whether a name differs from this one in case and
// separators alone.
func likeName(name string) func(other string) bool {
	plain := separators.Replace(name)
	return func(other string) bool {
		return len(other) >= len(plain) && strings.EqualFold(separators.Replace(other), plain)
	}
}

// verbatim returns a cookie's value as it came: a user agent takes quotes for a
// part of it (RFC 6265 section 5.2).
func verbatim(c *http.Cookie) string {
	if c.Quoted {
		return `"` + c.Value + `"`
	}
	return c.Value
}

// cookieLifetime is how long a token in a cookie lives; not at all, if it
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
	return a.Clocks().OfJWT(c.Value)
}
