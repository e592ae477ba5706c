package wire

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// Overlooked returns what an answer to a refresh means whose access token is access, and
// which has no refresh token where one is looked for, if it brings one elsewhere: as another
// member, as a cookie or in a header. The one that was sent is spent then. nil if it brings
// none, or the one that was sent: then that is still good. cookie is the name of the cookie
// that the refresh token is expected in, which is not readable if it is there; or empty.
func (a *Answer) Overlooked(access, cookie string) *Failure {
	if a.Op != OpRefresh || a.Settings.Spent == "" {
		return nil
	}
	names := a.refreshMembers(a.Members(), "", maxNameDepth, access)
	field, hint := "TokenPath", "the answer has a refresh token where none is looked for: name its place, Config.TokenPath or the name in a Dialect"
	if len(names) == 0 {
		names = a.refreshHeaders(cookie)
		field, hint = "RefreshCookie", "the refresh token comes beside the answer: name its cookie or header in a Dialect (Answer.RefreshCookie, Answer.RefreshHeader)"
	}
	if len(names) == 0 {
		return nil
	}
	return &Failure{
		Op: a.Op, Kind: ErrMisconfigured, Status: a.Status, Sent: true,
		Err: &MembersError{ErrUnreadAnswer, names}, Field: field, Hint: hint,
	}
}

// Successor returns the refresh token that stands whole in an answer to a refresh whose access
// token does not, or cannot be used: the one that was sent is spent then, and this is all that
// is left of the session. Of an answer that broke off, fail does not say any more that its
// outcome is unknown. "" if the answer has none, or the one that was sent.
func (a *Answer) Successor(fail *Failure, members member.Fields) string {
	FindRefreshToken(members)
	next := member.Token(members["refresh_token"])
	cut := fail.Err == ErrNotUsable && !fail.Page
	switch {
	case a.Op != OpRefresh || a.Settings.Spent == "" || !cut && !errors.Is(fail.Err, ErrUnreadAnswer):
		return ""
	case !member.UsableToken(next) || !a.isAnother(next):
		return ""
	case cut:
		fail.Err = errCutShort
	}
	return next
}

// refreshMembers returns the paths of members that hold another refresh token than the one
// that was sent. An object with an access token of its own is another pair, as of another
// resource server.
func (a *Answer) refreshMembers(fields member.Fields, above string, depth int, access string) (paths []string) {
	other := slices.ContainsFunc(slices.Collect(maps.Keys(fields)), func(name string) bool {
		token := member.BareToken(member.Token(fields[name]))
		return member.Plain(name) == "accesstoken" && token != "" && token != access
	})
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !isPlainName(name) || len(paths) >= maxNames {
			continue
		}
		raw := fields[name]
		if !other && (a.anotherRefresh(above, name, member.Token(raw)) || namesRefresh(name) && member.Illegible(raw)) {
			paths = append(paths, above+name)
		} else if depth > 1 {
			paths = append(paths, a.refreshMembers(childObject(raw), above+name+".", depth-1, access)...)
		}
	}
	return paths
}

// refreshHeaders returns the cookies and headers that hold another refresh token than the
// one that was sent, each behind a word for what it is.
func (a *Answer) refreshHeaders(cookie string) (names []string) {
	for _, c := range a.cookies() {
		expected := cookie != "" && c.name == cookie && a.isAnother(c.value)
		if expected || isPlainName(c.name) && a.anotherRefresh("", c.name, c.value) {
			names = append(names, "cookie "+c.name)
		}
	}
	for name, values := range a.Header {
		if len(values) > 0 && namesRefresh(name) && a.isAnother(values[0]) && isOpaque(values[0]) && isPlainName(name) {
			names = append(names, "header "+name)
		}
	}
	slices.Sort(names)
	return names[:min(len(names), maxNames)]
}

// anotherRefresh reports whether value is a refresh token by its name, in an object of which
// above is the path, and not the one that was sent.
func (a *Answer) anotherRefresh(above, name, value string) bool {
	if !a.isAnother(value) {
		return false
	}
	long := looksLikeJWT(value) || len(value) >= 16 && isOpaque(value)
	switch member.Plain(name) {
	case "refresh": // a pair of access and refresh, or the word for a setting
		return long || namesToken(above) && isOpaque(value)
	case "rt", "rtoken", "renewtoken", "renewaltoken":
		return long
	}
	return namesRefresh(name) && (isOpaque(value) || long || !member.UsableToken(value))
}

// isAnother reports whether value is something, and not the refresh token that was sent, in
// quotes and in percent signs as cookies have it, too.
func (a *Answer) isAnother(value string) bool {
	same := func(text string) bool {
		plain, err := url.QueryUnescape(text)
		path, _ := url.PathUnescape(text)
		return text == a.Settings.Spent || err == nil && plain == a.Settings.Spent || path == a.Settings.Spent
	}
	return !member.IsBlank(value) && !same(value) && !same(strings.Trim(value, `"`))
}

// namesRefresh reports whether a member, a cookie or a header of this name holds a refresh
// token, as new_refresh_token and __Host-refreshToken do, and not words about one.
func namesRefresh(name string) bool {
	letters := member.Letters(name)
	return strings.HasSuffix(letters, "refreshtoken") || strings.HasSuffix(letters, "refreshjwt") || strings.HasSuffix(letters, "refreshtokenvalue")
}

// isOpaque reports whether text can be a token: one word that is not an address, a time or a
// word for yes or no.
func isOpaque(text string) bool {
	switch strings.ToLower(text) {
	case "true", "false", "yes", "no", "on", "off", "ok", "valid", "unchanged", "rotated", "issued":
		return false
	}
	_, isTime := member.TimeInWords(text)
	return member.UsableToken(text) && !strings.Contains(text, " ") && !strings.Contains(text, "://") && !strings.HasPrefix(text, "/") && !isTime
}

// A cookie is one that an answer sets.
type cookie struct{ name, value string }

// cookies returns the cookies that the answer sets, those too that net/http does not read
// because no user agent has to keep them. Those that are deleted are left out.
func (a *Answer) cookies() (set []cookie) {
	for _, line := range a.Header.Values("Set-Cookie") {
		first, attributes, _ := strings.Cut(line, ";")
		if strings.ContainsAny(first, "{[") { // which may have a semicolon inside
			first, attributes = line, line
		}
		name, value, _ := strings.Cut(first, "=")
		c := cookie{strings.TrimSpace(name), strings.TrimSpace(value)}
		if c.name != "" && c.value != "" && !a.deletes(attributes) {
			set = append(set, c)
		}
	}
	return set
}

// deletes reports whether a cookie with these attributes is deleted (RFC 6265 section 5.2.2).
func (a *Answer) deletes(attributes string) bool {
	deleted := false
	for part := range strings.SplitSeq(attributes, ";") {
		name, value, _ := strings.Cut(part, "=")
		switch value = strings.TrimSpace(value); strings.ToLower(strings.TrimSpace(name)) {
		case "max-age":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				return n <= 0
			}
		case "expires":
			when, err := http.ParseTime(value)
			if err != nil {
				when, err = time.Parse("Mon, 02-Jan-2006 15:04:05 MST", value)
			}
			deleted = err == nil && !when.After(a.ServerTime())
		}
	}
	return deleted
}

// FindRefreshToken gives members the refresh token under the name of RFC 6749 that they have
// in another spelling of it, refreshToken, unless there is one.
func FindRefreshToken(members map[string]json.RawMessage) {
	const ours = "refresh_token"
	if raw, found := members[ours]; found && (member.Token(raw) != "" || member.Illegible(raw)) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if name == ours || member.Plain(name) != "refreshtoken" || !member.UsableToken(member.Token(members[name])) {
			continue
		}
		members[ours] = members[name]
		delete(members, name)
		return
	}
}
