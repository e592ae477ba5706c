package bridge_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What a server sends for a header is not sent back where no header can carry it: every later
// request would fail. An ID before it is good.
func TestWhatNoHeaderCarriesIsLeftOut(t *testing.T) {
	for _, bad := range []string{"a\x01b", "a\x7fb", strings.Repeat("9", 5000)} {
		s := newRemote(t)
		s.on("tools/call", streams("id: 7\nretry: 1\ndata:\n\nid: "+bad+"\ndata: {\"method\":\"n\"}\n\n"))
		s.on("GET after 7", streams("data: {\"id\":1,\"result\":{}}\n\n"))
		r := start(t, s.URL)
		r.begin()
		r.say(request("1", "tools/call"))
		r.hear(`{"method":"n"}`)
		r.hear(`{"id":1,"result":{}}`)
	}
	s := newRemote(t)
	s.on("initialize", func(w http.ResponseWriter, id string) {
		fmt.Fprintf(w, `{"id":%s,"result":{"protocolVersion":"1\u0001"}}`, id)
	})
	r := start(t, s.URL)
	r.say(initialize)
	r.hear(`{"id":0,"result":{"protocolVersion":"1\u0001"}}`)
	r.say(initialized, request("1", "ping"))
	r.hear(`{"jsonrpc":"2.0","id":1,"result":{"echo":"ping"}}`)
}
