package refresh

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/evertoken/evertoken/internal/origin"
	"github.com/evertoken/evertoken/internal/thishost"
	"github.com/evertoken/evertoken/oauth"
)

// AnyOrigin in Config.AllowedOrigins lets the token go to whatever origin the program's
// requests name. It is safe only where no URL comes from outside: not from an answer, an
// argument or a file. Redirects to another origin travel without the token all the same.
const AnyOrigin = "*"

// An allowedOrigin is where a token may go.
type allowedOrigin struct {
	origin.Origin
	scheme, written string // written: host and port, as they are written and most requests have them
}

func (a *allowedOrigin) matches(u *url.URL) bool {
	return a.scheme == u.Scheme && (a.written == u.Host || a.Origin == origin.Of(u))
}

// originLimits are where a token may go.
type originLimits struct {
	any  bool            // AnyOrigin
	list []allowedOrigin // if there are none, and not any: the first origin used
	of   string          // the resource whose list it is, or ""
}

// allowOrigins reads Config.AllowedOrigins. What is not an origin allows nothing, but stays in
// the list: without any, the first origin used would be allowed.
func allowOrigins(list []string) originLimits {
	if slices.Contains(list, AnyOrigin) {
		return originLimits{any: true}
	}
	limits := originLimits{list: make([]allowedOrigin, 0, len(list))}
	for _, text := range list {
		limits.list = append(limits.list, allowOrigin(text))
	}
	return limits
}

// allowOrigin reads one origin.
func allowOrigin(text string) allowedOrigin {
	o, err := origin.Parse(text)
	u, err2 := url.Parse(text)
	if err != nil || err2 != nil {
		return allowedOrigin{}
	}
	return allowedOrigin{o, u.Scheme, u.Host}
}

// ofResource returns the limits of a resource's tokens: its own origin, if its indicator
// is the URL of an API.
func (l originLimits) ofResource(uri string) originLimits {
	a := allowOrigin(uri)
	if l.any || a.scheme == "" {
		return l
	}
	return originLimits{list: []allowedOrigin{a}, of: uri}
}

// bindsFirst reports whether the first origin used is the only one.
func (l originLimits) bindsFirst() bool { return !l.any && len(l.list) == 0 }

// allow reports whether a token may go to u, along a list.
func (l originLimits) allow(u *url.URL) bool {
	return l.any || slices.ContainsFunc(l.list, func(a allowedOrigin) bool { return a.matches(u) })
}

// destinations are where the tokens of one Transport, or of a session's gRPC calls, may go.
type destinations struct {
	limits originLimits
	first  *atomic.Pointer[firstOrigin] // the session's first origin used, nil before that
}

// check returns an error if the program may not send the token to u.
func (d destinations) check(u *url.URL) error {
	if !d.limits.bindsFirst() {
		if d.limits.allow(u) {
			return nil
		}
		return d.refuse(u)
	}
	if first := d.bound(); first != nil && !first.matches(u) {
		return refuseAfter(first, u)
	}
	return nil
}

// bound returns the session's first origin, or nil.
func (d destinations) bound() *firstOrigin {
	first := d.first.Load()
	if first != nil && first.requests.Load() == unreached {
		d.first.CompareAndSwap(first, nil)
		return nil
	}
	return first
}

// use notes that the token goes to u, and returns an error if a request that came between
// check and use has bound it to another origin. If it is not known yet that the origin can
// be reached, it returns the origin, and the caller has to say what comes of its request.
func (d destinations) use(u *url.URL) (*firstOrigin, error) {
	if !d.limits.bindsFirst() {
		return nil, nil
	}
	for {
		first := d.bound()
		if first == nil {
			first = &firstOrigin{allowedOrigin: allowedOrigin{origin.Of(u), u.Scheme, strings.Clone(u.Host)}}
			first.requests.Store(1)
			if d.first.CompareAndSwap(nil, first) {
				return first, nil
			}
			continue
		}
		if !first.matches(u) {
			return nil, refuseAfter(first, u)
		}
		if known, ok := first.join(); ok {
			if known {
				return nil, nil
			}
			return first, nil
		}
	}
}

// follow reports whether the token goes along a redirect: if neither the request nor any
// that led to it is for an origin where it may not go. The server that answers there has chosen
// where the next one goes, and with what. http.Client links each request to the response
// that caused it; a response that does not know its request may be from anywhere.
func (d destinations) follow(req *http.Request) bool {
	last := req.URL
	for ; ; req = req.Response.Request {
		within := d.limits.allow(req.URL)
		switch {
		case d.limits.any:
			within = origin.Of(req.URL) == origin.Of(last)
		case d.limits.bindsFirst():
			first := d.bound()
			within = first != nil && first.matches(req.URL)
		}
		if !within || checkSecure(req.URL) != nil {
			return false
		}
		if req.Response == nil {
			return true
		}
		if req.Response.Request == nil {
			return false
		}
	}
}

// refuse is the error of a request to an origin that is not in the list.
func (d destinations) refuse(u *url.URL) error {
	names := make([]string, 0, len(d.limits.list))
	for _, a := range d.limits.list {
		if a.scheme != "" {
			names = append(names, a.String())
		}
	}
	const most = 5 // that a message has room for
	if len(names) > most {
		names = append(names[:most], "…")
	}
	if d.limits.of != "" {
		return fmt.Errorf("refresh: the token of the resource %q is for %s alone, and is not sent to %v: use the session's own Transport, or put refresh.AnyOrigin into Config.AllowedOrigins: %w",
			d.limits.of, strings.Join(names, ", "), origin.Of(u), oauth.ErrMisconfigured)
	}
	if len(names) == 0 {
		names = []string{"none that can be read"}
	}
	return fmt.Errorf("refresh: the token is not sent to %v, which is not among Config.AllowedOrigins (%s): add it there if it is one of the session's APIs: %w",
		origin.Of(u), strings.Join(names, ", "), oauth.ErrMisconfigured)
}

// refuseAfter is the error of a request to another origin than the first one.
func refuseAfter(first *firstOrigin, u *url.URL) error {
	return fmt.Errorf("refresh: the token is for %v, the first origin that it was used for, and is not sent to %v: name both in Config.AllowedOrigins if both are the session's APIs: %w",
		first, origin.Of(u), oauth.ErrMisconfigured)
}

// checkSecure returns an error if others could read a token on its way to u.
func checkSecure(u *url.URL) error {
	if u.Scheme == "https" || u.Scheme == "http" && thishost.Direct(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("refresh: a token is not sent over plain HTTP, but to a loopback address or to localhost in small letters: %w", oauth.ErrMisconfigured)
}
