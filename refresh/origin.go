package refresh

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/thishost"
	"github.com/evertoken/evertoken/oauth"
)

// An origin is scheme, host and port of a URL (RFC 6454), the host in lower case
// and the scheme's default port written out.
type origin struct{ scheme, host, port string }

// originOf allocates nothing, but for a host that is not in lower case.
func originOf(u *url.URL) origin {
	port := u.Port()
	if port == "" {
		switch u.Scheme {
		case "http":
			port = "80"
		case "https":
			port = "443"
		}
	}
	return origin{u.Scheme, strings.ToLower(u.Hostname()), port}
}

func (o origin) String() string { return o.scheme + "://" + o.host + ":" + o.port }

// An allowedOrigin is one of Config.AllowedOrigins.
type allowedOrigin struct {
	origin
	written string // host and port, as they are written and most requests have them
}

// allowOrigins reads Config.AllowedOrigins. What is no URL allows nothing, but
// stays in the list: without any, every origin would be allowed.
func allowOrigins(list []string) []allowedOrigin {
	allowed := make([]allowedOrigin, 0, len(list))
	for _, text := range list {
		var a allowedOrigin
		if u, err := url.Parse(text); err == nil {
			a = allowedOrigin{originOf(u), u.Host}
		}
		allowed = append(allowed, a)
	}
	return allowed
}

func (a allowedOrigin) matches(u *url.URL) bool {
	return a.scheme == u.Scheme && (a.written == u.Host || a.origin == originOf(u))
}

// mayCarry decides whether the token may go with req. A redirect that leaves the
// allowed origins travels bare; a request that the program itself directs there
// is a mistake, and an error.
func (t *Transport) mayCarry(req *http.Request) (bool, error) {
	allowed, redirected := t.m.cfg.origins, req.Response != nil
	switch {
	case len(allowed) > 0 && !slices.ContainsFunc(allowed, func(a allowedOrigin) bool { return a.matches(req.URL) }):
		if redirected {
			return false, nil
		}
		return false, fmt.Errorf("refresh: %v is not among Config.AllowedOrigins: %w", originOf(req.URL), oauth.ErrMisconfigured)
	case len(allowed) == 0 && redirected && !fromSameOrigin(req):
		return false, nil
	case req.URL.Scheme != "https" && !thishost.Is(req.URL.Hostname()):
		if redirected {
			return false, nil
		}
		return false, fmt.Errorf("refresh: a token is not sent over plain HTTP: %w", oauth.ErrMisconfigured)
	}
	return true, nil
}

// fromSameOrigin reports whether a redirected request goes to the origin of the
// request that the program made. http.Client links each request to the response
// that caused it; a response that does not know its request leaves the origin
// open, and so says no.
func fromSameOrigin(req *http.Request) bool {
	first := req
	for first.Response != nil {
		if first = first.Response.Request; first == nil {
			return false
		}
	}
	return originOf(first.URL) == originOf(req.URL)
}
