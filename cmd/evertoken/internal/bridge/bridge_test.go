package bridge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/bridge"
)

// A remote is an MCP server that answers as a test wants.
type remote struct {
	*httptest.Server
	mu       sync.Mutex
	sessions int
	id       string                                       // of the session that is good
	seen     []string                                     // methods, with "again" for streams that are resumed
	header   http.Header                                  // of the last request
	streams  chan func(http.ResponseWriter)               // what each of the server's own streams does
	handle   map[string]func(http.ResponseWriter, string) // by method; the rest are echoed
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	r := &remote{streams: make(chan func(http.ResponseWriter), 10), handle: make(map[string]func(http.ResponseWriter, string))}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *remote) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	_ = json.Unmarshal(body, &m)
	name := m.Method
	if name == "" {
		name = req.Method
	}
	if last := req.Header.Get("Last-Event-Id"); last != "" {
		name += " after " + last
	}
	r.mu.Lock()
	r.seen = append(r.seen, name)
	r.header = req.Header.Clone()
	good, handle := req.Header.Get("Mcp-Session-Id") == r.id, r.handle[name]
	if m.Method == "initialize" {
		r.sessions++
		r.id, good = fmt.Sprint("session-", r.sessions), true
		w.Header().Set("Mcp-Session-Id", r.id)
	}
	r.mu.Unlock()
	switch {
	case !good:
		w.WriteHeader(http.StatusNotFound)
	case handle != nil:
		handle(w, string(m.ID))
	case m.Method == "initialize":
		fmt.Fprintf(w, "{\"jsonrpc\":\"2.0\",\n \"id\":%s,\"result\":{\"protocolVersion\":\"2025-11-25\"}}", m.ID)
	case req.Method == http.MethodGet:
		r.stream(w, req)
	case req.Method == http.MethodDelete, len(m.ID) == 0, m.Method == "":
		w.WriteHeader(http.StatusAccepted)
	default:
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"echo":%q}}`, m.ID, m.Method)
	}
}

// stream is the server's own stream.
func (r *remote) stream(w http.ResponseWriter, req *http.Request) {
	select {
	case f := <-r.streams:
		events(w)
		f(w)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func events(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
}

// on sets what the server does with a method.
func (r *remote) on(name string, f func(w http.ResponseWriter, id string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handle[name] = f
}

// expire ends the session.
func (r *remote) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.id = "none"
}

func (r *remote) count(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, seen := range r.seen {
		if seen == name {
			n++
		}
	}
	return n
}

// A run is a bridge with a program.
type run struct {
	t    *testing.T
	in   *io.PipeWriter
	out  *bufio.Reader
	done chan error
	end  context.CancelFunc
}

func start(t *testing.T, address string, change ...func(*bridge.Config)) *run {
	t.Helper()
	in, program := io.Pipe()
	answers, out := io.Pipe()
	ctx, end := context.WithCancel(t.Context())
	r := &run{t: t, in: program, out: bufio.NewReader(answers), done: make(chan error, 1), end: end}
	cfg := bridge.Config{
		URL: address, Client: new(http.Client), In: in, Out: out,
		Say: t.Logf, Explain: func(err error) string { return err.Error() },
		Passes: func(err error) bool {
			op, is := errors.AsType[*net.OpError](err)
			return is && op.Op == "dial"
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	go func() {
		r.done <- bridge.Run(ctx, cfg)
		out.Close()
	}()
	t.Cleanup(func() {
		end()
		answers.Close()
		program.Close()
	})
	return r
}

func (r *run) say(lines ...string) {
	r.t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(r.in, line+"\n"); err != nil {
			r.t.Fatal(err)
		}
	}
}

// hear reads one line and compares it; "…" at the end stands for anything.
func (r *run) hear(want string) {
	r.t.Helper()
	line, err := r.out.ReadString('\n')
	if err != nil {
		r.t.Fatalf("instead of %s: %v", want, err)
	}
	line = strings.TrimSuffix(line, "\n")
	if prefix, open := strings.CutSuffix(want, "…"); open && strings.HasPrefix(line, prefix) {
		return
	}
	if line != want {
		r.t.Fatalf("got %s, want %s", line, want)
	}
}

const (
	initialize  = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`
	initialized = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

func (r *run) begin() {
	r.t.Helper()
	r.say(initialize)
	r.hear(`{"jsonrpc":"2.0",  "id":0,"result":{"protocolVersion":"2025-11-25"}}`)
	r.say(initialized)
}

func request(id, method string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q}`, id, method)
}

func TestMessagesPassInBothDirections(t *testing.T) {
	s := newRemote(t)
	over := make(chan struct{})
	s.streams <- func(w http.ResponseWriter) {
		fmt.Fprint(w, ": hello\n\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":\"q\",\"method\":\"roots/list\"}\r\n\r\n")
		w.(http.Flusher).Flush()
		<-over
	}
	s.on("stream", func(w http.ResponseWriter, id string) {
		events(w)
		fmt.Fprintf(w, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"n\":1.50}}\n\n", id)
	})
	r := start(t, s.URL)
	r.begin()
	r.hear(`{"jsonrpc":"2.0", "id":"q","method":"roots/list"}`)
	r.say(`{"jsonrpc":"2.0","id":"q","result":{"roots":[]}}`)
	r.say(request(`"a"`, "stream"))
	r.hear(`{"jsonrpc":"2.0","method":"notifications/progress"}`)
	r.hear(`{"jsonrpc":"2.0","id":"a","result":{"n":1.50}}`)
	r.say(request("9007199254740993", "ping"))
	r.hear(`{"jsonrpc":"2.0","id":9007199254740993,"result":{"echo":"ping"}}`)
	s.mu.Lock()
	version, session := s.header.Get("Mcp-Protocol-Version"), s.header.Get("Mcp-Session-Id")
	s.mu.Unlock()
	if version != "2025-11-25" || session != "session-1" {
		t.Errorf("version %q, session %q", version, session)
	}
	close(over)
	r.in.Close()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	if n := s.count("DELETE"); n != 1 {
		t.Errorf("%d sessions were ended; want 1", n)
	}
}

func TestASessionThatExpiresIsBegunAnew(t *testing.T) {
	s := newRemote(t)
	r := start(t, s.URL)
	r.begin()
	for round := range 3 {
		s.expire()
		for i := range 5 {
			r.say(request(fmt.Sprint(i), "ping"))
		}
		for range 5 {
			r.hear(`{"jsonrpc":"2.0","id":…`)
		}
		if n := s.count("initialize"); n != round+2 {
			t.Errorf("round %d: %d sessions; want %d", round, n, round+2)
		}
	}
}

func TestAnAnswerThatBreaksOffIsResumed(t *testing.T) {
	s := newRemote(t)
	s.on("long", func(w http.ResponseWriter, _ string) {
		events(w)
		fmt.Fprint(w, "id: 7\nretry: 1\ndata:\n\n")
	})
	s.on("GET after 7", func(w http.ResponseWriter, _ string) {
		events(w)
		fmt.Fprint(w, "id: 8\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\ndata: {\"cut")
	})
	s.on("GET after 8", func(w http.ResponseWriter, _ string) {
		events(w)
		fmt.Fprint(w, "id: 9\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n")
	})
	r := start(t, s.URL)
	r.begin()
	r.say(request("1", "long"))
	r.hear(`{"jsonrpc":"2.0","method":"notifications/progress"}`)
	r.hear(`{"jsonrpc":"2.0","id":1,"result":{}}`)
	s.on("lost", func(w http.ResponseWriter, _ string) { events(w) })
	r.say(request("2", "lost"))
	r.hear(`{"jsonrpc":"2.0","id":2,"error":{"code":-32000,"message":"the server's answer broke off…`)
}

func TestRefusalsAnswerTheRequest(t *testing.T) {
	s := newRemote(t)
	for name, tt := range map[string]struct {
		status     int
		kind, body string
		want       string
	}{
		"page":                     {502, "text/html", "<p>", `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the server says HTTP 502"}}`},
		"own error":                {400, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}`},
		"no ID":                    {400, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"x"}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}`},
		"no ID at all":             {200, "application/json", `{"jsonrpc":"2.0","error":{"code":-1,"message":"x"}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}`},
		"no ID, in a stream":       {200, "text/event-stream", "data: {\"error\":\ndata: {\"code\":-1}}\n\n", `{"jsonrpc":"2.0","id":1,"error":{"code":-1}}`},
		"no ID, of several":        {200, "application/json", `[{"id":2,"result":{}},{"id":null,"error":{"code":1}}]`, `[{"id":2,"result":{}},{"id":null,"error":{"code":1}}]`},
		"an error of another kind": {500, "application/json", `{"error":"x"}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the server says HTTP 500"}}`},
		"nothing":                  {202, "", "", `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the server did not answer"}}`},
		"a mark before":            {200, "application/json", "\ufeff" + `{"id":1,"result":{}}`, `{"id":1,"result":{}}`},
		"broken JSON":              {200, "application/json", `{"jsonrpc"`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the server did not answer"}}`},
		"not allowed":              {403, "", "", `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the server says HTTP 403"}}`},
		"plain answer":             {200, "", `{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":1,"result":{}}`},
	} {
		s.on(name, func(w http.ResponseWriter, _ string) {
			w.Header().Set("Content-Type", tt.kind)
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		})
		t.Run(name, func(t *testing.T) {
			r := start(t, s.URL)
			r.begin()
			r.say(request("1", name))
			r.hear(tt.want)
		})
	}
}

// Until the server is back, requests wait: they were not sent.
func TestRequestsWaitForAServerThatIsDown(t *testing.T) {
	s := newRemote(t)
	var tries sync.WaitGroup
	tries.Add(2)
	left := 2
	base := http.DefaultTransport
	r := start(t, s.URL, func(cfg *bridge.Config) {
		var mu sync.Mutex
		cfg.Client = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if left > 0 {
				left--
				tries.Done()
				return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			}
			return base.RoundTrip(req)
		})}
	})
	r.begin()
	tries.Wait()
	r.say(request("1", "ping"))
	r.hear(`{"jsonrpc":"2.0","id":1,"result":{"echo":"ping"}}`)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Whatever it is doing: an editor kills what does not end.
func TestTheEndComesWithinTwoSeconds(t *testing.T) {
	for name, stuck := range map[string]func(req *http.Request) (*http.Response, error){
		"a login": func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		},
		"a login that hears no end":    func(*http.Request) (*http.Response, error) { select {} },
		"a server that is not reached": func(*http.Request) (*http.Response, error) { return nil, &net.OpError{Op: "dial", Err: io.EOF} },
	} {
		for _, signal := range []bool{false, true} {
			t.Run(fmt.Sprint(name, signal), func(t *testing.T) {
				t.Parallel()
				entered := make(chan struct{}, 100)
				r := start(t, "http://127.0.0.1:1/", func(cfg *bridge.Config) {
					cfg.Client = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
						entered <- struct{}{}
						return stuck(req)
					})}
				})
				r.say(initialize)
				<-entered
				if signal {
					r.end()
				} else {
					r.in.Close()
				}
				select {
				case <-r.done:
				case <-time.After(30 * time.Second): // a busy machine is not a mistake; a bridge that stays is
					t.Error("the bridge goes on")
				}
			})
		}
	}
}

// A server that is started anew closes connections under requests.
func TestRequestsThatOnlyAskAreSentAgain(t *testing.T) {
	for _, c := range []struct {
		name, line string
		sent       int
		answer     string
	}{
		{"tools/list", request("1", "tools/list"), 2, `{"jsonrpc":"2.0","id":1,"result":…`},
		{"resources/read", request("1", "resources/read"), 2, `{"jsonrpc":"2.0","id":1,"result":…`},
		{"tools/call", request("1", "tools/call"), 1, `{"jsonrpc":"2.0","id":1,"error":…`},
		{"of its own", request("1", "of its own"), 1, `{"jsonrpc":"2.0","id":1,"error":…`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newRemote(t)
			var broken sync.Once
			s.on(c.name, func(w http.ResponseWriter, id string) {
				broken.Do(func() { panic(http.ErrAbortHandler) })
				fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
			})
			r := start(t, s.URL)
			r.begin()
			r.say(request("0", "ping"))
			r.hear(`{"jsonrpc":"2.0","id":0,"result":{"echo":"ping"}}`)
			r.say(c.line)
			r.hear(c.answer)
			if n := s.count(c.name); n != c.sent {
				t.Errorf("the server has seen it %d times; want %d", n, c.sent)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if _, told := s.header["Idempotency-Key"]; told {
				t.Error("a header was sent that is for net/http alone")
			}
		})
	}
}
