package bridge_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/bridge"
)

// A server that is being started anew has forgotten its sessions, and is not quite there.
func TestASessionIsBegunAnewAtAServerThatIsNotYetBack(t *testing.T) {
	started := func(w http.ResponseWriter, id string) {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25"}}`, id)
	}
	for _, name := range []string{"initialize", "notifications/initialized"} {
		good := started
		if name != "initialize" {
			good = says(http.StatusAccepted)
		}
		for trouble, answer := range map[string]func(http.ResponseWriter, string){
			"408": says(408), "425": says(425), "429": says(429), "500": says(500), "502": says(502), "503": says(503), "504": says(504), "a broken connection": breaks,
			"404": says(404), "no result": streams(": nothing\n\n"), "page": func(w http.ResponseWriter, _ string) { fmt.Fprint(w, "<p>") },
		} {
			if name != "initialize" && (trouble == "no result" || trouble == "page") {
				continue // nothing is wanted but a status
			}
			t.Run(name+" "+trouble, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := inBubble()
					over := make(chan struct{})
					t.Cleanup(func() { close(over) })
					r := startInBubble(t, s)
					r.begin()
					synctest.Wait()
					s.on(name, inTurn(answer, answer, answer, answer, good))
					s.on("GET", func(w http.ResponseWriter, _ string) { events(w); <-over })
					s.expire()
					for i := range 3 {
						r.say(request(fmt.Sprint(i), "tools/call"))
					}
					for range 3 {
						r.hear(`{"jsonrpc":"2.0","id":…`)
					}
					synctest.Wait()
					if n := s.count(name); n != 6 {
						t.Errorf("%s was sent %d times; want once, four times in vain, and once", name, n)
					}
					if n := s.count("GET"); n != 2 {
						t.Errorf("the server's own stream was asked for %d times; want once in each session", n)
					}
				})
			})
		}
	}
}

// No request comes in a session before the program is ready in it, and one that is canceled
// meanwhile does not come at all.
func TestNothingOvertakesASessionThatIsBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		r := startInBubble(t, s)
		r.begin()
		synctest.Wait()
		s.on("notifications/initialized", inTurn(says(503), says(503), says(202)))
		s.expire()
		r.say(request("1", "tools/call"), request("2", "tools/list"))
		synctest.Wait()
		s.on("notifications/cancelled", says(202))
		r.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		r.hear(`{"jsonrpc":"2.0","id":2,"result":{"echo":"tools/list"}}`)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.seen); s.seen[n-1] != "tools/list" && s.seen[n-1] != "notifications/cancelled" && s.seen[n-1] != "GET" {
			t.Errorf("after all: %s", s.seen[n-1])
		}
		calls := 0
		for _, name := range s.seen {
			if name == "tools/call" {
				calls++
			}
		}
		if calls != 1 {
			t.Errorf("a call that was canceled came %d times; want the one before", calls)
		}
	})
}

func TestASessionThatCannotBeBegunAnewEndsTheWait(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter, string)
		within time.Duration
	}{
		"gone":          {says(404), 6 * time.Minute},
		"not allowed":   {says(403), time.Second},
		"refused":       {func(w http.ResponseWriter, id string) { fmt.Fprintf(w, `{"id":%s,"error":{}}`, id) }, time.Second},
		"always broken": {says(502), 6 * time.Minute},
		"never a word":  {streams(""), 6 * time.Minute},
		"always cut":    {breaks, 6 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				r := startInBubble(t, s)
				r.begin()
				synctest.Wait()
				s.on("initialize", tt.answer)
				s.expire()
				begun := time.Now()
				for i := range 3 {
					r.say(request(fmt.Sprint(i), "tools/call"))
				}
				for range 3 {
					r.hear(`{"jsonrpc":"2.0","id":…`)
				}
				if took := time.Since(begun); took > tt.within {
					t.Errorf("the last of three calls that wait together ends after %v; want %v", took, tt.within)
				}
			})
		})
	}
}

func TestASessionIsBegunAnewWhenTheServerIsReachedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		var back time.Time
		r := startInBubble(t, s, func(cfg *bridge.Config) {
			next := cfg.Client.Transport
			cfg.Client = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
				if time.Now().Before(back) && req.Header.Get("Mcp-Session-Id") == "" {
					return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
				}
				return next.RoundTrip(req)
			})}
		})
		r.begin()
		synctest.Wait()
		back = time.Now().Add(20 * time.Minute)
		s.expire()
		r.say(request("1", "tools/call"))
		r.hear(`{"jsonrpc":"2.0","id":1,"result":…`)
		if late := time.Since(back); late > 2*time.Second {
			t.Errorf("%v after the server came back", late)
		}
	})
}

// Servers that were started anew say 400 to a session that they do not know, and that alone says
// nothing of the session.
func TestASessionThatTheServerHasForgottenIsBegunAnew(t *testing.T) {
	const nameless = `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}`
	refuses := func(w http.ResponseWriter, _ string) {
		w.Header().Del("Mcp-Session-Id")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, nameless)
	}
	refusesOwn := func(w http.ResponseWriter, id string) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"id":`+id+`,"error":{"code":1}}`)
	}
	const answer, own, passed = `{"jsonrpc":"2.0","id":1,"result":{"echo":"tools/call"}}`, `{"id":1,"error":{"code":1}}`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}`
	for name, tt := range map[string]struct {
		call     func(http.ResponseWriter, string)
		ping     func(http.ResponseWriter, string) // nil: as ever
		want     string
		sessions int
		pings    int
	}{
		"forgotten":                {refuses, refuses, answer, 2, 1},
		"forgotten, without words": {says(400), says(400), answer, 2, 1},
		"the call's own mistake":   {refuses, nil, passed, 1, 1},
		"its own error":            {refusesOwn, refuses, own, 1, 0},
		"trouble":                  {refuses, says(500), passed, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				r := startInBubble(t, s)
				r.begin()
				r.say(request("0", "ping"))
				r.hear(`{"jsonrpc":"2.0","id":0,"result":{"echo":"ping"}}`)
				begun := s.count("initialize")
				old := func(f func(http.ResponseWriter, string), method string) {
					s.on(method, func(w http.ResponseWriter, id string) {
						if f != nil && s.count("initialize") == begun {
							f(w, id)
							return
						}
						_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"echo":"`+method+`"}}`)
					})
				}
				old(tt.call, "tools/call")
				old(tt.ping, "ping")
				r.say(request("1", "tools/call"))
				r.hear(tt.want)
				if n := s.count("initialize"); n != tt.sessions {
					t.Errorf("%d sessions; want %d", n, tt.sessions)
				}
				if n := s.count("ping"); n != tt.pings+1 {
					t.Errorf("asked about %d times; want %d", n-1, tt.pings)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // of a session that it has never known
		s := inBubble()
		for _, method := range []string{"notifications/initialized", "tools/call", "ping"} {
			s.on(method, refuses)
		}
		r := startInBubble(t, s)
		r.begin()
		r.say(request("1", "tools/call"))
		r.hear(passed)
		if n := s.count("initialize"); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}
