package bridge

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/evertoken/evertoken/internal/member"
)

// From revision 2026-07-28 on a message names its revision in itself, and there are neither
// sessions nor their beginning. What gateways go by is repeated in headers of its request, and a
// server refuses a request without them (Streamable HTTP, Request Metadata).

// versionOf returns the revision that a message names, empty for one of an earlier revision.
func versionOf(h head) string {
	if version := member.Object(h.Params["_meta"]).Text("io.modelcontextprotocol/protocolVersion"); fitsHeader(version) {
		return version
	}
	return ""
}

// named are the requests whose Mcp-Name is a member of their parameters, and which one.
var named = map[string]string{"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}

// mirror repeats in a request's header what a message says of itself.
func (m *mirrored) mirror(header http.Header, h head) {
	version := versionOf(h)
	if version == "" {
		return
	}
	header.Set("Mcp-Protocol-Version", version)
	if fitsHeader(h.Method) {
		header.Set("Mcp-Method", h.Method)
	}
	if name, has := named[h.Method]; has {
		header.Set("Mcp-Name", headerValue(member.Text(h.Params[name])))
	}
	if h.Method != "tools/call" {
		return
	}
	for _, p := range m.of(member.Text(h.Params["name"])) {
		if value, has := valueAt(h.Params["arguments"], p.path); has {
			header.Set("Mcp-Param-"+p.name, headerValue(value))
		}
	}
}

const (
	encodedPrefix = "=?base64?"
	encodedSuffix = "?="
)

// headerValue returns a text as a header carries it: as it is, or encoded where that could be
// changed or lost on its way, or be taken for one that is encoded.
func headerValue(text string) string {
	odd := strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' })
	if odd || text == "" || strings.TrimSpace(text) != text || strings.HasPrefix(text, encodedPrefix) && strings.HasSuffix(text, encodedSuffix) {
		return encodedPrefix + base64.StdEncoding.EncodeToString([]byte(text)) + encodedSuffix
	}
	return text
}

// A param is a parameter of a tool that headers repeat: where it is in the arguments, and what
// the header is called behind its prefix.
type param struct {
	path []string
	name string
}

// mirrored is what tools want to be repeated, by their names.
type mirrored struct {
	mu    sync.Mutex
	tools map[string][]param
}

func (m *mirrored) of(tool string) []param {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tools[tool]
}

// A schema is what is read of a tool's.
type schema struct {
	Type       json.RawMessage   `json:"type"`
	Header     json.RawMessage   `json:"x-mcp-header"`
	Properties map[string]schema `json:"properties"`
}

// tools is what is read of a list of them.
type tools struct {
	Result struct {
		Tools []struct {
			Name        string `json:"name"`
			InputSchema schema `json:"inputSchema"`
		} `json:"tools"`
		NextCursor string `json:"nextCursor"`
	} `json:"result"`
}

func (t tools) has(name string) bool {
	for _, tool := range t.Result.Tools {
		if tool.Name == name {
			return true
		}
	}
	return false
}

// learn notes what the tools of a list want.
func (m *mirrored) learn(message []byte) (list tools) {
	_ = json.Unmarshal(message, &list) // a tool with an odd schema is no reason to forget the others
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tool := range list.Result.Tools {
		params, valid := tool.InputSchema.params(nil, make(map[string]bool))
		if delete(m.tools, tool.Name); !valid || len(params) == 0 {
			continue
		}
		if m.tools == nil {
			m.tools = make(map[string][]param)
		}
		m.tools[tool.Name] = params
	}
	return list
}

// params returns the parameters below a schema that headers repeat. One that breaks the rules
// makes the tool one that no program may call.
func (s schema) params(path []string, seen map[string]bool) (list []param, valid bool) {
	for property, at := range s.Properties {
		here := append(path[:len(path):len(path)], property)
		if at.Header != nil {
			name, kind := member.Text(at.Header), member.Text(at.Type)
			lower := strings.ToLower(name)
			if !httpguts.ValidHeaderFieldName(name) || seen[lower] || kind != "string" && kind != "integer" && kind != "boolean" {
				return nil, false
			}
			seen[lower] = true
			list = append(list, param{here, name})
		}
		below, valid := at.params(here, seen)
		if !valid {
			return nil, false
		}
		list = append(list, below...)
	}
	return list, true
}

// valueAt returns the text of a value below arguments, or false if there is none that a header
// repeats.
func valueAt(arguments json.RawMessage, path []string) (string, bool) {
	for _, name := range path {
		if arguments = member.Object(arguments)[name]; arguments == nil {
			return "", false
		}
	}
	var value any
	if json.Unmarshal(arguments, &value) != nil {
		return "", false
	}
	switch value := value.(type) {
	case string:
		return value, true
	case bool:
		return strconv.FormatBool(value), true
	case float64:
		const safe = 1<<53 - 1
		if value == math.Trunc(value) && math.Abs(value) <= safe {
			return strconv.FormatInt(int64(value), 10), true
		}
	}
	return "", false
}

// errMismatch is why a call was not carried out: its headers do not repeat what the server's tool
// wants, which may have changed, or the program has known for longer than this bridge.
var errMismatch = errors.New("the headers do not fit")

// isMismatch reports whether an error is about that.
func (h head) isMismatch() bool {
	var fail struct {
		Code int `json:"code"`
	}
	return json.Unmarshal(h.Error, &fail) == nil && fail.Code == -32020
}

// misses reports whether an error is one that relearn may help the call against.
func (c *call) misses(h head) bool {
	return c.first.Method == "tools/call" && versionOf(c.first) != "" && !c.wishes && h.isMismatch()
}

// maxPages bounds the list of tools that relearn reads.
const maxPages = 20

// relearn asks the server what its tools want, up to the one that is called.
func (b *bridge) relearn(c *call) {
	params := map[string]any{"_meta": c.first.Params["_meta"]}
	for range maxPages {
		line, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": "evertoken", "method": "tools/list", "params": params})
		if err != nil {
			return
		}
		list, _ := heads(line)
		resp, err := b.post(c.ctx, posting{line, list, true}, session{}, func() {})
		if err != nil {
			return // the call's own error says enough
		}
		var page tools
		end := bounded(resp)
		note(func(message []byte) { page = b.mirrored.learn(message) }).each(resp)
		end()
		_ = resp.Body.Close()
		if page.Result.NextCursor == "" || page.has(member.Text(c.first.Params["name"])) {
			return
		}
		params["cursor"] = page.Result.NextCursor
	}
}
