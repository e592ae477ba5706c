package bridge_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A program that gets two answers to one request may close the connection.
func TestAnIDThatTheServerSpellsOtherwiseIsTheSame(t *testing.T) {
	for sent, back := range map[string]string{`"a/b"`: `"a\/b"`, `"é"`: `"\u00e9"`, `"a&b"`: `"a\u0026b"`, `1`: `1.0`, `100`: `1e2`} {
		answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, back)
		for name, reply := range map[string]func(http.ResponseWriter, string){
			"answer":  func(w http.ResponseWriter, _ string) { fmt.Fprint(w, answer) },
			"stream":  streams("data: " + answer + "\n\n"),
			"refusal": func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusBadRequest); fmt.Fprint(w, answer) },
			"resumed": streams("id: 7\ndata: " + answer + "\n\n"),
		} {
			t.Run(sent+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := inBubble()
					s.on("tools/call", reply)
					r := startInBubble(t, s)
					r.begin()
					r.say(request(sent, "tools/call"))
					r.hear(answer)
					if more := r.next(time.Minute); more != "" {
						t.Errorf("a second answer: %s", more)
					}
				})
			})
		}
	}
}

func TestACancellationThatSpellsTheIDOtherwiseEndsTheTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		s.on("tools/call", says(http.StatusServiceUnavailable))
		r := startInBubble(t, s)
		r.begin()
		r.say(request(`"a/b"`, "tools/call"))
		time.Sleep(10 * time.Second)
		r.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a\/b"}}`)
		time.Sleep(10 * time.Second)
		n := s.count("tools/call")
		time.Sleep(time.Minute)
		if more := s.count("tools/call") - n; more > 0 {
			t.Errorf("it was tried %d times more", more)
		}
	})
}
