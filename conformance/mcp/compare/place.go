package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/heldport"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A place is an MCP server and its authorization server, at one address, and a person
// with a browser.
type place struct {
	as    *oauthtest.Server
	port  *heldport.Port // where both servers are
	front *http.Server   // where browsers tell the person of a window
	desk  string         // and its address

	mu      sync.Mutex    // guards what follows; never held across I/O
	http    *http.Server  // nil while the place is down
	traps   []*trap       // one for each request to come
	takes   time.Duration // for the person to log in; negative: never
	away    chan struct{} // closed when the person comes back, who begins then; nil: is there
	windows int
	last    string           // the address of the last window
	held    []*heldport.Port // by the killed bridges' logins
	broken  bool             // the token endpoint answers refreshes with 503
	opened  chan string      // has the address of each window
}

// A trap catches one request.
type trap struct {
	path, grant string
	stage       stage
	from        chan string // gets the address that the request came from

	fatal bool          // for answered: the client is killed at that
	found chan struct{} // for answered: closed when it is known whose request it is
	sent  chan struct{} // and when the answer was sent
}

// A stage is how far a request is let go.
type stage int

const (
	arrived   stage = iota // the server has it, and does nothing
	committed              // the server has done its work, and the answer is kept back
	answered               // the client has been sent the answer
)

// newPlace returns a strict server: it rotates refresh tokens, and takes one that comes
// twice for theft.
func newPlace(cfg oauthtest.Config, takes time.Duration) (*place, error) {
	p := &place{as: oauthtest.NewServer(cfg), takes: takes, opened: make(chan string, 1000)}
	p.as.Close() // its address is ours from here on
	var err error
	if p.port, err = heldport.Hold(strings.TrimPrefix(p.as.URL, "http://")); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.desk = "http://" + l.Addr().String()
	p.front = &http.Server{Handler: http.HandlerFunc(p.look)}
	go func() { _ = p.front.Serve(l) }()
	return p, p.up()
}

// address is that of the MCP server.
func (p *place) address() string { return p.as.URL + "/mcp" }

// holdReturn keeps the address that the last window returns to for the next bridge, unless
// one listens there.
func (p *place) holdReturn() error {
	p.mu.Lock()
	port := redirectPort(p.last)
	p.mu.Unlock()
	if port == "" {
		return nil
	}
	addr := net.JoinHostPort("127.0.0.1", port)
	if c, err := net.Dial("tcp", addr); err == nil {
		return c.Close()
	}
	held, err := heldport.Hold(addr)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.held = append(p.held, held)
	p.mu.Unlock()
	return nil
}

// up has the servers answer at their address.
func (p *place) up() error {
	l, err := p.port.Listen()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.http = &http.Server{Handler: p}
	go func(s *http.Server) { _ = s.Serve(l) }(p.http)
	return nil
}

// down breaks all connections, and refuses others.
func (p *place) down() {
	p.mu.Lock()
	s := p.http
	p.http = nil
	p.mu.Unlock()
	if s != nil {
		_ = s.Close()
	}
}

func (p *place) close() {
	p.down()
	_ = p.front.Close()
	p.port.Release()
	for _, held := range p.held {
		held.Release()
	}
}

// ServeHTTP is both servers.
func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/oauth-protected-resource/mcp":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"resource":%q,"authorization_servers":[%q]}`, p.address(), p.as.Issuer())
	case "/mcp":
		p.serveMCP(w, r)
	default:
		p.authorize(w, r)
	}
}

// authorize is the authorization server, with traps.
func (p *place) authorize(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, _ := url.ParseQuery(string(body))
	grant := form.Get("grant_type")
	if grant == "refresh_token" && p.isBroken() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	t := p.take(r.URL.Path, grant)
	switch {
	case t == nil:
		p.as.ServeHTTP(w, r)
	case t.stage == arrived:
		t.from <- r.RemoteAddr
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case t.stage == committed:
		p.as.ServeHTTP(&kept{w, r, t, func() { p.as.AnswerLost(form.Get("refresh_token")) }}, r)
	default:
		t.from <- r.RemoteAddr
		<-t.found // while there is a connection
		p.as.ServeHTTP(w, r)
		if t.fatal {
			p.as.AnswerLost(form.Get("refresh_token")) // unless it was saved, which the server cannot see
		}
		close(t.sent)
	}
}

// A kept is an answer that is kept back until the client has left.
type kept struct {
	http.ResponseWriter
	r    *http.Request
	t    *trap
	lost func() // tells the auditor
}

func (k *kept) WriteHeader(int) {}

func (k *kept) Write([]byte) (int, error) {
	k.lost() // before another process can send the token again
	k.t.from <- k.r.RemoteAddr
	<-k.r.Context().Done()
	return 0, errors.New("the client has left")
}

// arm sets a trap.
func (p *place) arm(path oauthtest.Endpoint, grant string, s stage) *trap {
	t := &trap{path: string(path), grant: grant, stage: s, from: make(chan string, 1), found: make(chan struct{}), sent: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traps = append(p.traps, t)
	return t
}

// take returns the trap for a request, or nil.
func (p *place) take(path, grant string) *trap {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, t := range p.traps {
		if t.path == path && t.grant == grant {
			p.traps = append(p.traps[:i:i], p.traps[i+1:]...)
			return t
		}
	}
	return nil
}

// serveMCP answers each request with its method.
func (p *place) serveMCP(w http.ResponseWriter, r *http.Request) {
	if !p.accepts(r) {
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+p.as.URL+`/.well-known/oauth-protected-resource/mcp"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			ProtocolVersion string `json:"protocolVersion"`
		} `json:"params"`
	}
	_ = json.NewDecoder(r.Body).Decode(&m)
	switch {
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case len(m.ID) == 0:
		w.WriteHeader(http.StatusAccepted)
	case m.Method == "initialize":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":%q,"capabilities":{"tools":{}},"serverInfo":{"name":"place","version":"1"}}}`, m.ID, m.Params.ProtocolVersion)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"tools":[]}}`, m.ID)
	}
}

// accepts asks the authorization server's own API about a request's token.
func (p *place) accepts(r *http.Request) bool {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, p.as.Resource(), nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", r.Header.Get("Authorization"))
	var w status
	p.as.ServeHTTP(&w, req)
	return w.code == http.StatusOK
}

// A status is an answer of which nothing else matters.
type status struct {
	header http.Header
	code   int
}

func (s *status) Header() http.Header {
	if s.header == nil {
		s.header = make(http.Header)
	}
	return s.header
}
func (s *status) WriteHeader(code int)        { s.code = code }
func (s *status) Write(b []byte) (int, error) { return len(b), nil }
func (s *status) Flush()                      {}

// look is the person at a window.
func (p *place) look(w http.ResponseWriter, r *http.Request) {
	window := r.URL.Query().Get("url")
	p.mu.Lock()
	p.windows, p.last = p.windows+1, window
	takes, away := p.takes, p.away
	p.mu.Unlock()
	p.opened <- window
	if takes >= 0 {
		go func() {
			if away != nil {
				<-away
			}
			p.allow(window, takes)
		}()
	}
	w.WriteHeader(http.StatusNoContent)
}

func (p *place) isBroken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

// setBroken has the token endpoint answer refreshes with 503, or no longer.
func (p *place) setBroken(broken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = broken
}

// setTakes says how long the person takes from now on.
func (p *place) setTakes(takes time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takes = takes
}

// leave has the person look at no window before the return.
func (p *place) leave() (comeBack func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	away := make(chan struct{})
	p.away = away
	return func() { close(away) }
}

// reloads is how often a person reloads a page that cannot be reached, a second apart.
const reloads = 20

// allow logs in and goes where the page leads.
func (p *place) allow(window string, takes time.Duration) {
	time.Sleep(takes)
	location, err := p.as.Allow(context.Background(), window, oauthtest.DefaultUser)
	for range reloads {
		if err != nil {
			return // a page that leads nowhere
		}
		resp, failed := http.Get(location)
		if failed == nil {
			resp.Body.Close()
			return
		}
		var at *url.Error
		if errors.As(failed, &at) {
			location = at.URL // where the browser is by now
		}
		time.Sleep(time.Second)
	}
}

// redirectPort returns the port that a window returns to.
func redirectPort(window string) string {
	u, err := url.Parse(window)
	if err != nil {
		return ""
	}
	back, err := url.Parse(u.Query().Get("redirect_uri"))
	if err != nil {
		return ""
	}
	return back.Port()
}

// A tally is what has been asked of the servers and the person.
type tally struct{ windows, registrations, reuses int }

func (p *place) tally() tally {
	p.mu.Lock()
	t := tally{windows: p.windows}
	p.mu.Unlock()
	t.registrations = p.as.Requests(oauthtest.RegistrationEndpoint)
	for _, m := range p.as.Audit() {
		switch m.Kind {
		case oauthtest.SpentTwice, oauthtest.SpentInParallel, oauthtest.SpentAfterRevocation:
			t.reuses++
		}
	}
	return t
}
