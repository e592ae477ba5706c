// Package trouble has what happens to an endpoint beyond what a Fault of oauthtest can
// say: it does not end when the client leaves.
package trouble

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// A Trouble is what happens to requests with refresh tokens. By default the server stands
// still with them, and goes on when the trouble is over.
type Trouble struct {
	// Answer takes the place of the server's work. It returns when over is closed.
	Answer func(w http.ResponseWriter, r *http.Request, over <-chan struct{})
	// Once limits Answer to the first request.
	Once bool
	// AfterWork has the server do its work at once, and answer when the trouble is over.
	// By default it begins to work then.
	AfterWork bool

	over   chan struct{}
	struck chan struct{} // closed when the first request comes
	queue  sync.Mutex    // held by the request that is worked on after a standstill

	mu   sync.Mutex     // guards held
	held map[string]int // requests that came meanwhile, by refresh token
}

// An Endpoint is one path of a server, which gets into trouble. Its other paths do not.
// All methods are safe for concurrent use.
type Endpoint struct {
	Path   string
	Server http.Handler

	mu    sync.Mutex // guards what follows
	now   *Trouble   // nil if there is none
	asked int
}

// Fall begins a trouble, which lasts until Heal.
func (e *Endpoint) Fall(t *Trouble) {
	t.over, t.struck, t.held = make(chan struct{}), make(chan struct{}), make(map[string]int)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = t
}

// Heal ends the trouble, if there is one, and returns how often a refresh token was sent
// again while a request that had it before was still under way.
func (e *Endpoint) Heal() (again int) {
	e.mu.Lock()
	t := e.now
	e.now = nil
	e.mu.Unlock()
	if t == nil {
		return 0
	}
	held, tokens := t.Held()
	close(t.over)
	return held - tokens
}

// Asked returns how many requests have reached the endpoint.
func (e *Endpoint) Asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

// Struck returns a channel that is closed when the trouble has hit a request.
func (t *Trouble) Struck() <-chan struct{} { return t.struck }

// Held returns how many requests the trouble has hit, and how many refresh tokens they had.
func (t *Trouble) Held() (requests, tokens int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.held {
		requests += n
	}
	return requests, len(t.held)
}

// ServeHTTP implements http.Handler.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != e.Path {
		e.Server.ServeHTTP(w, r)
		return
	}
	e.mu.Lock()
	t := e.now
	e.asked++
	e.mu.Unlock()
	if t == nil {
		e.Server.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler) // half a request
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, _ := url.ParseQuery(string(body)) // a body that is not a form has no refresh token
	first := t.take(form.Get("refresh_token"))
	switch {
	case t.Answer != nil && (first || !t.Once):
		t.Answer(w, r, t.over)
	case t.Answer != nil:
		e.Server.ServeHTTP(w, r)
	case t.AfterWork:
		e.Server.ServeHTTP(&late{w, t.over}, r)
	default:
		<-t.over
		t.queue.Lock() // one after the other, as a server does that has a queue
		defer t.queue.Unlock()
		e.Server.ServeHTTP(w, r)
	}
}

// take counts a request, and reports whether it is the first.
func (t *Trouble) take(refreshToken string) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if first = len(t.held) == 0; first {
		close(t.struck)
	}
	t.held[refreshToken]++
	return first
}

// A late writer holds the answer back.
type late struct {
	http.ResponseWriter
	over <-chan struct{}
}

func (l *late) WriteHeader(status int) {
	<-l.over
	l.ResponseWriter.WriteHeader(status)
}

func (l *late) Write(b []byte) (int, error) {
	<-l.over
	return l.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (l *late) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// drip is how often an endless answer goes on.
const drip = 500 * time.Millisecond

// Endless are answers that do not end by themselves.
var Endless = []struct {
	Name   string
	Answer func(w http.ResponseWriter, r *http.Request, over <-chan struct{})
}{
	{"101 Switching Protocols and silence", raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "")},
	{"a body that drips", raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{", " ")},
	{"a header that drips", raw("HTTP/1.1 200 OK\r\nX-Slow: ", "x")},
	{"103 Early Hints again and again", raw("", "HTTP/1.1 103 Early Hints\r\n\r\n")},
	{"no answer", raw("", "")},
}

// raw returns an answer that sends begin, and then drop again and again.
func raw(begin, drop string) func(http.ResponseWriter, *http.Request, <-chan struct{}) {
	return func(w http.ResponseWriter, _ *http.Request, over <-chan struct{}) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer c.Close()
		_, err = io.WriteString(c, begin)
		ticker := time.NewTicker(drip)
		defer ticker.Stop()
		for err == nil {
			select {
			case <-over:
				return
			case <-ticker.C:
				if drop != "" {
					_, err = io.WriteString(c, drop)
				}
			}
		}
	}
}
