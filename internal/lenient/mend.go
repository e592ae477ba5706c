package lenient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// findMended returns the first object in text that becomes JSON when it is mended.
func findMended(text []byte) Object {
	at := patterns().start.FindIndex(text)
	if at == nil || isPage(text[:at[0]]) {
		return Object{}
	}
	text = text[at[0]:]
	if bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) > maxBrackets {
		return Object{}
	}
	o, _ := parse(mend(text))
	return o
}

// patterns are compiled when the first answer needs them, which hardly any does.
var patterns = sync.OnceValue(func() (p struct{ start, part, escape, number, name, token *regexp.Regexp }) {
	p.start = regexp.MustCompile(`\{[\s,]*["']?[A-Za-z_][\w-]*["']?\s*(?::|=>)`)
	// What an object is made of: strings in double and in single quotes, words, and the
	// rest. A string or comment without an end reaches to the end of text.
	p.part = regexp.MustCompile(`(?s)("(?:[^"\\]|\\.)*")|('(?:[^'\\]|\\.)*')|([^\s{}\[\]:,"'/=]+)|/\*.*?\*/|//[^\n]*|["'/].*|=>|\s+|.`)
	p.escape = regexp.MustCompile(`(?s)\\u[0-9a-fA-F]{4}|\\.|["\x00-\x1f]`)
	p.number = regexp.MustCompile(`^[+-]?[0-9.][\w.+-]*$`)
	p.name = regexp.MustCompile(`^[A-Za-z_][\w-]*$`)
	p.token = regexp.MustCompile(`(?i)(?:token|jwt)["']?$`)
	return p
})

// words are values that other languages have and JSON has not.
var words = map[string]string{
	"undefined": "null", "None": "null", "nil": "null", "NULL": "null", "Null": "null",
	"NaN": "null", "Infinity": "null", "-Infinity": "null", "nan": "null", "inf": "null",
	"True": "true", "TRUE": "true", "False": "false", "FALSE": "false",
}

// mend makes JSON of an object as other languages write it, or as templates fill it in:
// with single quotes, names without quotes, =>, numbers in other notations, None and
// undefined, values and members left out, and strings with line breaks or escapes that
// JSON does not have. A token is never mended: it is taken as it stands, or not at all.
// Where it is not clear what is meant nothing is changed, and reading ends there.
func mend(text []byte) []byte {
	var m mender
	for _, at := range patterns().part.FindAllSubmatchIndex(text, -1) {
		part, rest := string(text[at[0]:at[1]]), text[at[1]:]
		switch {
		case at[2] >= 0, at[4] >= 0:
			m.add(part, m.quoted(part))
		case at[6] >= 0:
			m.add(part, m.word(part, rest))
		case strings.TrimSpace(part) == "" || part[0] == '/':
			m.out.WriteString(part)
		default:
			m.add(part, m.mark(part))
		}
	}
	return m.out.Bytes()
}

// A mender remembers the last two parts that were no space and no comments.
type mender struct {
	out          bytes.Buffer
	before, last string
}

func (m *mender) add(part, mended string) {
	m.out.WriteString(mended)
	if mended != "" {
		m.before, m.last = m.last, part
	}
}

// atValue reports whether a member's value comes next, and atToken one that is a token.
func (m *mender) atValue() bool { return m.last == ":" || m.last == "=>" }
func (m *mender) atToken() bool { return m.atValue() && patterns().token.MatchString(m.before) }

// quoted mends a string in quotes of either kind.
func (m *mender) quoted(part string) string {
	inner := part[1 : len(part)-1]
	if json.Valid([]byte(part)) || m.atToken() && patterns().escape.MatchString(inner) {
		return part
	}
	return `"` + patterns().escape.ReplaceAllStringFunc(inner, escaped) + `"`
}

// escaped mends a character that may need an escape, or has one.
func escaped(s string) string {
	switch {
	case s == `"`:
		return `\"`
	case s[0] < ' ':
		return fmt.Sprintf(`\u%04x`, s[0])
	case s == `\'`:
		return `'`
	case json.Valid([]byte(`"` + s + `"`)):
		return s
	case s[1] < ' ' || s[1] == '"':
		return `\\` + escaped(s[1:])
	}
	return `\\` + s[1:]
}

// word mends what is not in quotes. At the end of the text there may be more of it.
func (m *mender) word(part string, rest []byte) string {
	value, known := words[part]
	rest = trimSpace(rest)
	isName := !m.atValue() && (bytes.HasPrefix(rest, []byte(":")) || bytes.HasPrefix(rest, []byte("=>")))
	switch {
	case len(rest) == 0:
		return part
	case isName && patterns().name.MatchString(part):
		return `"` + part + `"`
	case known:
		return value
	case m.atValue() && !m.atToken() && !json.Valid([]byte(part)) && patterns().number.MatchString(part):
		return `"` + part + `"`
	}
	return part
}

// mark mends what separates.
func (m *mender) mark(part string) string {
	switch {
	case part == "=>":
		return ":"
	case part == "," && (m.last == "{" || m.last == "[" || m.last == ","):
		return ""
	case (part == "," || part == "}") && m.atValue():
		return "null" + part
	}
	return part
}
