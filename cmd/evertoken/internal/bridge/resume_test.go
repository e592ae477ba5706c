package bridge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A question for the rest of an answer can always be asked again.
func TestTheRestOfAnAnswerIsAskedForAgain(t *testing.T) {
	const rest = `{"jsonrpc":"2.0","id":1,"result":{}}`
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter, string)
		wants  bool
	}{
		"408": {says(408), true}, "425": {says(425), true}, "429": {says(429), true}, "500": {says(500), true}, "502": {says(502), true},
		"503": {says(503), true}, "504": {says(504), true}, "a broken connection": {breaks, true},
		"400": {says(400), false}, "403": {says(403), false}, "404": {says(404), false}, "405": {says(405), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				s.on("tools/call", streams("id: 7\nretry: 50\ndata: {\"method\":\"n\"}\n\n"))
				s.on("GET after 7", inTurn(tt.answer, tt.answer, streams("data: "+rest+"\n\n")))
				r := startInBubble(t, s)
				r.begin()
				r.say(request("1", "tools/call"))
				r.hear(`{"method":"n"}`)
				if tt.wants {
					r.hear(rest)
				} else {
					r.hear(`{"jsonrpc":"2.0","id":1,"error":…`)
				}
				if n := s.count("GET after 7"); n != 3 && tt.wants || n != 1 && !tt.wants {
					t.Errorf("asked %d times", n)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				s.on("tools/call", streams("id: 7\ndata:\n\n"))
				s.on("GET after 7", tt.answer)
				r := startInBubble(t, s)
				r.begin()
				r.say(request("1", "tools/call"))
				busy := name == "503" || name == "429" // which are waited for
				if got := r.next(time.Hour); (got == "") != busy {
					t.Errorf("after an hour: %q", got)
				}
			})
		})
	}
}

// A server may want to be left alone for a while.
func TestTheRestIsAskedForWhenTheServerWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		s.on("tools/call", streams("id: 7\nretry: 1\ndata:\n\n"))
		s.on("GET after 7", inTurn(func(w http.ResponseWriter, _ string) {
			w.Header().Set("Retry-After", "20")
			w.WriteHeader(http.StatusTooManyRequests)
		}, streams("data: {\"id\":1,\"result\":{}}\n\n")))
		r := startInBubble(t, s)
		r.begin()
		r.say(request("1", "tools/call"))
		begun := time.Now()
		r.hear(`{"id":1,"result":{}}`)
		if took := time.Since(begun); took < 20*time.Second || took > 25*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// A stream is one of its session's. With that it is gone, and only what changes nothing is asked
// for anew in the next.
func TestACallWhoseSessionEndsBeforeItsAnswer(t *testing.T) {
	const echo = `{"jsonrpc":"2.0","id":1,"result":{"echo":"tools/list"}}`
	const unknown = `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"the server has ended the session before it answered; whether it has done what it was asked for is not known"}}`
	for _, tt := range []struct {
		name, method string
		begun        string // the answer
		replaced     bool   // by another call, before the rest is asked for
		want         string
		calls        int
	}{
		{"a read", "tools/list", "id: 7\ndata:\n\n", false, echo, 2},
		{"a call", "tools/call", "id: 7\ndata:\n\n", false, unknown, 1},
		{"a read, noticed by another", "tools/list", "id: 7\nretry: 9000\ndata:\n\n", true, echo, 2},
		{"a call, noticed by another", "tools/call", "id: 7\nretry: 9000\ndata:\n\n", true, unknown, 1},
		{"a read without IDs", "tools/list", ": nothing\n", false, echo, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				first := true
				s.on(tt.method, func(w http.ResponseWriter, id string) {
					if !first {
						_, _ = io.WriteString(w, strings.Replace(echo, `"id":1`, `"id":`+id, 1))
						return
					}
					first = false
					s.expire()
					streams(tt.begun)(w, id)
				})
				r := startInBubble(t, s)
				r.begin()
				r.say(request("1", tt.method))
				if tt.replaced {
					time.Sleep(time.Second)
					r.say(request("2", "ping"))
					r.hear(`{"jsonrpc":"2.0","id":2,"result":{"echo":"ping"}}`)
				}
				if got := r.next(time.Hour); got != tt.want {
					t.Errorf("got %s", got)
				}
				synctest.Wait()
				if n := s.count(tt.method); n != tt.calls {
					t.Errorf("sent %d times; want %d", n, tt.calls)
				}
				if n := s.count("initialize"); n != 2 {
					t.Errorf("%d sessions; want another one", n)
				}
				if n := s.count("GET after 7"); n > 1 || n > 0 && tt.replaced {
					t.Errorf("the rest was asked for %d times", n)
				}
			})
		})
	}
}
