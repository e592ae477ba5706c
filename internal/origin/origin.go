// Package origin compares what URLs point to: scheme, host and port (RFC 6454). Hosts
// count in the form in which net/http connects to them, so that two spellings of one host
// are one origin, and two hosts that look alike are two.
package origin

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// An Origin is scheme, host and port of a URL. Equal ones are the same server, as far as
// addresses tell. The zero Origin is that of no URL.
type Origin struct{ scheme, host, port string }

// Of returns the origin of u. It allocates nothing for a host that is a name in lower case
// or an IPv4 address.
func Of(u *url.URL) Origin {
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	return Origin{u.Scheme, Host(u.Hostname()), port}
}

var errNone = errors.New("is not an origin, such as https://api.example.com")

// Parse returns the origin of a URL with a scheme that net/http has. What is behind the
// port does not count. A URL with user information is refused: what stands before the @
// may look like the host.
func Parse(text string) (Origin, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || defaultPort(u.Scheme) == "" {
		return Origin{}, errNone
	}
	return Of(u), nil
}

// IsHTTPS reports whether the origin is reached over TLS.
func (o Origin) IsHTTPS() bool { return o.scheme == "https" }

// Host returns the host, without a port.
func (o Origin) Host() string { return o.host }

// SameHost reports whether both are the same port of the same host, whatever the schemes.
func (o Origin) SameHost(other Origin) bool { return o.host == other.host && o.port == other.port }

// String returns the origin as it stands in a URL, in characters that a terminal shows as
// they are: a host that cannot be one is quoted.
func (o Origin) String() string {
	host := o.host
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		quoted := strconv.QuoteToASCII(host)
		host = quoted[1 : len(quoted)-1]
	}
	switch {
	case o.port != defaultPort(o.scheme):
		return o.scheme + "://" + net.JoinHostPort(host, o.port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return o.scheme + "://" + host
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// Host returns a host, without a port, in the one form that counts: names in lower case, in
// ASCII, and without the dot that may end them; addresses in their shortest form, those of
// IPv4 not within IPv6. A name that is not allowed is only put into lower case: net/http
// uses it as it is written.
func Host(host string) string {
	if isPlain(host) {
		return host
	}
	if !isASCII(host) {
		// The mapping of net/http, which is that of browsers (UTS 46): full-width letters
		// and dots become what they look like.
		if ascii, err := idna.Lookup.ToASCII(host); err == nil {
			host = ascii
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return host
}

// isPlain reports whether a host is in its one form already, and surely.
func isPlain(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.' && i+1 < len(host):
		default:
			return false
		}
	}
	return true
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
