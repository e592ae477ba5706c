package dialect

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect/internal/document"
)

// MaxDocument is the length of the longest document that [Parse] reads, in bytes.
const MaxDocument = document.MaxSize

// Parse reads a dialect from its JSON or YAML form, which docs/dialects.md describes; a
// document that begins with a brace is JSON. It takes nothing that could be a mistake: a
// member that is not known, of another kind, or written twice, text behind the document, or
// a dialect that [NewClient] could not use. YAML's anchors, aliases and tags of one's own are refused, and
// so is a document of more than MaxDocument bytes.
//
// Errors are of type [*ParseError] and match [oauth.ErrMisconfigured]. They name the field,
// as refresh.fields[1].place, and never hold a value, which could be a secret.
func Parse(data []byte) (Dialect, error) {
	doc, err := document.Read(data)
	if err != nil {
		return Dialect{}, asParseError(err)
	}
	return fromDocument(doc)
}

// A ParseError says what is wrong with the written form of a dialect.
type ParseError struct {
	// Line is where, counted from one, or zero if that is not known.
	Line int
	// Path is the field, as refresh.fields[1].place. Empty if it is about the whole.
	Path string
	// Problem is what is wrong there. It holds no value of the document's.
	Problem string
}

func (e *ParseError) Error() string { return "dialect: " + e.Where() }

// Where is the error's text, as to follow the name of a file: line, field and problem.
func (e *ParseError) Where() string { return (*document.Error)(e).Error() }

// Is makes a ParseError match oauth.ErrMisconfigured.
func (e *ParseError) Is(target error) bool { return target == oauth.ErrMisconfigured }

func asParseError(err error) error {
	if e, ok := errors.AsType[*document.Error](err); ok {
		return (*ParseError)(e)
	}
	return err
}

// fromDocument reads a dialect from a tree, and checks it.
func fromDocument(doc *document.Node) (Dialect, error) {
	var d Dialect
	if err := read(doc, &d); err != nil {
		return Dialect{}, asParseError(err)
	}
	if p := &d.Presentation; p.Scheme == schemeNone && p.Cookie == "" {
		p.Scheme, p.Header = "", cmp.Or(p.Header, "Authorization")
	}
	if err := d.problem(); err != nil {
		m, _ := errors.AsType[*mistake](err)
		return Dialect{}, &ParseError{Line: lineOf(doc, m.path), Path: m.path, Problem: m.problem}
	}
	return d, nil
}

// schemeNone is how the form says that no word stands before a token, as the command's
// --token-scheme does. No scheme has this name.
const schemeNone = "none"

// lineOf returns the line of the node at a path, or of the nearest one around it; zero if
// that is the whole.
func lineOf(n *document.Node, path string) (line int) {
	for _, m := range n.Members {
		if within(path, m.Value.Path) {
			return max(m.Value.Line, lineOf(m.Value, path))
		}
	}
	for _, e := range n.Elements {
		if within(path, e.Path) {
			return max(e.Line, lineOf(e, path))
		}
	}
	return 0
}

func within(path, outer string) bool {
	rest, is := strings.CutPrefix(path, outer)
	return is && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// read reads a node into what an entry's at points to.
func read(n *document.Node, at any) error {
	switch at := at.(type) {
	case object:
		return readObject(n, at)
	case *[]Request:
		return readList(n, at, func(n *document.Node, r *Request) error { return readObject(n, r) })
	case *[]Field:
		return readList(n, at, func(n *document.Node, f *Field) error { return readObject(n, f) })
	case *[]Error:
		return readList(n, at, func(n *document.Node, e *Error) error { return readObject(n, e) })
	case *[]string:
		return readList(n, at, readText)
	case *string:
		return readText(n, at)
	case *names:
		return readNames(n, at)
	case *int:
		return readNumber(n, at)
	case *bool:
		*at = n.True
		return wants(n, document.Bool)
	case *grace:
		return readGrace(n, at)
	case *error:
		return readMeaning(n, at)
	}
	panic(fmt.Sprintf("dialect: a field of the type %T has no form", at))
}

func readObject(n *document.Node, o object) error {
	if err := wants(n, document.Object); err != nil {
		return err
	}
	entries := o.entries()
	for _, m := range n.Members {
		found := false
		for _, e := range entries {
			if e.name == m.Name {
				found = true
				if err := read(m.Value, e.at); err != nil {
					return err
				}
			}
		}
		if !found {
			return m.Value.Wrong("is not known here; what is: %s", entryNames(entries))
		}
	}
	return nil
}

func entryNames(entries []entry) string {
	var list []string
	for _, e := range entries {
		list = append(list, e.name)
	}
	return strings.Join(list, ", ")
}

func readList[T any](n *document.Node, list *[]T, one func(*document.Node, *T) error) error {
	if err := wants(n, document.List); err != nil {
		return err
	}
	for _, element := range n.Elements {
		var value T
		if err := one(element, &value); err != nil {
			return err
		}
		*list = append(*list, value)
	}
	return nil
}

func readText(n *document.Node, text *string) error {
	if err := wants(n, document.Text); err != nil {
		return err
	}
	if n.Text == "" {
		return n.Wrong("is empty: leave it out")
	}
	*text = n.Text
	return nil
}

// readNames reads one name, or a list of them.
func readNames(n *document.Node, at *names) error {
	list := make([]string, 1)
	var err error
	if n.Kind == document.List {
		list = nil
		err = readList(n, &list, readText)
	} else {
		err = readText(n, &list[0])
	}
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return n.Wrong("is empty: leave it out")
	}
	for _, name := range list {
		if strings.ContainsAny(name, " \t\r\n") {
			return n.Wrong("a name has no spaces; write several as a list")
		}
	}
	*at = names(strings.Join(list, " "))
	return nil
}

func readNumber(n *document.Node, number *int) error {
	if err := wants(n, document.Number); err != nil {
		return err
	}
	value, err := strconv.Atoi(n.Text)
	if err != nil {
		return n.Wrong("has to be a whole number")
	}
	*number = value
	return nil
}

func readMeaning(n *document.Node, meaning *error) error {
	var text string
	if err := readText(n, &text); err != nil {
		return err
	}
	for _, m := range meanings {
		if m.name == text {
			*meaning = m.err
			return nil
		}
	}
	return n.Wrong("has to be one of %s", meaningNames())
}

// wants requires a kind.
func wants(n *document.Node, kind document.Kind) error {
	switch {
	case n.Kind == kind:
		return nil
	case n.Kind == document.Null:
		return n.Wrong("is empty: leave it out, or give %s", kind)
	case kind == document.Text && (n.Kind == document.Number || n.Kind == document.Bool):
		return n.Wrong("got %s, want a text: put it in quotes", n.Kind)
	}
	return n.Wrong("got %s, want %s", n.Kind, kind)
}

// UnmarshalJSON implements json.Unmarshaler. It reads what [Parse] reads, and reports
// mistakes alike, without lines: what is around the dialect is not known here.
func (d *Dialect) UnmarshalJSON(data []byte) error {
	read, err := Parse(data)
	if fail, ok := errors.AsType[*ParseError](err); ok {
		fail.Line = 0
	}
	if err == nil {
		*d = read
	}
	return err
}

// UnmarshalYAML reads a dialect from YAML, for packages that call methods of this form
// (gopkg.in/yaml.v3, go.yaml.in/yaml, github.com/goccy/go-yaml). Mistakes are reported as
// [Parse] does, without lines; anchors and aliases are those packages' matter.
func (d *Dialect) UnmarshalYAML(unmarshal func(any) error) error {
	var value any
	if err := unmarshal(&value); err != nil {
		return err
	}
	doc, err := document.Of(value)
	if err != nil {
		return asParseError(err)
	}
	read, err := fromDocument(doc)
	if err == nil {
		*d = read
	}
	return err
}
