package dialect

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A mistake is what makes a field of a dialect unusable. The field is named as in the
// form that Parse reads.
type mistake struct{ path, problem string }

func (m *mistake) Error() string { return m.path + ": " + m.problem }

// wrong returns a mistake in the field at a path. Texts of the dialect's own do not belong
// into the problem: one in the wrong place could be a secret.
func wrong(path, format string, args ...any) error {
	return &mistake{path, fmt.Sprintf(format, args...)}
}

// check returns what makes d unusable first, or nil.
func (d Dialect) check() error {
	if err := d.problem(); err != nil {
		return fmt.Errorf("dialect %s: %w", d.Name, err)
	}
	return nil
}

// problem is check without the name of the dialect. The error is a *mistake.
func (d Dialect) problem() error {
	r := d.Refresh
	if r.Path == "" && (d.Login.Path == "" || len(r.Fields)+len(r.Errors) > 0 || r.Method != "" || r.Encoding != "") {
		return wrong("refresh.path", "is required; where tokens are not renewed, leave all of refresh out, and have a login")
	}
	hasCodes := len(d.Answer.ErrorCodes) > 0
	checks := []error{
		d.Login.check("login", loginRole, hasCodes),
		d.Refresh.check("refresh", refreshRole, hasCodes),
		d.Logout.check("logout", logoutRole, hasCodes),
	}
	for i, r := range d.Revocations {
		path := fmt.Sprintf("revocations[%d]", i)
		if r.Path == "" {
			return wrong(path+".path", "is required")
		}
		checks = append(checks, r.check(path, logoutRole, hasCodes))
	}
	checks = append(checks, d.Answer.check())
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	if d.Grace < 0 && d.Grace != oauth.GraceNone {
		return wrong("grace", "has to be none, until-used, or a time such as 30s")
	}
	// Behind the checks of the fields: a misspelt value carries nothing.
	if d.renews() && !d.Refresh.Carries(RefreshToken) && !d.Refresh.Carries(AccessToken) {
		return wrong("refresh.fields", "one has to carry refresh_token, or access_token where the backend renews by that")
	}
	if d.Presentation.Check() != nil {
		return wrong("presentation", "a token goes by a header with or without a scheme, or by a cookie and perhaps a signature_cookie; each is a single word")
	}
	return nil
}

// A role says what a request can be: how it is sent, and what it can carry.
type role struct {
	values       []Value
	named        []string // what further values begin with
	inPath       []string // those of them that addresses, which end up in logs, can have
	methods      []string
	needsMeaning bool // of a refusal without a code: it is about a session
}

// A login has no tokens yet, and name and password are not kept after it.
var (
	loginRole   = role{[]Value{Username, Password, BasicCredentials, DeviceID}, []string{further}, nil, grantMethods, false}
	refreshRole = role{sessionValues, []string{answer, claim}, []string{answer, claim}, grantMethods, true}
	logoutRole  = role{sessionValues, []string{answer, claim}, []string{answer, claim}, append(grantMethods[:len(grantMethods):len(grantMethods)], http.MethodDelete), false}

	sessionValues = []Value{RefreshToken, AccessToken, DeviceID}
	grantMethods  = []string{http.MethodPost, http.MethodGet, http.MethodPut, http.MethodPatch}
)

// check returns what makes r, the request at a path, unusable, or nil.
func (r Request) check(path string, can role, hasCodes bool) error {
	if err := r.checkPath(path+".path", can); err != nil {
		return err
	}
	inBody := 0
	for i, f := range r.Fields {
		if f.Place == InBody {
			inBody++
		}
		if err := f.check(fmt.Sprintf("%s.fields[%d]", path, i), r.Encoding, can); err != nil {
			return err
		}
	}
	switch {
	case r.Method != "" && !slices.Contains(can.methods, r.Method):
		return wrong(path+".method", "has to be one of %s", strings.Join(can.methods, ", "))
	case r.Method == http.MethodGet && inBody > 0:
		return wrong(path+".method", "a GET has no body, and a field goes there")
	}
	switch r.Encoding {
	case "", EncodeJSON, EncodeForm:
	case EncodeJSONString:
		if inBody > 1 {
			return wrong(path+".encoding", "json_string has room for one field in the body")
		}
	default:
		return wrong(path+".encoding", "has to be json, form or json_string")
	}
	if err := r.checkBody(path); err != nil {
		return err
	}
	if err := r.checkHeader(path); err != nil {
		return err
	}
	for i, e := range r.Errors {
		if err := e.check(fmt.Sprintf("%s.errors[%d]", path, i), can.needsMeaning, hasCodes); err != nil {
			return err
		}
	}
	return nil
}

// checkPath is check for r.Path.
func (r Request) checkPath(path string, can role) error {
	if r.Path != "" && (r.Path[0] != '/' || strings.HasPrefix(r.Path, "//")) {
		return wrong(path, "has to begin with one slash")
	}
	if strings.ContainsAny(r.Path, "?#") {
		return wrong(path, "has neither query nor fragment: addresses end up in logs")
	}
	parts, err := pieces(r.Path)
	if err != nil {
		return wrong(path, "%v", err)
	}
	outline := ""
	for _, p := range parts {
		outline += cmp.Or(p.text, "{}") // what fills a brace is escaped
	}
	if strings.ContainsFunc(outline, func(c rune) bool { return c < 0x21 || c == 0x7f }) {
		return wrong(path, "has a blank or a control character, which no address has")
	}
	for segment := range strings.SplitSeq(outline, "/") {
		if segment == "." || segment == ".." {
			return wrong(path, "has a segment of one or two dots, which leads elsewhere")
		}
	}
	for _, v := range valuesOf(r.Path) {
		if v != DeviceID && !v.named(can.inPath...) {
			return wrong(path, "can have in braces %s: nothing that is secret", carriable([]Value{DeviceID}, can.inPath))
		}
	}
	return nil
}

// checkBody refuses names of which one is an object and a text at once.
func (r Request) checkBody(path string) error {
	seen := make(map[string]bool)
	for i, f := range r.Fields {
		if f.Place != InBody || f.Name == "" {
			continue
		}
		for other := range seen {
			if f.Name == other || r.nests() && (strings.HasPrefix(f.Name, other+".") || strings.HasPrefix(other, f.Name+".")) {
				return wrong(fmt.Sprintf("%s.fields[%d].name", path, i), "another field has this name, or one within it")
			}
		}
		seen[f.Name] = true
	}
	return nil
}

// checkHeader refuses fields of which one would take the place of another: headers of one name,
// in any case, and cookies of one name.
func (r Request) checkHeader(path string) error {
	seen := make(map[string]bool)
	for i, f := range r.Fields {
		at := fmt.Sprintf("%s.fields[%d]", path, i)
		slot, where := "", at+".name"
		switch f.Place {
		case InHeader:
			slot = "header " + http.CanonicalHeaderKey(f.Name)
		case InAuthorization:
			slot, where = "header Authorization", at+".place"
		case InCookie:
			slot = "cookie " + f.Name
		case InQuery:
			slot = "query " + f.Name
		}
		switch {
		case slot == "header Cookie":
			return wrong(where, "names the header of the cookies, whose place is cookie")
		case slot != "" && seen[slot]:
			return wrong(where, "another field is sent there, and only one can be")
		}
		seen[slot] = true
	}
	return nil
}

func (f Field) check(path string, encoding Encoding, can role) error {
	if err := f.checkContent(path, can); err != nil {
		return err
	}
	if f.JSON && (f.Place != InBody || encoding != "" && encoding != EncodeJSON) {
		return wrong(path+".json", "is for fields in a body of json")
	}
	if f.JSON && f.Fixed != "" && !json.Valid([]byte(f.Fixed)) {
		return wrong(path+".fixed", "is not JSON")
	}
	nameless := f.Place == InAuthorization || f.Place == InBody && encoding == EncodeJSONString
	switch f.Place {
	case InQuery:
		return f.checkQuery(path)
	case InBody, InHeader, InAuthorization, InCookie:
		if f.Name == "" && !nameless {
			return wrong(path+".name", "is required")
		}
		if f.Place != InBody && !wire.IsHeaderWord(f.Name) && f.Name != "" {
			return wrong(path+".name", "has characters that cannot stand in the name of a header or cookie")
		}
		if f.Place == InHeader && !wire.IsSentAsGiven(f.Name) {
			return wrong(path+".name", "names a header that no field can have: every request has its own")
		}
		if f.Place == InBody && slices.Contains(strings.Split(f.Name, "."), "") && f.Name != "" && encoding != EncodeForm {
			return wrong(path+".name", "has a dot with no name before or after it")
		}
		return nil
	}
	return wrong(path+".place", places)
}

const places = "has to be body, header, authorization or cookie, or query for what is fixed; addresses end up in logs"

// checkQuery refuses what is a secret, or by its name could be one.
func (f Field) checkQuery(path string) error {
	letters := member.Letters(f.Name)
	secret := func(word string) bool { return strings.Contains(letters, word) }
	switch {
	case f.Fixed == "":
		return wrong(path+".place", places)
	case f.Name == "":
		return wrong(path+".name", "is required")
	case slices.ContainsFunc([]string{"token", "secret", "password", "passwd", "jwt"}, secret):
		return wrong(path+".name", "is that of a secret, which cannot be in a query: addresses end up in logs")
	}
	return nil
}

// checkContent requires one of Value, Fixed and Template.
func (f Field) checkContent(path string, can role) error {
	given := 0
	for _, text := range []string{string(f.Value), f.Fixed, f.Template} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		return wrong(path, "a field has one of value, fixed and template")
	}
	carried, where := []Value{f.Value}, path+".value"
	if f.Value == "" {
		carried, where = valuesOf(f.Template), path+".template"
		if _, err := pieces(f.Template); err != nil {
			return wrong(where, "%v", err)
		}
		if f.Template != "" && len(carried) == 0 {
			return wrong(where, "has no value in braces: such a text is fixed")
		}
	}
	for _, v := range carried {
		if f.Fixed == "" && !slices.Contains(can.values, v) && !v.named(can.named...) {
			return wrong(where, "this request can carry %s", carriable(can.values, can.named))
		}
	}
	return nil
}

// carriable lists what a request can carry.
func carriable(values []Value, named []string) string {
	var list []string
	for _, v := range values {
		list = append(list, string(v))
	}
	for _, prefix := range named {
		list = append(list, prefix+"NAME")
	}
	return strings.Join(list, ", ")
}

// check refuses paths with empty parts.
func (n Answer) check() error {
	for _, e := range n.entries() {
		if name, is := e.at.(*names); is && malformed(string(*name)) {
			return wrong("answer."+e.name, "has a dot with no name before or after it")
		}
	}
	for i, path := range n.ErrorCodes {
		if path == "" || malformed(path) {
			return wrong(fmt.Sprintf("answer.error_codes[%d]", i), "has to be a name, or names with dots between them")
		}
	}
	switch {
	case malformed(n.TokenPath):
		return wrong("answer.token_path", "has a dot with no name before or after it")
	case n.AccessCookie != "" && n.AccessCookie == n.RefreshCookie:
		return wrong("answer.access_cookie", "is the cookie of the refresh token, too")
	case n.AccessHeader != "" && strings.EqualFold(n.AccessHeader, n.RefreshHeader):
		return wrong("answer.access_header", "is the header of the refresh token, too")
	}
	return n.checkBeside()
}

// checkBeside refuses names that no cookie or header has.
func (n Answer) checkBeside() error {
	for name, word := range map[string]string{
		"access_cookie": n.AccessCookie, "refresh_cookie": n.RefreshCookie, "access_header": n.AccessHeader, "refresh_header": n.RefreshHeader,
	} {
		switch {
		case word != "" && !wire.IsHeaderWord(word):
			return wrong("answer."+name, "has characters that cannot stand in the name of a cookie or header")
		case strings.HasSuffix(name, "header") && strings.EqualFold(word, "Set-Cookie"):
			return wrong("answer."+name, "names the header of the cookies: access_cookie and refresh_cookie are for these")
		}
	}
	return nil
}

func malformed(paths string) bool {
	for path := range strings.FieldsSeq(paths) {
		if slices.Contains(strings.Split(path, "."), "") {
			return true
		}
	}
	return false
}

func (e Error) check(path string, refresh, hasCodes bool) error {
	switch {
	case e.kind() == nil:
		return wrong(path+".means", "has to be one of %s", meaningNames())
	case e.Status != 0 && (e.Status < 100 || e.Status > 599):
		return wrong(path+".status", "is not an HTTP status")
	case e.Code == "" && e.Status == 0:
		return wrong(path, "an error needs a status or a code")
	case e.Code == "" && !wire.IsRefusal(e.Status):
		return wrong(path+".status", "%d without a code is not a refusal", e.Status)
	case e.Code != "" && !hasCodes:
		return wrong(path+".code", "answer.error_codes has to say where codes are")
	case e.Code == "" && refresh && e.Means != oauth.ErrTokenInvalid:
		return wrong(path+".means", "without a code a refusal to refresh can only mean token_invalid")
	}
	return nil
}

// kind returns the one of the three kinds that the error is of, or nil if Means
// is something else.
func (e Error) kind() error {
	switch e.Means {
	case oauth.ErrTokenExpired, oauth.ErrTokenReused, oauth.ErrTokenInvalid, oauth.ErrUserNotFound:
		return oauth.ErrLoginRequired
	case oauth.ErrRefreshTokenRequired, oauth.ErrClientRefused:
		return oauth.ErrMisconfigured
	case oauth.ErrLoginRequired, oauth.ErrTransient, oauth.ErrMisconfigured:
		return e.Means
	}
	return nil
}
