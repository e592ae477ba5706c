package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// A head is what a bridge reads of a JSON-RPC message. All else passes as it came.
type head struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Result *struct {
		ProtocolVersion string `json:"protocolVersion"`
	} `json:"result"`
	Error  json.RawMessage            `json:"error"`
	Params map[string]json.RawMessage `json:"params"`
}

// isRequest reports whether a message wants an answer.
func (h head) isRequest() bool { return h.Method != "" && len(h.ID) > 0 && string(h.ID) != "null" }

// isAnswer reports whether a message is one.
func (h head) isAnswer() bool { return h.Method == "" && (h.Result != nil || len(h.Error) > 0) }

// isNameless reports whether a message is an error that does not say what it answers: the server
// could not read that, or has refused it before it looked.
func (h head) isNameless() bool {
	var fail struct {
		Code *float64 `json:"code"` // without which it is no error of JSON-RPC
	}
	none := len(h.ID) == 0 || string(h.ID) == "null"
	return none && h.isAnswer() && h.Result == nil && json.Unmarshal(h.Error, &fail) == nil && fail.Code != nil
}

// methodListen asks for notifications, from revision 2026-07-28 on: its answer is a stream without
// an end, in place of the server's own stream.
const methodListen = "subscriptions/listen"

// reads are the requests that only ask: carried out twice, they are as if carried out once.
var reads = []string{
	"ping", "tools/list", "resources/list", "resources/templates/list", "resources/read", "prompts/list", "prompts/get", "completion/complete",
	"server/discover", methodListen,
}

// changesNothing reports whether a line may be carried out twice.
func changesNothing(list []head) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(h head) bool { return !slices.Contains(reads, h.Method) })
}

// heads reads a line: one message, or the several of a batch (JSON-RPC 2.0 section 6). Members
// of unexpected types count as absent.
func heads(line []byte) ([]head, error) {
	line = bytes.TrimSpace(line)
	if !json.Valid(line) {
		return nil, errors.New("not JSON")
	}
	if line[0] != '[' {
		return []head{headOf(line)}, nil
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(line, &parts); err != nil {
		return nil, err
	}
	list := make([]head, 0, len(parts))
	for _, part := range parts {
		list = append(list, headOf(part))
	}
	return list, nil
}

func headOf(message []byte) head {
	var fields map[string]json.RawMessage
	var h head
	if json.Unmarshal(message, &fields) != nil {
		return h
	}
	h.ID, h.Error = fields["id"], fields["error"]
	_ = json.Unmarshal(fields["method"], &h.Method)
	_ = json.Unmarshal(fields["params"], &h.Params)
	if result, is := fields["result"]; is {
		h.Result = new(struct {
			ProtocolVersion string `json:"protocolVersion"`
		})
		_ = json.Unmarshal(result, h.Result)
	}
	return h
}

// oneLine returns a message without line breaks, which JSON has between its tokens alone.
func oneLine(message []byte) []byte {
	message = bytes.TrimSpace(message)
	if bytes.ContainsAny(message, "\r\n") {
		message = bytes.Map(func(r rune) rune {
			if r == '\r' || r == '\n' {
				return ' '
			}
			return r
		}, message)
	}
	return message
}

// codeFailed is the error code of requests that have not reached the server, or whose
// answer was lost: one of those that JSON-RPC leaves to implementations.
const codeFailed = -32000

// refusalOf is an error of the server's that answers a request.
func refusalOf(id, reason json.RawMessage) []byte {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":%s}`, id, reason)
}

// failure is the answer to a request that has none.
func failure(id json.RawMessage, text string) []byte {
	message, err := json.Marshal(text)
	if err != nil {
		message = []byte(`"failed"`)
	}
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s}}`, id, codeFailed, message)
}
