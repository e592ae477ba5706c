// Package lenient reads the object out of an answer that is not quite JSON: with a
// byte order mark, in UTF-16 or UTF-32, with NUL bytes, comments or trailing commas,
// behind a notice of the server's interpreter, inside an array or a JSON string, in
// base64, with more text behind it, cut off, or sent as a form.
//
// What strict JSON is, is read as encoding/json reads it. The rest is left to decoders
// that others keep: hujson, encoding/json and net/url. The package only finds where
// they have to begin.
package lenient

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"github.com/evertoken/evertoken/internal/member"
)

// An Object is what stands in an answer. The zero value stands for the absence of one.
type Object struct {
	// Members are those that stand whole in the answer, nil without an object. Of
	// members with one name the last counts, as in encoding/json, that holds something.
	// They may share memory with the answer.
	Members member.Fields
	// Closed says that the end of the object was seen. If not, members may be
	// missing: those that stood behind the cut, or behind what cannot be read.
	Closed bool

	cutName string // the member in which the answer is cut, and what there is of it
	cut     []byte
}

const (
	// maxBrackets bounds how deep an object can be, and with it the stack that
	// hujson takes for it: it recurses. A token response has a handful.
	maxBrackets = 10_000
	// maxCommas bounds how many members and elements there can be, each of which hujson
	// keeps as a value of a hundred bytes and more, however short it is. What is JSON is
	// not bounded by it.
	maxCommas = 10_000
	// maxTries bounds how often something that looks like the beginning of an
	// object may turn out not to be one. Each try reads the rest of the answer.
	maxTries = 32
)

// Read returns the object in body. contentType is the header's, which may be empty
// or wrong. complete says that the body came to its end as announced; without that
// the last pair of a form, which nothing closes, is taken for cut.
//
// Of several objects, the first that has an access token or an error is taken, or else
// a token of another name, or else the first: a request that is printed before the answer
// has tokens too. A web page has none, whatever its scripts hold: what is
// meant for a page may be another session's. It takes time in proportion to body.
func Read(body []byte, contentType string, complete bool) Object {
	if members := member.Object(body); members != nil {
		refill(members, body)
		return Object{Members: members, Closed: true}
	}
	text := unwrap(decode(body))
	form := isForm(contentType)
	if (form || looksLikeForm(text)) && !startsAsJSON(text) {
		if o := readForm(text, complete); o.telling() || form && bytes.IndexByte(text, '{') < 0 {
			return o
		}
	}
	return find(text)
}

// refill gives members that hold nothing what an earlier one of the same name in body holds.
func refill(members member.Fields, body []byte) {
	blank := func(raw json.RawMessage) bool { return !member.Holds(raw) }
	if !slices.ContainsFunc(slices.Collect(maps.Values(members)), blank) {
		return
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if _, err := d.Token(); err != nil { // the brace
		return
	}
	for d.More() {
		token, err := d.Token()
		var raw json.RawMessage
		if err != nil || d.Decode(&raw) != nil {
			return
		}
		if name, isName := token.(string); isName && blank(members[name]) && member.Holds(raw) {
			members[name] = raw
		}
	}
}

// Child returns the object that the member of this name holds, as JSON or as a
// string with JSON in it, as far as it stands in the answer.
func (o Object) Child(name string) Object {
	raw, found := o.Members[name]
	switch text := member.Text(raw); {
	case !found && o.cutName == name:
		return find(unwrap(o.cut))
	case text != "":
		return Read([]byte(text), "", true)
	}
	return Read(raw, "", true)
}

// find returns the object in text that Read is to return.
func find(text []byte) (first Object) {
	if bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) > maxBrackets || bytes.Count(text, []byte(",")) > maxCommas {
		return Object{}
	}
	at := 0
	for range maxTries {
		start := nextStart(text, at)
		if start < 0 {
			break
		}
		o, length := parse(text[start:])
		switch {
		case length == 0: // no object
			at = start + 1
			continue
		case isPage(text[:start]):
			return first
		case o.hasAccess(), o.hasError():
			return o
		case len(o.Members) > 0 && (first.Members == nil || o.telling() && !first.telling()):
			first = o
		}
		if !o.Closed {
			// What is inside a broken object is not searched: members that belong
			// to something else in it would pass for its own.
			if first.Members == nil {
				return o
			}
			break
		}
		at = start + length
	}
	return first
}

// nextStart returns where, from at on, the next brace stands that a name, a comment
// or another brace follows, or -1.
func nextStart(text []byte, at int) int {
	for {
		i := bytes.IndexByte(text[at:], '{')
		if i < 0 {
			return -1
		}
		at += i + 1
		if rest := trimSpace(text[at:]); len(rest) > 0 && (rest[0] == '"' || rest[0] == '/' || rest[0] == '}') {
			return at - 1
		}
	}
}

// parse reads the object that text begins with, and returns how long it is: zero if
// there is none.
func parse(text []byte) (Object, int) {
	// Beside an error hujson returns what it has read, and where that ends if it
	// does. A test holds it to that.
	value, err := hujson.Parse(text)
	object, ok := value.Value.(*hujson.Object)
	if !ok {
		return Object{}, 0
	}
	o := Object{Closed: err == nil || value.EndOffset > 0}
	whole := object.Members
	if n := len(whole) - 1; !o.Closed && n >= 0 && isCut(whole[n].Value, text) {
		whole = whole[:n]
	}
	o.Members = make(member.Fields, len(whole))
	for _, m := range whole {
		name, _ := m.Name.Value.(hujson.Literal)
		value := standard(m.Value)
		if key := member.Text(json.RawMessage(name)); member.Holds(value) || !member.Holds(o.Members[key]) {
			o.Members[key] = value
		}
	}
	if o.Closed {
		return o, value.EndOffset
	}
	end := 1
	if len(whole) > 0 {
		end = whole[len(whole)-1].Value.EndOffset
	}
	o.cutName, o.cut = cutMember(text[end:])
	if len(whole) == 0 && o.cut == nil {
		return Object{}, 0
	}
	return o, len(text)
}

// isCut reports whether a value at the end of an object without an end may be only
// the beginning of one: 36 of 3600. Strings, objects and arrays end visibly.
func isCut(v hujson.Value, text []byte) bool {
	return v.EndOffset == len(text) && !strings.ContainsRune(`"{[`, rune(v.Value.Kind()))
}

// cutMember returns the name of the member that rest begins with, behind the comma,
// and what there is of its value; nil without a name and colon.
func cutMember(rest []byte) (name string, value []byte) {
	rest = bytes.TrimLeft(rest, " \t\r\n,")
	d := json.NewDecoder(bytes.NewReader(rest))
	token, err := d.Token()
	name, isName := token.(string)
	if err != nil || !isName {
		return "", nil
	}
	value = trimSpace(rest[d.InputOffset():])
	if len(value) == 0 || value[0] != ':' {
		return "", nil
	}
	return name, value[1:]
}

// standard returns a value without the comments and commas that JSON does not have.
func standard(v hujson.Value) json.RawMessage {
	v.BeforeExtra, v.AfterExtra = nil, nil
	if !v.IsStandard() {
		v.Minimize()
	}
	return v.Pack()
}

// telling reports whether o has a member named like a token or an error.
func (o Object) telling() bool { return o.hasError() || o.names("token") }

func (o Object) hasAccess() bool { return o.names("access", "token") }

func (o Object) hasError() bool {
	for name := range o.Members {
		if strings.EqualFold(name, "error") {
			return true
		}
	}
	return false
}

// names reports whether o has a member in whose name all of words are.
func (o Object) names(words ...string) bool {
	for name := range o.Members {
		name = strings.ToLower(name)
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(name, w) }) {
			return true
		}
	}
	return false
}

// isPage reports whether text belongs to a web page. Notices of interpreters have
// markup too, and so has the XML element in which .NET sends a string, but no head.
func isPage(text []byte) bool {
	text = bytes.ToLower(text)
	for _, mark := range []string{"<!doctype", "<html", "<head", "<body", "<script"} {
		if bytes.Contains(text, []byte(mark)) {
			return true
		}
	}
	return false
}

// trimSpace removes from the beginning what is space in JSON.
func trimSpace(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }
