//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// An mcpPlace is an MCP server, its authorization server, and a person at a machine.
type mcpPlace struct {
	*httptest.Server
	as      *oauthtest.Server
	dir     string
	env     []string
	windows atomic.Int32
	opened  chan string // addresses of windows, for a person who is asked to wait
	waits   atomic.Bool // the person looks at no window by themselves
}

func newMCPPlace(t *testing.T, cfg oauthtest.Config) *mcpPlace {
	t.Helper()
	p := &mcpPlace{as: oauthtest.NewServer(cfg), dir: t.TempDir(), opened: make(chan string, 100)}
	t.Cleanup(p.as.Close)
	mux := http.NewServeMux()
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	mux.HandleFunc("/.well-known/oauth-protected-resource/mcp", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"resource":%q,"authorization_servers":[%q]}`, p.URL+"/mcp", p.as.Issuer())
	})
	mux.HandleFunc("/mcp", p.serve)
	mux.HandleFunc("/person", func(w http.ResponseWriter, r *http.Request) {
		p.windows.Add(1)
		p.opened <- r.URL.Query().Get("url")
		if !p.waits.Load() {
			p.allow(t, <-p.opened)
		}
	})
	bin := t.TempDir()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(bin, "browser"))
	}
	if err != nil {
		t.Fatal(err)
	}
	p.env = append(os.Environ(), "EVERTOKEN_DIR="+p.dir, "EVERTOKEN_STORE=file", "BROWSER="+filepath.Join(bin, "browser"),
		"PERSON="+p.URL+"/person", "HOME="+t.TempDir(), "GORACE=atexit_sleep_ms=0")
	return p
}

// serve is the MCP server: it tells each request's method.
func (p *mcpPlace) serve(w http.ResponseWriter, r *http.Request) {
	req, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, p.as.Resource(), nil)
	req.Header.Set("Authorization", r.Header.Get("Authorization"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+p.URL+`/.well-known/oauth-protected-resource/mcp"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	_ = json.NewDecoder(r.Body).Decode(&m)
	switch {
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case len(m.ID) == 0:
		w.WriteHeader(http.StatusAccepted)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","method":%q}}`, m.ID, m.Method)
	}
}

// allow is the person in a window.
func (p *mcpPlace) allow(t *testing.T, window string) {
	location, err := p.as.Allow(context.Background(), window, oauthtest.DefaultUser)
	if err == nil {
		var resp *http.Response
		if resp, err = http.Get(location); err == nil {
			resp.Body.Close()
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// An mcpBridge is a process.
type mcpBridge struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *bufio.Reader
}

func (p *mcpPlace) bridge(t *testing.T) *mcpBridge {
	t.Helper()
	cmd := exec.Command(program(t), "mcp", p.URL+"/mcp")
	cmd.Env = p.env
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	stderr, err3 := cmd.StderrPipe()
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return &mcpBridge{cmd, in, bufio.NewReader(out), bufio.NewReader(stderr)}
}

// ask sends a request, and hear reads its answer.
func (b *mcpBridge) ask(method string) error {
	_, err := fmt.Fprintf(b.in, `{"jsonrpc":"2.0","id":1,"method":%q}`+"\n", method)
	return err
}

func (b *mcpBridge) hear(t *testing.T, when string) {
	line, err := b.out.ReadString('\n')
	if err != nil || !strings.Contains(line, `"result"`) {
		t.Errorf("%s: got %q, %v", when, line, err)
	}
}

// together starts n bridges and has each initialize.
func (p *mcpPlace) together(t *testing.T, when string, n int) []*mcpBridge {
	t.Helper()
	var all []*mcpBridge
	var asked sync.WaitGroup
	for range n {
		b := p.bridge(t)
		all = append(all, b)
		if err := b.ask("initialize"); err != nil {
			t.Fatal(err)
		}
		asked.Go(func() { b.hear(t, when) })
	}
	asked.Wait()
	return all
}

// end closes the programs' sides, and reports bridges that fail.
func end(t *testing.T, all []*mcpBridge) {
	t.Helper()
	for _, b := range all {
		b.in.Close()
	}
	for _, b := range all {
		said, _ := io.ReadAll(b.stderr)
		if err := b.cmd.Wait(); err != nil {
			t.Errorf("a bridge ended with %v, saying %q", err, said)
		}
	}
}

func (p *mcpPlace) want(t *testing.T, when string, windows int32, registrations, refreshes int) {
	t.Helper()
	if w, r, f := p.windows.Load(), p.as.Requests(oauthtest.RegistrationEndpoint), p.as.Refreshes(); w != windows || r != registrations || f != refreshes {
		t.Errorf("%s: %d windows, %d registrations and %d refreshes; want %d, %d and %d", when, w, r, f, windows, registrations, refreshes)
	}
	for _, m := range p.as.Audit() {
		t.Errorf("%s: %v", when, m)
	}
}

// age makes the session older, and its access token dead.
func (p *mcpPlace) age(t *testing.T, by time.Duration) {
	t.Helper()
	store, err := tokenstore.NewFile(filepath.Join(p.dir, "mcp"))
	if err != nil {
		t.Fatal(err)
	}
	name := connect.SessionName(p.URL+"/mcp", p.as.Issuer(), "")
	rec, err := store.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []*time.Time{&rec.Tokens.IssuedAt, &rec.Tokens.GrantedAt, &rec.Tokens.ExpiresAt} {
		*at = at.Add(-by)
	}
	if !rec.RefreshedAt.IsZero() {
		rec.RefreshedAt = rec.RefreshedAt.Add(-by)
	}
	if _, err := store.Set(t.Context(), name, rec); err != nil {
		t.Fatal(err)
	}
}

func TestF90_TenBridgesAskOnce(t *testing.T) {
	p := newMCPPlace(t, oauthtest.Config{})
	end(t, p.together(t, "first start", 10))
	p.want(t, "first start", 1, 1, 0)

	p.age(t, time.Hour)
	end(t, p.together(t, "with a dead token", 10))
	p.want(t, "with a dead token", 1, 1, 1)

	p.as.RevokeAll(oauthtest.DefaultUser)
	p.age(t, time.Hour)
	end(t, p.together(t, "with a dead refresh token", 10))
	p.want(t, "with a dead refresh token", 2, 1, 1)

	if listed, _ := p.say(t, "list"); !strings.HasPrefix(listed, p.URL+"/mcp from "+p.as.Issuer()+"\n  logged in; access token valid until ") {
		t.Errorf("mcp list printed %q", listed)
	}
}

// say runs a command about MCP servers that succeeds, and returns what it prints and says.
func (p *mcpPlace) say(t *testing.T, args ...string) (printed, said string) {
	t.Helper()
	cmd := exec.Command(program(t), append([]string{"mcp"}, args...)...)
	cmd.Env = p.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("mcp %q: %v: %s", args, err, stderr.String())
	}
	return string(out), stderr.String()
}

func TestLogoutOfAnMCPServer(t *testing.T) {
	p := newMCPPlace(t, oauthtest.Config{})
	end(t, p.together(t, "first start", 1))
	if _, said := p.say(t, "logout", p.URL+"/mcp"); said != "Logged out of "+p.URL+"/mcp.\n" {
		t.Errorf("mcp logout said %q", said)
	}
	if n := p.as.Sessions(oauthtest.DefaultUser); n != 0 {
		t.Errorf("%d sessions are left at the server", n)
	}
	if printed, said := p.say(t, "list"); printed != "" || !strings.HasPrefix(said, "There is no login") {
		t.Errorf("mcp list printed %q and said %q", printed, said)
	}
	if _, said := p.say(t, "logout", p.URL+"/mcp"); !strings.HasSuffix(said, ": nothing to do.\n") {
		t.Errorf("mcp logout said %q the second time", said)
	}
	end(t, p.together(t, "after the logout", 1))
	p.want(t, "after the logout", 2, 1, 0)
}

func TestLogoutOfAnMCPServerThatIsAway(t *testing.T) {
	p := newMCPPlace(t, oauthtest.Config{})
	end(t, p.together(t, "first start", 1))
	p.as.Script(oauthtest.Fault{Endpoint: oauthtest.RevocationEndpoint, Status: http.StatusServiceUnavailable, Times: -1})
	cmd := exec.Command(program(t), "mcp", "logout", p.URL+"/mcp")
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "still logged in") || !strings.Contains(string(out), "mcp logout "+p.URL+"/mcp --force") {
		t.Errorf("mcp logout said %q (%v)", out, err)
	}
	end(t, p.together(t, "afterwards", 1))
	p.want(t, "afterwards", 1, 1, 0)
	if _, said := p.say(t, "logout", p.URL+"/mcp", "--force"); !strings.Contains(said, "may live on there") {
		t.Errorf("mcp logout --force said %q", said)
	}
	if printed, _ := p.say(t, "list"); printed != "" {
		t.Errorf("mcp list printed %q", printed)
	}
}

// Whoever has opened the window is killed: the person goes on in it.
func TestF90_ABridgeThatIsKilledLeavesItsWindowToAnother(t *testing.T) {
	p := newMCPPlace(t, oauthtest.Config{})
	p.waits.Store(true)
	first := p.bridge(t)
	if err := first.ask("initialize"); err != nil {
		t.Fatal(err)
	}
	window := <-p.opened
	var rest []*mcpBridge
	for range 3 {
		b := p.asked(t)
		b.says(t, "waiting for that")
		rest = append(rest, b)
	}
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.cmd.Wait()
	listens := make(chan struct{}, len(rest))
	for _, b := range rest {
		go func() {
			for {
				line, err := b.stderr.ReadString('\n')
				if strings.Contains(line, "Waiting for the login") {
					listens <- struct{}{}
				}
				if err != nil {
					return
				}
			}
		}()
	}
	<-listens
	u, err := url.Parse(window)
	if err != nil {
		t.Fatal(err)
	}
	p.allow(t, u.String())
	for _, b := range rest {
		b.hear(t, "after the kill")
	}
	p.want(t, "after the kill", 1, 1, 0)
}

// endings are what ends a bridge.
var endings = map[string]func(*mcpBridge) error{
	"stdin":   func(b *mcpBridge) error { return b.in.Close() },
	"SIGTERM": func(b *mcpBridge) error { return b.cmd.Process.Signal(syscall.SIGTERM) },
	"SIGINT":  func(b *mcpBridge) error { return b.cmd.Process.Signal(syscall.SIGINT) },
}

// asked is a bridge that was asked for something.
func (p *mcpPlace) asked(t *testing.T) *mcpBridge {
	t.Helper()
	b := p.bridge(t)
	if err := b.ask("initialize"); err != nil {
		t.Fatal(err)
	}
	return b
}

// says waits until the bridge says something on stderr.
func (b *mcpBridge) says(t *testing.T, words string) {
	t.Helper()
	for {
		line, err := b.stderr.ReadString('\n')
		if err != nil {
			t.Fatalf("the bridge did not say %q: %v", words, err)
		}
		if strings.Contains(line, words) {
			return
		}
	}
}

// states lead a bridge into what it can be in the middle of.
var states = map[string]func(*testing.T, *mcpPlace) *mcpBridge{
	"nothing": func(t *testing.T, p *mcpPlace) *mcpBridge { return p.together(t, "first start", 1)[0] },
	"its login": func(t *testing.T, p *mcpPlace) *mcpBridge {
		p.waits.Store(true)
		b := p.asked(t)
		<-p.opened
		return b
	},
	"the login of another one": func(t *testing.T, p *mcpPlace) *mcpBridge {
		p.waits.Store(true)
		p.asked(t)
		<-p.opened
		b := p.asked(t)
		b.says(t, "waiting for that")
		return b
	},
	"a registration": func(t *testing.T, p *mcpPlace) *mcpBridge {
		return p.hanging(t, oauthtest.Fault{Endpoint: oauthtest.RegistrationEndpoint, Hang: true, Times: -1})
	},
	"a refresh": func(t *testing.T, p *mcpPlace) *mcpBridge {
		end(t, p.together(t, "first start", 1))
		p.age(t, time.Hour)
		return p.hanging(t, oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Hang: true, Times: -1})
	},
	"an outage": func(t *testing.T, p *mcpPlace) *mcpBridge {
		end(t, p.together(t, "first start", 1))
		p.Close()
		b := p.asked(t)
		b.says(t, "Waiting for the server")
		return b
	},
	"an outage of the token endpoint": func(t *testing.T, p *mcpPlace) *mcpBridge {
		end(t, p.together(t, "first start", 1))
		p.age(t, time.Hour)
		n := p.as.Requests(oauthtest.TokenEndpoint)
		p.as.Script(oauthtest.Fault{Status: http.StatusServiceUnavailable, Times: -1})
		b := p.asked(t)
		if err := p.as.AwaitRequests(t.Context(), oauthtest.TokenEndpoint, n+1); err != nil {
			t.Fatal(err)
		}
		return b
	},
}

// hanging is a bridge whose request to the authorization server hangs.
func (p *mcpPlace) hanging(t *testing.T, f oauthtest.Fault) *mcpBridge {
	t.Helper()
	n := p.as.Requests(f.Endpoint)
	p.as.Script(f)
	b := p.asked(t)
	if err := p.as.AwaitRequests(t.Context(), f.Endpoint, n+1); err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever a bridge is in the middle of, the end of its stdin and a signal end it.
func TestABridgeEndsInEveryState(t *testing.T) {
	for state, lead := range states {
		for ending, stop := range endings {
			t.Run(ending+" during "+state, func(t *testing.T) {
				b := lead(t, newMCPPlace(t, oauthtest.Config{}))
				if err := stop(b); err != nil {
					t.Fatal(err)
				}
				said, _ := io.ReadAll(b.stderr)
				if err := b.cmd.Wait(); err != nil {
					t.Errorf("ended with %v, saying %q", err, said)
				}
			})
		}
	}
}
