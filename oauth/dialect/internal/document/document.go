// Package document reads a JSON or YAML document into a tree, and takes nothing that
// could mean two things: no member twice, no second document, no text behind the end, and of
// YAML neither anchors nor tags of one's own. Its errors name places and never values, which
// may be secrets.
package document

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxSize is how long a document may be.
const MaxSize = 1 << 20

// maxDepth bounds how deep objects and lists may be in each other.
const maxDepth = 100

// A Kind is what a Node is.
type Kind string

// The kinds, as errors call them.
const (
	Object Kind = "an object"
	List   Kind = "a list"
	Text   Kind = "a text"
	Number Kind = "a number"
	Bool   Kind = "true or false"
	Null   Kind = "empty"
)

// A Node is a value in a document.
type Node struct {
	Kind Kind
	Line int    // counted from one
	Path string // such as refresh.fields[1].place; empty for the whole
	// Text is a text, or a number as it was written.
	Text string
	True bool // of a Bool
	// Members are those of an object, Elements those of a list.
	Members  []Member
	Elements []*Node
}

// A Member is a member of an object.
type Member struct {
	Name  string
	Value *Node
}

// An Error is a mistake in a document.
type Error struct {
	Line    int    // zero if it is not about one
	Path    string // empty if the document cannot be read at all, or for the whole
	Problem string
}

func (e *Error) Error() string {
	text := e.Problem
	if e.Path != "" {
		text = e.Path + ": " + text
	}
	if e.Line > 0 {
		text = fmt.Sprintf("line %d: %s", e.Line, text)
	}
	return text
}

// Wrong returns an Error about n.
func (n *Node) Wrong(format string, args ...any) *Error {
	return &Error{n.Line, n.Path, fmt.Sprintf(format, args...)}
}

// Read reads a document. One that begins with a brace is JSON, any other is YAML. An error
// is an *Error.
func Read(data []byte) (*Node, error) {
	if len(data) > MaxSize {
		return nil, &Error{Problem: "the document is longer than 1 MiB"}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch text := bytes.TrimSpace(data); {
	case !utf8.Valid(data):
		return nil, &Error{Problem: "the document is not in UTF-8"}
	case len(text) == 0:
		return nil, &Error{Problem: "the document is empty"}
	case text[0] == '{':
		return readJSON(data)
	}
	return readYAML(data)
}

// add gives an object a member, unless it has one of that name.
func (n *Node) add(name string, value *Node) error {
	for _, m := range n.Members {
		if m.Name == name {
			return value.Wrong("stands twice, first in line %d", m.Value.Line)
		}
	}
	n.Members = append(n.Members, Member{name, value})
	return nil
}

// child returns a new node for the member of this name.
func (n *Node) child(name string, line int) *Node {
	path := Shown(name)
	if n.Path != "" {
		path = n.Path + "." + path
	}
	return &Node{Line: line, Path: path}
}

// element returns a new node for the next element.
func (n *Node) element(line int) *Node {
	return &Node{Line: line, Path: fmt.Sprintf("%s[%d]", n.Path, len(n.Elements))}
}

// Shown returns a member's name as it may be shown: what is not a short word could be a
// secret, or more than a terminal should be told.
func Shown(name string) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	if name == "" || len(name) > 32 || strings.Trim(name, letters) != "" {
		return "(a name that is not a word)"
	}
	return name
}

func tooDeep(n *Node, depth int) error {
	if depth > maxDepth {
		return n.Wrong("objects and lists are nested too deeply")
	}
	return nil
}
