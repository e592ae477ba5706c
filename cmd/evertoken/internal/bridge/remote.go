package bridge

import (
	"context"
	"errors"
	"net/http"
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
	id         string     // Mcp-Session-Id, empty if the server keeps none
	version    string     // that was agreed on, for MCP-Protocol-Version
	generation int        // counts sessions
	initialize []byte     // the program's request that began it
	ready      []byte     // its notification that it is ready
	listening  context.CancelFunc
}

func (r *remote) state() (id, version string, generation int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id, r.version, r.generation
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
		r.id, r.version = "", ""
	case "notifications/initialized":
		r.ready = line
	}
}

// begun notes what the server says of a session that it has begun.
func (r *remote) begun(id, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.id, r.version = id, version; !fitsHeader(version) {
		r.version = ""
	}
	r.generation++
}

// setHeader adds what each request of a session carries.
func setHeader(req *http.Request, id, version string) {
	if id != "" {
		req.Header.Set("Mcp-Session-Id", id)
	}
	if version != "" {
		req.Header.Set("Mcp-Protocol-Version", version)
	}
}

// maxRedirects is how many redirects are followed, as by net/http.
const maxRedirects = 10

// leaving returns a client like c whose requests leave the session's ID behind where a redirect
// leads to another origin: with it the server there could speak in the session.
func leaving(c *http.Client) *http.Client {
	client, next := *c, c.CheckRedirect
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
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
