package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// A jsonReader reads a document token by token, because the whole keeps no member that
// stands twice.
type jsonReader struct {
	data   []byte
	tokens *json.Decoder
}

func readJSON(data []byte) (*Node, error) {
	r := &jsonReader{data, json.NewDecoder(bytes.NewReader(data))}
	r.tokens.UseNumber()
	root := new(Node)
	if err := r.value(root, 0); err != nil {
		return nil, err
	}
	if _, err := r.tokens.Token(); !errors.Is(err, io.EOF) {
		return nil, &Error{Line: r.line(), Problem: "there is text behind the document"}
	}
	return root, nil
}

// line returns the line of what has been read last.
func (r *jsonReader) line() int {
	end := min(r.tokens.InputOffset(), int64(len(r.data)))
	return 1 + bytes.Count(r.data[:end], []byte("\n"))
}

// next returns the next token. The text of a decoder's error can quote what it has read.
func (r *jsonReader) next() (json.Token, error) {
	token, err := r.tokens.Token()
	if err == nil {
		return token, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, &Error{Line: r.line(), Problem: "the document ends too soon"}
	}
	// Where the mistake is, a decoder of the whole knows.
	line := r.line()
	var whole json.RawMessage
	if bad, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(r.data, &whole)); ok {
		line = 1 + bytes.Count(r.data[:min(bad.Offset, int64(len(r.data)))], []byte("\n"))
	}
	return nil, &Error{Line: line, Problem: "this is not JSON"}
}

// value reads the next value into n, of which the path is set.
func (r *jsonReader) value(n *Node, depth int) error {
	token, err := r.next()
	if err != nil {
		return err
	}
	n.Line = r.line()
	switch token := token.(type) {
	case json.Delim:
		if err := tooDeep(n, depth); err != nil {
			return err
		}
		if token == '{' {
			return r.object(n, depth)
		}
		return r.list(n, depth)
	case string:
		n.Kind, n.Text = Text, token
	case json.Number:
		n.Kind, n.Text = Number, token.String()
	case bool:
		n.Kind, n.True = Bool, token
	default:
		n.Kind = Null
	}
	return nil
}

func (r *jsonReader) object(n *Node, depth int) error {
	n.Kind = Object
	for r.tokens.More() {
		name, err := r.next()
		if err != nil {
			return err
		}
		text, _ := name.(string) // or else the decoder has returned an error
		value := n.child(text, r.line())
		if err := r.value(value, depth+1); err != nil {
			return err
		}
		if err := n.add(text, value); err != nil {
			return err
		}
	}
	_, err := r.next() // the closing brace
	return err
}

func (r *jsonReader) list(n *Node, depth int) error {
	n.Kind = List
	for r.tokens.More() {
		value := n.element(r.line())
		if err := r.value(value, depth+1); err != nil {
			return err
		}
		n.Elements = append(n.Elements, value)
	}
	_, err := r.next() // the closing bracket
	return err
}
