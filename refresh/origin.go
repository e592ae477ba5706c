package refresh

import (
	"net/url"
	"strings"
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
