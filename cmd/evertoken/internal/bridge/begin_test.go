package bridge_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A server may refuse what comes before it knows that the program is ready.
func TestNothingOvertakesTheProgramsReadiness(t *testing.T) {
	for name, takes := range map[string]time.Duration{"soon": 500 * time.Millisecond, "never": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, ready := inBubble(), make(chan struct{})
				s.on("notifications/initialized", func(w http.ResponseWriter, _ string) {
					time.Sleep(takes)
					close(ready)
					w.WriteHeader(http.StatusAccepted)
				})
				s.on("tools/list", func(w http.ResponseWriter, id string) {
					select {
					case <-ready:
						_, _ = io.WriteString(w, `{"id":`+id+`,"result":{}}`)
					default:
						_, _ = io.WriteString(w, `{"id":`+id+`,"error":{}}`)
					}
				})
				r := startInBubble(t, s)
				r.begin()
				r.say(request("1", "tools/list"))
				want := map[string]string{"soon": `{"id":1,"result":{}}`, "never": `{"id":1,"error":{}}`}[name]
				if got := r.next(time.Minute); got != want {
					t.Errorf("got %q", got)
				}
				time.Sleep(takes) // the handler is to end within the bubble
			})
		})
	}
}

// A redirect that makes a GET of a message would be answered by the server's own stream, which
// has no end.
func TestAMessageIsNotLostInARedirect(t *testing.T) {
	for status, passes := range map[int]bool{301: false, 302: false, 303: false, 307: true, 308: true} {
		synctest.Test(t, func(t *testing.T) {
			s := inBubble()
			ownStreams(t, s)
			r := startInBubble(t, s)
			r.begin()
			r.hear(`{"method":"last"}`)
			moved := false
			s.on("tools/call", func(w http.ResponseWriter, id string) {
				if moved {
					_, _ = io.WriteString(w, `{"id":`+id+`,"result":{}}`)
					return
				}
				moved = true
				w.Header().Set("Location", "http://mcp.test/there")
				w.WriteHeader(status)
			})
			r.say(request("1", "tools/call"))
			got := r.next(time.Hour)
			if passes && got != `{"id":1,"result":{}}` || !passes && !strings.Contains(got, "redirects messages elsewhere") {
				t.Errorf("HTTP %d: %q", status, got)
			}
		})
	}
}

// A person may have the address of a server's older transport.
func TestAServerOfTheOlderTransportIsNamedAsThat(t *testing.T) {
	for status, asked := range map[int]bool{400: true, 404: true, 405: true, 403: false} {
		for name, tt := range map[string]struct {
			stream func(http.ResponseWriter, string)
			older  bool
		}{
			"older":                 {streams("event: endpoint\ndata: /messages?id=1\n\n"), true},
			"another stream":        {streams("data: {}\n\n"), false},
			"none":                  {says(405), false},
			"one that says nothing": {func(w http.ResponseWriter, _ string) { events(w); time.Sleep(time.Hour) }, false},
		} {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				s.on("initialize", func(w http.ResponseWriter, id string) {
					s.mu.Lock()
					s.id = "" // it has no sessions
					s.mu.Unlock()
					says(status)(w, id)
				})
				s.on("GET", tt.stream)
				r := startInBubble(t, s)
				begun := time.Now()
				r.say("\ufeff" + initialize)
				got := r.next(time.Minute)
				if strings.Contains(got, "2024-11-05") != (tt.older && asked) || !tt.older && !strings.Contains(got, "HTTP "+fmt.Sprint(status)) {
					t.Errorf("HTTP %d, %s: %s", status, name, got)
				}
				if n := s.count("GET"); n > 1 || n > 0 && !asked || time.Since(begun) > 10*time.Second {
					t.Errorf("HTTP %d, %s: asked %d times, within %v", status, name, n, time.Since(begun))
				}
				time.Sleep(time.Hour)
			})
		}
	}
}

// The login stays with the server that it is for, also where that redirects to its other name.
func TestARefusalOfAnotherServerSaysWhereTheLoginGoes(t *testing.T) {
	for target, elsewhere := range map[string]bool{"https://mcp.test/": true, "http://www.mcp.test/": true, "http://mcp.test/there": false} {
		synctest.Test(t, func(t *testing.T) {
			s := inBubble()
			s.on("tools/call", inTurn(func(w http.ResponseWriter, _ string) {
				w.Header().Set("Location", target)
				w.WriteHeader(http.StatusPermanentRedirect)
			}, func(w http.ResponseWriter, _ string) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":{"code":401,"message":"HTTP 401"}}`)
			}))
			r := startInBubble(t, s)
			r.say(request("1", "tools/call"))
			if got := r.next(time.Minute); strings.Contains(got, "does not get the login") != elsewhere || !elsewhere && !strings.Contains(got, "HTTP 401") {
				t.Errorf("%s: %s", target, got)
			}
		})
	}
}
