package bridge_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// drips answers by a status and a body that gives a byte each second for an hour, after a beginning.
func drips(status int, kind, beginning string) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, _ string) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, err := io.WriteString(w, beginning)
		for end := time.Now().Add(time.Hour); err == nil && time.Now().Before(end); time.Sleep(time.Second) {
			_, err = io.WriteString(w, " ")
		}
	}
}

func TestARefusalThatDripsHoldsNobodyUp(t *testing.T) {
	good := func(w http.ResponseWriter, id string) { fmt.Fprintf(w, `{"id":%s,"result":{}}`, id) }
	for name, tt := range map[string]struct {
		where   string // what is answered so, once
		answer  func(http.ResponseWriter, string)
		expired bool // the session ends before
		fails   bool
		within  time.Duration
	}{
		"busy":               {"tools/call", drips(503, "text/plain", "busy"), false, false, 2 * time.Second},
		"ended":              {"tools/call", drips(404, "text/plain", "no session"), false, false, 2 * time.Second},
		"refused":            {"tools/call", drips(400, "text/plain", "no"), false, true, 30 * time.Second},
		"refused in JSON":    {"tools/call", drips(400, "application/json", `{"jsonrpc"`), false, true, 30 * time.Second},
		"a page":             {"tools/call", drips(502, "text/html", "<p>"), false, true, time.Second},
		"taken":              {"tools/call", drips(202, "text/plain", "thanks"), false, true, time.Second},
		"busy to a new one":  {"initialize", drips(503, "text/plain", "busy"), true, false, 2 * time.Second},
		"no to a new one":    {"initialize", drips(403, "text/plain", "no"), true, true, 2 * time.Second},
		"a new one, slowly":  {"initialize", drips(200, "application/json", "{"), true, false, 30 * time.Second},
		"a new one's stream": {"initialize", drips(200, "text/event-stream", "data:"), true, false, 30 * time.Second},
		"ready":              {"notifications/initialized", drips(202, "text/plain", "thanks"), true, false, 2 * time.Second},
		"busy when ready":    {"notifications/initialized", drips(503, "text/plain", "busy"), true, false, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				r := startInBubble(t, s)
				r.begin()
				synctest.Wait()
				then := good
				switch tt.where {
				case "initialize":
					then = func(w http.ResponseWriter, id string) {
						fmt.Fprintf(w, `{"id":%s,"result":{"protocolVersion":"2025-11-25"}}`, id)
					}
				case "notifications/initialized":
					then = says(http.StatusAccepted)
				}
				if tt.expired {
					s.expire()
				}
				s.on(tt.where, inTurn(tt.answer, then))
				s.on("tools/list", good)
				begun := time.Now()
				r.say(request("1", "tools/call"))
				if tt.fails {
					r.hear(`{"jsonrpc":"2.0","id":1,"error":…`)
				} else if got := r.next(2 * time.Hour); got != `{"id":1,"result":{}}` && got != `{"jsonrpc":"2.0","id":1,"result":{"echo":"tools/call"}}` {
					t.Errorf("got %s", got)
				}
				if took := time.Since(begun); took > tt.within {
					t.Errorf("after %v; want %v", took, tt.within)
				}
				r.end()
				time.Sleep(2 * time.Hour) // in which the server notices
			})
		})
	}
}
