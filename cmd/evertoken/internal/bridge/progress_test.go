package bridge_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A server may ask to be asked again after a millisecond, and have nothing to say.
func TestStreamsWithoutProgressAreNoHotLoop(t *testing.T) {
	for name, empty := range map[string]string{
		"nothing": "retry: 1\n\n", "a comment": "retry: 1\n: here\n\n", "no data": "retry: 1\ndata:\n\n", "the same event": "retry: 1\nid: 7\ndata:\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				s.on("tools/call", streams("id: 7\nretry: 1\ndata:\n\n"))
				s.on("GET after 7", streams(empty))
				r := startInBubble(t, s)
				r.begin()
				r.say(request("1", "tools/call"))
				time.Sleep(time.Minute)
				if n := s.count("GET after 7"); n > 65 {
					t.Errorf("asked for the rest %d times in a minute", n)
				}
				if got := r.next(2 * time.Hour); got == "" {
					t.Error("the call never ends")
				}
			})
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				s.on("GET", streams(empty))
				s.on("GET after 7", streams(empty))
				startInBubble(t, s).begin()
				time.Sleep(time.Hour)
				if n := s.count("GET") + s.count("GET after 7"); n > 150 {
					t.Errorf("asked for the server's own stream %d times in an hour", n)
				}
			})
		})
	}
}

// An answer that takes its time comes, in whatever way the server has the program wait for it.
func TestAnAnswerThatTakesHoursComes(t *testing.T) {
	for name, wait := range map[string]func(n int) func(http.ResponseWriter, string){
		"new events": func(n int) func(http.ResponseWriter, string) { return streams(fmt.Sprintf("id: %d\ndata:\n\n", n+1)) },
		"silent streams": func(int) func(http.ResponseWriter, string) {
			return func(w http.ResponseWriter, _ string) {
				events(w)
				time.Sleep(time.Minute)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				begun := time.Now()
				s.on("tools/call", streams("id: 0\nretry: 5000\ndata:\n\n"))
				for n := range 10_000 {
					s.on(fmt.Sprint("GET after ", n), func(w http.ResponseWriter, id string) {
						if time.Since(begun) > 5*time.Hour {
							streams("data: {\"id\":1,\"result\":{}}\n\n")(w, id)
							return
						}
						wait(n)(w, id)
					})
				}
				r := startInBubble(t, s)
				r.begin()
				r.say(request("1", "tools/call"))
				r.hear(`{"id":1,"result":{}}`)
			})
		})
	}
}

// Of a page in place of a stream nothing is a message, whatever its lines begin with.
func TestAPageIsNoStream(t *testing.T) {
	page := func(w http.ResponseWriter, _ string) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>\ndata: {\"method\":\"of a page\"}\n\n")
	}
	t.Run("own", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := inBubble()
			s.on("GET", page)
			r := startInBubble(t, s)
			r.begin()
			if got := r.next(time.Hour); got != "" {
				t.Errorf("got %s", got)
			}
			if n := s.count("GET"); n != 1 {
				t.Errorf("a server without such a stream was asked for it %d times", n)
			}
		})
	})
	t.Run("later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := inBubble()
			ownStreams(t, s, streams("data: {\"method\":\"first\"}\n\n"), page)
			r := startInBubble(t, s)
			r.begin()
			r.hear(`{"method":"first"}`)
			r.hear(`{"method":"last"}`)
		})
	})
	t.Run("the rest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := inBubble()
			s.on("tools/call", streams("id: 7\ndata:\n\n"))
			s.on("GET after 7", inTurn(page, streams("data: {\"id\":1,\"result\":{}}\n\n")))
			r := startInBubble(t, s)
			r.begin()
			r.say(request("1", "tools/call"))
			r.hear(`{"id":1,"result":{}}`)
		})
	})
}
