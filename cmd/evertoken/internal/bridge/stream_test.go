package bridge_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/bridge"
)

// ownStreams has the server's own stream answered in turn, and at last by one that stays open.
func ownStreams(t *testing.T, s *remote, answers ...func(http.ResponseWriter, string)) {
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	last := func(w http.ResponseWriter, _ string) {
		events(w)
		fmt.Fprint(w, "data: {\"method\":\"last\"}\n\n")
		<-over
	}
	s.on("GET", inTurn(append(answers, last)...))
}

// Servers say 409 while the stream before it is not over for them.
func TestTheServersOwnStreamIsAskedForAgain(t *testing.T) {
	const first = "retry: 1\ndata: {\"method\":\"first\"}\n\n"
	for status, pass := range map[int]bool{
		400: false, 401: false, 403: false, 405: false, 406: false, 410: false,
		408: true, 409: true, 425: true, 429: true, 500: true, 501: false, 502: true, 503: true, 504: true,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				ownStreams(t, s, streams(first), says(status), says(status), says(status))
				r := startInBubble(t, s)
				r.begin()
				r.hear(`{"method":"first"}`)
				got, begun := r.next(time.Hour), time.Now()
				if some := status != http.StatusMethodNotAllowed; (got == `{"method":"last"}`) != some {
					t.Errorf("after a stream: %q", got)
				}
				if n := s.count("GET"); n > 5 || time.Since(begun) > time.Minute {
					t.Errorf("%d requests", n)
				}
			})
		})
		t.Run(fmt.Sprint(status, " at first"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				ownStreams(t, s, says(status))
				r := startInBubble(t, s)
				r.begin()
				if got := r.next(time.Hour); (got != "") != pass {
					t.Errorf("at first: %q", got)
				}
			})
		})
	}
}

// An ID that the server does not know any more is not asked for again and again, and a server
// that refuses for good is asked at a falling rate.
func TestARefusedStreamIsAskedForAnewAndSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		ownStreams(t, s, streams("id: 7\nretry: 1\ndata: {\"method\":\"first\"}\n\n"), says(403))
		s.on("GET after 7", says(400))
		r := startInBubble(t, s)
		r.begin()
		r.hear(`{"method":"first"}`)
		r.hear(`{"method":"last"}`)
		if n := s.count("GET after 7"); n != 1 {
			t.Errorf("the ID was sent %d times", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		s.on("GET", inTurn(streams("retry: 1\ndata: {\"method\":\"first\"}\n\n"), says(403)))
		r := startInBubble(t, s)
		r.begin()
		r.hear(`{"method":"first"}`)
		time.Sleep(time.Hour)
		if n := s.count("GET"); n < 60 || n > 130 {
			t.Errorf("%d requests in an hour", n)
		}
	})
}

// A server without a stream of its own may say 404 to any GET, or another node of it does that
// does not know the session.
func TestNoSessionIsBegunForAStreamThatTheServerHasNever(t *testing.T) {
	for name, answers := range map[string][]func(http.ResponseWriter, string){
		"never":              {says(404)},
		"once":               {streams("data: {\"method\":\"first\"}\n\n"), says(404)},
		"once in a session":  {streams("data: {\"method\":\"first\"}\n\n"), says(404), streams(""), says(404)},
		"one that ends soon": {streams(""), says(404), streams(""), says(404)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				answer := inTurn(answers...)
				s.on("GET", func(w http.ResponseWriter, id string) {
					time.Sleep(time.Second)
					answer(w, id)
				})
				r := startInBubble(t, s)
				r.begin()
				go func() { _, _ = r.out.ReadString(0) }() // what the streams say
				time.Sleep(time.Hour)
				if n := s.count("initialize"); n > 2 {
					t.Errorf("%d sessions in an hour", n)
				}
			})
		})
	}
}

// Some servers send signs of life as data, or an answer where none belongs.
func TestWhatIsNoMessageIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		ownStreams(t, s, streams("data: ping\n\ndata: \"ping\"\n\ndata: {}\n\ndata: [1]\n\ndata: []\n\nevent: ping\ndata: {\"method\":\"of another kind\"}\n\ndata: {\"method\":\"first\"}\n\n"))
		told := 0
		r := startInBubble(t, s, func(cfg *bridge.Config) { cfg.Say = func(string, ...any) { told++ } })
		r.begin()
		r.hear(`{"method":"first"}`)
		r.hear(`{"method":"last"}`)
		synctest.Wait()
		if told != 1 {
			t.Errorf("a person is told %d times", told)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		own := make(chan struct{})
		s.on("GET", func(w http.ResponseWriter, _ string) {
			events(w)
			<-own
			fmt.Fprint(w, "data: {\"id\":1,\"result\":{}}\n\n")
		})
		s.on("tools/call", func(w http.ResponseWriter, _ string) {
			close(own)
			time.Sleep(time.Second)
			w.WriteHeader(http.StatusAccepted)
		})
		r := startInBubble(t, s)
		r.begin()
		synctest.Wait()
		r.say(request("1", "tools/call"))
		r.hear(`{"id":1,"result":{}}`)
		s.on("GET", says(405))
		if got := r.next(time.Minute); got != "" {
			t.Errorf("and then the program gets %s", got)
		}
	})
}
