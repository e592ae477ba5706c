// Package rawjson takes JSON objects apart for those who read them field by field,
// because each field may be of another type than expected: answers of servers, and
// what is stored. It finds what encoding/json finds, with a tenth of the
// allocations, of which a refresh has many otherwise.
package rawjson

import (
	"encoding/json"
	"strings"
)

// Object returns the members of the JSON object that data is, as json.Unmarshal
// into a map[string]json.RawMessage does (of members with one name, the last), or
// nil if data is none. The values share data's memory: clone what is kept.
func Object(data []byte) map[string]json.RawMessage {
	if !json.Valid(data) {
		return nil
	}
	// data is valid, so what follows can look for ends and need not check.
	i := skipSpace(data, 0)
	if data[i] != '{' {
		return nil
	}
	members := make(map[string]json.RawMessage, 8) // a token response has five or six
	for i = skipSpace(data, i+1); data[i] != '}'; i = skipSpace(data, i) {
		if data[i] == ',' {
			i = skipSpace(data, i+1)
		}
		end := stringEnd(data, i)
		name := memberName(data[i:end])
		i = skipSpace(data, skipSpace(data, end)+1) // the colon
		end = valueEnd(data, i)
		members[name] = json.RawMessage(data[i:end:end])
		i = end
	}
	return members
}

// Text returns the string that raw is in JSON, or "" if it is none.
func Text(raw json.RawMessage) string {
	if len(raw) == 0 || strings.IndexByte("{[-0123456789tfn", raw[0]) >= 0 {
		return ""
	}
	if plain(raw) {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// Texts returns the strings of the array that raw is in JSON, or nil if it is none
// or has none.
func Texts(raw json.RawMessage) []string {
	if list, ok := plainTexts(raw); ok {
		return list
	}
	var list []string
	if len(raw) == 0 || json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil
	}
	return list
}

// plainTexts is Texts for an array without space, of strings that stand for
// themselves. They share memory.
func plainTexts(raw []byte) (list []string, ok bool) {
	if len(raw) < len(`[""]`) || raw[0] != '[' || raw[len(raw)-1] != ']' {
		return nil, false
	}
	text := string(raw)
	list = make([]string, 0, strings.Count(text, ",")+1)
	for i := 1; ; i++ { // at the first quote of an element
		if raw[i] != '"' {
			return nil, false
		}
		length := strings.IndexByte(text[i+1:], '"')
		if length < 0 || !plain(raw[i:i+length+2]) {
			return nil, false
		}
		list = append(list, text[i+1:i+1+length])
		switch i += length + 2; {
		case i == len(raw)-1:
			return list, true
		case raw[i] != ',':
			return nil, false
		}
	}
}

// plain reports whether raw is a string that stands for itself: printable ASCII
// without escapes.
func plain(raw []byte) bool {
	last := len(raw) - 1
	if last < 1 || raw[0] != '"' || raw[last] != '"' {
		return false
	}
	for _, c := range raw[1:last] {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func memberName(raw []byte) string {
	if !plain(raw) {
		return Text(raw)
	}
	if name, known := names[string(raw[1:len(raw)-1])]; known {
		return name
	}
	return string(raw[1 : len(raw)-1])
}

// names spares an allocation for each member that we know. Never modified.
var names = func() map[string]string {
	m := make(map[string]string)
	for _, name := range []string{
		"access_token", "refresh_token", "token_type", "expires_in", "scope", "id_token", // RFC 6749
		"expires_at", "issued_at", "refresh_at", "refresh_expires_at", "clock_skew", "dpop_key", // oauth.TokenPair
		"format", "version", "tokens", "pending", "refused", "dead", // tokenstore.Record
		"not_before", "refreshed_at", "refreshed_by", "ancestors", "at", "token", "code",
	} {
		m[name] = name
	}
	return m
}()

func skipSpace(data []byte, i int) int {
	for data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r' {
		i++
	}
	return i
}

// stringEnd returns where the string that begins at i is over.
func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd returns where the value that begins at i, in an object, is over.
func valueEnd(data []byte, i int) int {
	depth := 0
	for {
		switch data[i] {
		case '"':
			i = stringEnd(data, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default: // a number or literal, or what separates values in this one
			for i++; strings.IndexByte(`"{}[],`, data[i]) < 0 && (depth > 0 || !space(data[i])); i++ {
			}
		}
		if depth == 0 {
			return i
		}
	}
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
