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

// modern is a request of revision 2026-07-28.
func modern(id, method, params string) string {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%s}}`, id, method, strings.TrimSuffix(params+","+meta, ","))
}

// last returns headers of the last request.
func (r *remote) last(names ...string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var values []string
	for _, name := range names {
		values = append(values, strings.Join(r.header[name], "+"))
	}
	return strings.Join(values, " ")
}

func answersWith(result string) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, id string) { fmt.Fprintf(w, `{"id":%s,"result":%s}`, id, result) }
}

// What a message of revision 2026-07-28 says of itself stands in its request's headers too.
func TestHeadersRepeatWhatAMessageSaysOfItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		s.on("tools/list", answersWith(`{"tools":[
			null, 7, {"name":["x"],"inputSchema":true}, {"name":"odd","inputSchema":{"properties":[1]}},
			{"name":"query","inputSchema":{"properties":{
				"region":{"type":"string","x-mcp-header":"Region"},
				"limits":{"type":"object","properties":{"rows":{"type":"integer","x-mcp-header":"Rows"}}},
				"dry":{"type":"boolean","x-mcp-header":"Dry"},
				"sql":{"type":"string"}}}},
			{"name":"broken","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"number","x-mcp-header":"B"}}}},
			{"name":"twice","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}},
			{"name":"injects","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"A\r\nAuthorization"}}}}]}`))
		r := startInBubble(t, s)
		r.say(modern("1", "tools/list", `"x":1`))
		r.next(time.Minute)
		for _, tt := range []struct{ method, params, want string }{
			{"server/discover", `"x":1`, "2026-07-28 server/discover    "},
			{"tools/call", `"name":"plain"`, "2026-07-28 tools/call plain   "},
			{"tools/call", `"name":"query","arguments":{"region":"eu","limits":{"rows":5},"dry":false,"sql":"x"}`, "2026-07-28 tools/call query eu 5 false"},
			{"tools/call", `"name":"query","arguments":{"region":" Zürich","limits":{"rows":1e2},"dry":null}`,
				"2026-07-28 tools/call query =?base64?IFrDvHJpY2g=?= 100 "},
			{"tools/call", `"name":"query","arguments":{"region":"","limits":7}`, "2026-07-28 tools/call query =?base64??=  "},
			{"tools/call", `"name":"query","arguments":{"region":"=?base64?literal?=","limits":{"rows":9007199254740993}}`,
				"2026-07-28 tools/call query =?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=  "},
			{"prompts/get", `"name":"line1\nline2"`, "2026-07-28 prompts/get =?base64?bGluZTEKbGluZTI=?=   "},
			{"resources/read", `"uri":"file:///a b","name":"x"`, "2026-07-28 resources/read file:///a b   "},
			{"tools/call", `"name":"broken","arguments":{"a":"x","b":1}`, "2026-07-28 tools/call broken   "},
			{"tools/call", `"name":"twice","arguments":{"a":"x","b":"y"}`, "2026-07-28 tools/call twice   "},
			{"tools/call", `"name":"injects","arguments":{"a":"x"}`, "2026-07-28 tools/call injects   "},
		} {
			r.say(modern("2", tt.method, tt.params))
			r.next(time.Minute)
			if got := s.last("Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Param-Region", "Mcp-Param-Rows", "Mcp-Param-Dry"); got != tt.want {
				t.Errorf("%s %s: %q; want %q", tt.method, tt.params, got, tt.want)
			}
			for name := range s.header {
				known := strings.HasPrefix(name, "Mcp-Param-") && strings.Contains(" Region Rows Dry ", " "+name[len("Mcp-Param-"):]+" ")
				if name == "Mcp-Session-Id" || strings.ContainsAny(name, "\r\n") || strings.HasPrefix(name, "Mcp-Param-") && !known {
					t.Errorf("%s %s: with %q", tt.method, tt.params, name)
				}
			}
		}
		s.on("tools/list", answersWith(`{"tools":[{"name":"query","inputSchema":{}}]}`))
		r.say(modern("3", "tools/list", `"x":1`))
		r.next(time.Minute)
		r.say(modern("4", "tools/call", `"name":"query","arguments":{"region":"eu"}`))
		if r.next(time.Minute); s.last("Mcp-Param-Region") != "" {
			t.Error("a header is sent that the tool does not want any more")
		}
		r.say(request("5", "tools/call"))
		if r.next(time.Minute); s.last("Mcp-Method", "Mcp-Name") != " " {
			t.Error("a message of an earlier revision is repeated")
		}
	})
}

// A server that refuses a call's headers is asked once what its tools want by now.
func TestWhatToolsWantIsAskedForWhereAServerMissesIt(t *testing.T) {
	const refusal = `"error":{"code":-32020,"message":"Header mismatch"}`
	for name, tt := range map[string]struct {
		tools []string // pages
		calls int
		want  string
	}{
		"a new wish":         {[]string{`{"tools":[{"name":"query","inputSchema":{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]}`}, 2, `{"id":1,"result":{}}`},
		"on the second page": {[]string{`{"tools":[],"nextCursor":"2"}`, `{"tools":[{"name":"query","inputSchema":{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]}`}, 2, `{"id":1,"result":{}}`},
		"none":               {[]string{`{"tools":[{"name":"query"}]}`}, 2, `{"id":1,` + refusal + `}`},
		"pages without end":  {[]string{`{"tools":[],"nextCursor":"2"}`}, 2, `{"id":1,` + refusal + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inBubble()
				var pages []func(http.ResponseWriter, string)
				for i, page := range tt.tools {
					pages = append(pages, func(w http.ResponseWriter, id string) {
						if i%2 == 1 {
							events(w)
							fmt.Fprintf(w, "data: {\"id\":%s,\"result\":%s}\n\n", id, page)
							return
						}
						answersWith(page)(w, id)
					})
				}
				s.on("tools/list", inTurn(pages...))
				s.on("tools/call", func(w http.ResponseWriter, id string) {
					if s.last("Mcp-Param-Region") == "eu" {
						answersWith(`{}`)(w, id)
						return
					}
					w.WriteHeader(http.StatusBadRequest)
					fmt.Fprintf(w, `{"id":%s,%s}`, id, refusal)
				})
				r := startInBubble(t, s)
				r.say(modern("1", "tools/call", `"name":"query","arguments":{"region":"eu"}`))
				r.hear(tt.want)
				if n := s.count("tools/call"); n != tt.calls {
					t.Errorf("called %d times", n)
				}
				if n := s.count("tools/list"); n != len(tt.tools) && name != "pages without end" || n > 20 {
					t.Errorf("the tools were asked for %d times", n)
				}
				if got := r.next(time.Minute); got != "" {
					t.Errorf("and the program gets %s", got)
				}
			})
		})
	}
}

// The end of the answer's stream cancels a request, and no message does.
func TestACancellationHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		s.on("tools/call", func(w http.ResponseWriter, _ string) {
			events(w)
			for {
				time.Sleep(time.Second)
				if _, err := io.WriteString(w, "data: {\"method\":\"notifications/progress\"}\n\n"); err != nil {
					s.mu.Lock()
					s.seen = append(s.seen, "hung up")
					s.mu.Unlock()
					return
				}
			}
		})
		r := startInBubble(t, s)
		r.say(modern(`"a\u0062"`, "tools/call", `"name":"slow"`))
		r.hear(`{"method":"notifications/progress"}`)
		const cancelled = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"ab"}}`
		r.say(cancelled, cancelled)
		for got := r.next(time.Minute); got != ""; got = r.next(time.Minute) {
			if got != `{"method":"notifications/progress"}` {
				t.Errorf("the program gets %s", got)
			}
		}
		if s.count("hung up") != 1 || s.count("notifications/cancelled") != 0 || s.count("GET") != 0 {
			t.Errorf("the server has seen %q", s.seen)
		}
	})
	synctest.Test(t, func(t *testing.T) { // an earlier revision
		s := inBubble()
		s.on("tools/call", func(w http.ResponseWriter, id string) {
			time.Sleep(time.Minute)
			answersWith(`{}`)(w, id)
		})
		r := startInBubble(t, s)
		r.begin()
		r.say(request("1", "tools/call"), `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		synctest.Wait()
		if n := s.count("notifications/cancelled"); n != 1 {
			t.Errorf("the server has heard of it %d times", n)
		}
		r.next(time.Hour)
	})
}

// What is listened to goes on for as long as the program wants, whatever ends a stream.
func TestWhatIsListenedToIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inBubble()
		s.on("subscriptions/listen", func(w http.ResponseWriter, _ string) {
			events(w)
			_, _ = io.WriteString(w, "data: {\"method\":\"notifications/subscriptions/acknowledged\"}\n\n")
			time.Sleep(time.Minute)
		})
		r := startInBubble(t, s)
		r.say(modern("1", "subscriptions/listen", `"x":1`))
		for range 60 {
			r.hear(`{"method":"notifications/subscriptions/acknowledged"}`)
		}
		s.on("subscriptions/listen", streams(""))
		if got := r.next(time.Hour); !strings.Contains(got, "broke off") {
			t.Errorf("of streams that end at once the program hears %q", got)
		}
	})
}
