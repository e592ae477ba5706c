package wire

import (
	"net/http"
	"net/url"
	"strings"
)

const (
	// maxCookie is how long a cookie may be, name and value together: what user agents have
	// to be able to keep (RFC 6265 section 6.1).
	maxCookie = 4 << 10
	// maxCookies is how many cookies a server may have that come back to one address: what
	// user agents have to be able to keep (RFC 6265 section 6.1). Load balancers set one or two.
	maxCookies = 50
)

// A boundedJar keeps a server from filling the program's jar, which has no limit of its own:
// each answer could bring cookies of new names, for as long as the session is renewed, and
// they would all be sent with each request.
type boundedJar struct{ http.CookieJar }

// SetCookies implements http.CookieJar. It passes on the cookies that come back to u, are not
// too long, and replace one or are not too many; and those that delete one.
func (j boundedJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	there := make(map[string]bool)
	for _, c := range j.Cookies(u) {
		there[c.Name] = true
	}
	var kept []*http.Cookie
	for _, c := range cookies {
		switch {
		case len(c.Name)+len(c.Value) > maxCookie, !comesBack(u, c):
			continue
		case !there[c.Name] && len(there) >= maxCookies:
			continue
		case c.MaxAge >= 0:
			there[c.Name] = true
		}
		kept = append(kept, c)
	}
	j.CookieJar.SetCookies(u, kept)
}

// comesBack reports whether a cookie's path leads to u (RFC 6265 section 5.1.4), so that
// Cookies counts it there.
func comesBack(u *url.URL, c *http.Cookie) bool {
	path := c.Path
	if path == "" || path[0] != '/' || path == "/" || path == u.Path {
		return true
	}
	return strings.HasPrefix(u.Path, strings.TrimSuffix(path, "/")+"/")
}
