package lenient

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"html"
	"mime"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// decode returns body as UTF-8 without NUL bytes, byte order marks and other space than
// JSON's.
//
// A NUL becomes a line break, which is space between values and not allowed in a
// string. So one around the tokens does no harm, and a token with one in it cannot
// be read as another token.
func decode(body []byte) []byte {
	if e, found := encodingOf(body); found {
		body = e.decode(body)
	}
	body = bytes.TrimPrefix(body, []byte("\u00ef\u00bb\u00bf")) // a mark that was taken for Latin-1
	body = bytes.ToValidUTF8(body, []byte("\ufffd"))            // as encoding/json does
	return bytes.Map(func(r rune) rune {
		switch {
		case r == 0:
			return '\n'
		case r == '\ufeff', r == '\u200b', unicode.IsSpace(r) && r != '\n' && r != '\r' && r != '\t':
			return ' '
		}
		return r
	}, body)
}

// A wideEncoding is UTF-16 or UTF-32: width bytes a unit.
type wideEncoding struct {
	width int
	order binary.ByteOrder
}

// encodingOf tells text in UTF-16 and UTF-32 by the zeros in its first two characters,
// which are ASCII or a byte order mark (RFC 4627 section 3).
func encodingOf(body []byte) (wideEncoding, bool) {
	if len(body) < 8 {
		return wideEncoding{}, false
	}
	for _, e := range []wideEncoding{{4, binary.LittleEndian}, {4, binary.BigEndian}, {2, binary.LittleEndian}, {2, binary.BigEndian}} {
		first, second := e.unit(body, 0), e.unit(body, 1)
		if (first == 0xfeff || ascii(first)) && ascii(second) {
			return e, true
		}
	}
	return wideEncoding{}, false
}

func ascii(unit uint32) bool { return unit > 0 && unit < 0x80 }

func (e wideEncoding) unit(text []byte, i int) uint32 {
	if e.width == 4 {
		return e.order.Uint32(text[4*i:])
	}
	return uint32(e.order.Uint16(text[2*i:]))
}

func (e wideEncoding) decode(text []byte) []byte {
	runes := make([]rune, len(text)/e.width)
	units := make([]uint16, len(runes))
	for i := range runes {
		u := e.unit(text, i)
		runes[i], units[i] = rune(min(u, unicode.MaxRune+1)), uint16(u)
	}
	if e.width == 2 {
		runes = utf16.Decode(units)
	}
	return []byte(string(runes))
}

// maxWraps bounds how often an answer may be encoded once more.
const maxWraps = 3

// unwrap returns what was encoded as a whole: as a JSON string, as one without its
// quotes, for HTML, for a URL, or in base64 as gateways do with bodies that they take
// for binary.
func unwrap(text []byte) []byte {
	for range maxWraps {
		text = bytes.TrimSpace(text)
		inner := unwrapOnce(text)
		if inner == nil {
			break
		}
		text = inner
	}
	return bytes.TrimSpace(text)
}

func unwrapOnce(text []byte) []byte {
	switch list := bytes.TrimLeft(text, " \t\r\n["); {
	case bytes.HasPrefix(list, []byte(`"`)):
		if inner := unquote(list); bytes.ContainsAny(inner, "{=") || bytes.HasPrefix(inner, []byte("e")) {
			return inner
		}
	case bytes.HasPrefix(list, []byte(`{\"`)):
		return unquote(slices.Concat([]byte(`"`), list, []byte(`"`)))
	case bytes.HasPrefix(list, []byte("{&quot;")), bytes.HasPrefix(list, []byte("{&#34;")):
		return []byte(html.UnescapeString(string(list)))
	case bytes.HasPrefix(text, []byte("%7B%22")):
		inner, err := url.QueryUnescape(string(text))
		return orNil(inner, err)
	}
	// A brace and what can stand behind it, in base64.
	if bytes.HasPrefix(text, []byte("ey")) || bytes.HasPrefix(text, []byte("ew")) {
		inner, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(string(text), "="))
		return orNil(string(inner), err)
	}
	return nil
}

// unquote returns the string that text begins with. One without an end has what stands
// whole in it.
func unquote(text []byte) []byte {
	var inner string
	if json.NewDecoder(bytes.NewReader(text)).Decode(&inner) == nil {
		return []byte(inner)
	}
	for cut := range min(len(`\u0000`), len(text)) { // the cut can be in an escape
		if json.Unmarshal(append(bytes.Clone(text[:len(text)-cut]), '"'), &inner) == nil {
			return []byte(inner)
		}
	}
	return nil
}

func orNil(text string, err error) []byte {
	if err != nil {
		return nil
	}
	return []byte(text)
}

// startsAsJSON reports whether text is JSON if it is anything.
func startsAsJSON(text []byte) bool {
	return len(text) > 0 && strings.IndexByte(`{["`, text[0]) >= 0
}

func isForm(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return kind == "application/x-www-form-urlencoded"
}

// looksLikeForm reports whether text can be a form that is called otherwise: it begins
// with a name and =.
func looksLikeForm(text []byte) bool {
	name, _, found := bytes.Cut(bytes.TrimLeft(text, "?#&"), []byte("="))
	return found && len(name) > 0 && !bytes.ContainsAny(name, " \t\r\n") && !bytes.ContainsAny(text, "\r\n{}<>\"")
}

// readForm reads a form, with every value as a JSON string, also one that was encoded
// for HTML or is what stands behind the ? or # of an address. Of several values of one
// name the last that is not empty counts. Pairs that are not encoded well are left out.
func readForm(text []byte, complete bool) Object {
	if !complete {
		text = text[:bytes.LastIndexByte(text, '&')+1]
	}
	text = bytes.ReplaceAll(bytes.TrimLeft(text, "?#"), []byte("&amp;"), []byte("&"))
	pairs, _ := url.ParseQuery(string(text)) // what it can read, it returns beside an error
	o := Object{Members: make(map[string]json.RawMessage, len(pairs)), Closed: complete}
	for name, values := range pairs {
		value := ""
		for _, v := range values {
			value = cmp.Or(v, value)
		}
		o.Members[name], _ = json.Marshal(value) // strings never fail
	}
	return o
}
