package bridge

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// A stream of events ends, whatever is in it, and no event holds more than there was.
func FuzzEvents(f *testing.F) {
	for _, stream := range []string{
		"data: {\"jsonrpc\":\"2.0\"}\n\n", "id: 7\r\nevent: message\r\ndata: a\r\ndata: b\r\n\r\n", ": comment\n\nretry: 99999999999999999999\n\n",
		"id: a\x00b\n\n", "data\ndata:\ndata: \n\n", "data: cut", "\n\n\n", "retry: -1\nid\n\n", "event: \xff\u2028\ndata:x\n\n", "data: " + strings.Repeat("x", 5000) + "\n\n",
		"\xef\xbb\xbfdata: a\rdata: b\r\rid: 1\r\n\r", "id: a\x01b\n\n", "\r\n\r\r\n",
	} {
		f.Add([]byte(stream))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := newEventReader(bytes.NewReader(stream))
		total := 0
		for range len(stream) + 1 {
			ev, err := r.next()
			if err != nil {
				return
			}
			if total += len(ev.data) + len(ev.id) + len(ev.kind); total > len(stream) || ev.retry < 0 || strings.ContainsAny(ev.id, "\r\n\x00\x01\x7f") || strings.ContainsAny(ev.kind, "\r\n") {
				t.Fatalf("event %+v of %q", ev, stream)
			}
		}
		t.Fatalf("more events than bytes in %q", stream)
	})
}

// Whatever a line is, what is passed on is one line of JSON, and each failure answers one
// request of it by its own ID.
func FuzzHeads(f *testing.F) {
	for _, line := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`, `[{"id":"a","method":"x"},{"id":null,"result":{}}]`,
		`{"id":{"a":[1,2]},"method":7}`, `[]`, `[[]]`, `null`, `7`, ` `, `{"id":1e400,"error":{}}`, `{"method":"\ud800"}`, "{\r\n\"id\":\t1\n}", `{"id":1,"id":2}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		list, err := heads(line)
		if err != nil {
			return
		}
		if one := oneLine(line); bytes.ContainsAny(one, "\r\n") || !json.Valid(one) {
			t.Errorf("%q is passed on as %q", line, one)
		}
		for _, h := range list {
			if h.ID == nil {
				continue
			}
			if answer := failure(h.ID, "failed: \x1b[2J \n"); !json.Valid(answer) || bytes.ContainsAny(oneLine(answer), "\r\n\x1b") {
				t.Errorf("the answer to %q is %q", line, answer)
			}
		}
	})
}
