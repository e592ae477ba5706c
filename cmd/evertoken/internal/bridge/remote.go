package bridge

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/evertoken/evertoken/internal/origin"
)

// A remote is the session with the server: what the server calls it, and what began it.
type remote struct {
	renewing chan struct{} // held by the caller that begins the session anew
	failed   failed        // guarded by renewing
	heard    atomic.Bool   // the server has had a stream of its own

	mu         sync.Mutex // guards what follows; never held across I/O
	session    session
	proven     int    // the generation of the latest session that the server has taken a message in
	initialize []byte // the program's request that began it
	ready      []byte // its notification that it is ready
	listening  context.CancelFunc
}

// A session is what requests of one carry.
type session struct {
	id         string // Mcp-Session-Id, empty if the server keeps none
	version    string // that was agreed on, for MCP-Protocol-Version
	generation int    // counts sessions
}

func (r *remote) state() session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session
}

// keep remembers how the program begins a session.
func (r *remote) keep(list []head, line []byte) {
	if len(list) != 1 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch list[0].Method {
	case "initialize":
		r.initialize = line
		r.session.id, r.session.version = "", ""
	case "notifications/initialized":
		r.ready = line
	}
}

// hasBegun reports whether the program has begun a session, as it does up to revision 2025-11-25.
func (r *remote) hasBegun() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.initialize != nil
}

// prove notes that the server knows a session.
func (r *remote) prove(s session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proven = max(r.proven, s.generation)
}

// isProven reports whether the server has known a session.
func (r *remote) isProven(s session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.id != "" && r.proven == s.generation
}

// begun notes what the server says of a session that it has begun.
func (r *remote) begun(id, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !fitsHeader(version) {
		version = ""
	}
	r.session = session{id, version, r.session.generation + 1}
}

// setHeader adds what each request of a session carries.
func (s session) setHeader(req *http.Request) {
	if s.id != "" {
		req.Header.Set("Mcp-Session-Id", s.id)
	}
	if s.version != "" {
		req.Header.Set("Mcp-Protocol-Version", s.version)
	}
}

// errMoved is why a redirect is not followed that makes a GET of a message (301, 302, 303): the
// server would take that for the request for its own stream, and not answer.
var errMoved = errors.New("the server redirects messages elsewhere, in a way that loses them: use the address that it redirects to")

// errElsewhere is why a server has refused a message without a token.
var errElsewhere = errors.New("the server redirects messages to another one, which does not get the login: use the address that it redirects to")

// isElsewhere reports whether an answer is that of another origin, to which redirects have led.
func (b *bridge) isElsewhere(resp *http.Response) bool {
	u, err := url.Parse(b.URL)
	return err == nil && resp.Request != nil && origin.Of(resp.Request.URL) != origin.Of(u)
}

// maxRedirects is how many redirects are followed, as by net/http.
const maxRedirects = 10

// leaving returns a client like c whose requests leave the session's ID behind where a redirect
// leads to another origin: with it the server there could speak in the session.
func leaving(c *http.Client) *http.Client {
	client, next := *c, c.CheckRedirect
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if req.Method != via[0].Method {
			return errMoved
		}
		for _, earlier := range via {
			if origin.Of(earlier.URL) != origin.Of(req.URL) {
				req.Header.Del("Mcp-Session-Id")
			}
		}
		switch {
		case next != nil:
			return next(req, via)
		case len(via) >= maxRedirects:
			return errors.New("the server redirects without end")
		}
		return nil
	}
	return &client
}
