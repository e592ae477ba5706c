package lenient

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"mime"
	"net/url"
	"unicode/utf16"
)

// decode returns body as UTF-8 without NUL bytes.
//
// A NUL becomes a line break, which is space between values and not allowed in a
// string. So one around the tokens does no harm, and a token with one in it cannot
// be read as another token.
func decode(body []byte) []byte {
	if order, text := byteOrder(body); order != nil {
		body = decode16(text, order)
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	body = bytes.ToValidUTF8(body, []byte("\ufffd")) // as encoding/json does
	return bytes.ReplaceAll(body, []byte{0}, []byte("\n"))
}

// byteOrder returns the byte order of text in UTF-16, and the text without its mark,
// or nil for other text. Without a mark two ASCII characters at the beginning tell
// (RFC 4627 section 3).
func byteOrder(body []byte) (binary.ByteOrder, []byte) {
	if len(body) < 4 {
		return nil, body
	}
	zero := [4]bool{body[0] == 0, body[1] == 0, body[2] == 0, body[3] == 0}
	switch {
	case body[0] == 0xff && body[1] == 0xfe:
		return binary.LittleEndian, body[2:]
	case body[0] == 0xfe && body[1] == 0xff:
		return binary.BigEndian, body[2:]
	case zero == [4]bool{false, true, false, true}:
		return binary.LittleEndian, body
	case zero == [4]bool{true, false, true, false}:
		return binary.BigEndian, body
	}
	return nil, body
}

func decode16(text []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

func isForm(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return kind == "application/x-www-form-urlencoded"
}

// looksLikeForm reports whether text can be a form that is called otherwise.
func looksLikeForm(text []byte) bool {
	return bytes.IndexByte(text, '=') > 0 && !bytes.ContainsAny(text, " \t\r\n{}<>\"")
}

// readForm reads a form, with every value as a JSON string. Of several values of one
// name the last counts, as in JSON. Pairs that are not encoded well are left out.
func readForm(text []byte, complete bool) Object {
	if !complete {
		text = text[:bytes.LastIndexByte(text, '&')+1]
	}
	pairs, _ := url.ParseQuery(string(text)) // what it can read, it returns beside an error
	o := Object{Members: make(map[string]json.RawMessage, len(pairs)), Closed: complete}
	for name, values := range pairs {
		o.Members[name], _ = json.Marshal(values[len(values)-1]) // strings never fail
	}
	return o
}
