package wire

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/evertoken/evertoken/internal/member"
)

// This file finds tokens in an answer to a refresh that no object holds: whatever its form,
// the refresh token that was sent is spent.

// answersUnread makes fail one of an answer that brings tokens beside its members, or in a
// body that is not an object, and reports whether it does. A redirect and a page bring cookies of
// their own: there a cookie counts by a name that can mean nothing else.
func (a *Answer) answersUnread(fail *Failure, members member.Fields) bool {
	beside := fail.Page || fail.Err == ErrRedirect
	cookies, headers := a.tokenCookies(beside), a.tokenHeaders()
	unread := func(field, hint string, names ...string) bool {
		if saysNo(members) {
			return false
		}
		fail.Kind, fail.Err = ErrMisconfigured, &MembersError{ErrUnreadAnswer, append(memberNames(members), names...)}
		fail.Field, fail.Hint = field, hint
		return true
	}
	switch {
	case len(cookies) > 0:
		return unread("RefreshCookie", "the server sends tokens as cookies: name them in a Dialect (Answer.AccessCookie, Answer.RefreshCookie)", cookies...)
	case len(headers) > 0:
		return unread("AccessHeader", "the server sends tokens in a header: name it in a Dialect (Answer.AccessHeader, Answer.RefreshHeader)", headers...)
	case fail.Err == ErrRedirect || members != nil:
		return false
	case fail.Page && pageHolds(a.Body), !fail.Page && textHolds(a.Body):
		return unread("", "what the server sends is not a JSON object; its operator has to mend that")
	case !fail.Page && len(a.Body) > 0 && a.encoded():
		return unread("", "the server compresses its answer in a way that it was not asked for; its operator has to mend that")
	}
	return false
}

// tokenCookies returns the names of the cookies that seem to bring tokens, sorted, each behind
// the word cookie. With sure they do by their names.
func (a *Answer) tokenCookies(sure bool) []string {
	var names []string
	for _, c := range a.cookies() {
		brings := cookieNamesToken(c.name, sure) && !member.IsBlank(c.value) || !sure && looksLikeJWT(c.value) && !guards(c.name)
		if brings && isPlainName(c.name) && len(names) < maxNames {
			names = append(names, "cookie "+c.name)
		}
	}
	slices.Sort(names)
	return names
}

// cookieNamesToken reports whether a cookie of this name holds a token of a session, and not
// one of a firewall, a load balancer or a form. With sure it is an access or a refresh token.
func cookieNamesToken(name string, sure bool) bool {
	letters := member.Letters(name)
	ends := func(suffixes ...string) bool {
		return slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(letters, suffix) })
	}
	switch {
	case guards(name):
		return false
	case ends("accesstoken", "refreshtoken", "accessjwt", "refreshjwt"):
		return true
	}
	return !sure && (ends("authtoken", "jwt", "jwttoken") || letters == "access" || letters == "refresh" || letters == "auth")
}

// guards reports whether a cookie of this name is one of a firewall, a load balancer or a form.
func guards(name string) bool {
	for word := range strings.SplitSeq(CodeWord(name), "_") {
		switch word {
		case "waf", "lb", "csrf", "xsrf", "antiforgery", "verification":
			return true
		}
	}
	letters := member.Letters(name)
	return strings.Contains(letters, "csrf") || strings.Contains(letters, "xsrf") || strings.Contains(letters, "verification")
}

// tokenHeaders returns the headers that bring tokens, sorted, each behind the word header.
func (a *Answer) tokenHeaders() (names []string) {
	for name, values := range a.Header {
		if len(values) == 0 || !isPlainName(name) {
			continue
		}
		letters, token := member.Letters(name), member.BareToken(values[0])
		brings := (namesRefresh(name) || strings.HasSuffix(letters, "accesstoken") || strings.HasSuffix(letters, "authtoken")) && isOpaque(token)
		if brings && !member.IsBlank(token) || letters == "authorization" && token != values[0] && isOpaque(token) {
			names = append(names, "header "+name)
		}
	}
	slices.Sort(names)
	return names[:min(len(names), maxNames)]
}

// tagged and named are an access token in XML, and in an object that a page shows.
var (
	tagged  = expression(`(?i)<(?:[\w-]+:)?access[_-]?token(?:\s[^<>]*)?>\s*([^<>\s]{4,})\s*</`)
	named   = expression(`(?i)access[_-]?token(?:["']|&quot;|&#34;)\s*(?::|=>)\s*(?:["']|&quot;|&#34;)([^"'<>&\s]{4,})`)
	scripts = expression(`(?is)<script.*?(?:</script|$)`)
)

// expression compiles text when it is first used: most programs never see such an answer.
func expression(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// pageHolds reports whether there is an access token in markup: as an element, or in an
// object that is shown. What scripts hold is meant for the page.
func pageHolds(body []byte) bool {
	body = scripts().ReplaceAll(body, nil)
	for _, form := range []*regexp.Regexp{tagged(), named()} {
		if found := form.FindSubmatch(body); found != nil && !member.IsBlank(string(found[1])) {
			return true
		}
	}
	return false
}

// textHolds reports whether a body without an object is a token, in JSON or as it is, or a
// list that has one.
func textHolds(body []byte) bool {
	text := strings.TrimSpace(strings.TrimPrefix(string(body), "\ufeff"))
	var list []json.RawMessage
	if json.Unmarshal([]byte(text), &list) == nil {
		return slices.ContainsFunc(list, func(raw json.RawMessage) bool { return isTokenText(member.Text(raw)) })
	}
	if inner := member.Text(json.RawMessage(text)); inner != "" {
		return isTokenText(inner)
	}
	return !strings.ContainsAny(text, `{[<"`) && isTokenText(text) // and no beginning of something else
}

// isTokenText reports whether a text of its own is a token: a JWT, or one long word of letters
// and digits.
func isTokenText(text string) bool {
	text = member.BareToken(text)
	mixed := strings.ContainsAny(text, "0123456789") && member.Letters(text) != ""
	return looksLikeJWT(text) || len(text) >= 20 && mixed && isOpaque(text)
}

// encoded reports whether the body is compressed in a way that is not known here.
func (a *Answer) encoded() bool {
	switch strings.ToLower(strings.TrimSpace(a.Header.Get("Content-Encoding"))) {
	case "", "identity", "gzip", "x-gzip", "deflate", "utf-8", "none":
		return false
	}
	return !json.Valid(a.Body)
}

// carries reports whether an answer holds something in the envelope that home-grown backends
// have: then a code of their own is not a refusal by itself.
func carries(fields member.Fields) bool {
	for _, name := range []string{"data", "result", "Data", "Result"} {
		if len(member.Object(fields[name])) > 0 {
			return true
		}
	}
	return false
}

// denies reports whether the text of a code, a status or a message is one of a refusal, in an
// answer that carries something.
func denies(text string) bool {
	if n, err := json.Number(text).Int64(); err == nil {
		return n >= http.StatusBadRequest && n <= 599
	}
	for _, word := range []string{"失败", "失效", "过期", "无效", "错误", "未登录"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	_, denied := wordsOf(text)
	return denied
}
