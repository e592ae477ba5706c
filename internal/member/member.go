// Package member reads JSON objects field by field, because each field may be of
// another type than expected: in answers of servers, and in what is stored. A member
// that does not hold what a reader wants reads like one that is absent.
package member

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fields are the members of a JSON object by name.
type Fields map[string]json.RawMessage

// Object returns the members of the JSON object that data is (of members with one
// name, the last), or nil if data is none.
func Object(data []byte) Fields {
	var members Fields
	if json.Unmarshal(data, &members) != nil {
		return nil
	}
	return members
}

// Text returns the string that raw is in JSON, or "" if it is none.
func Text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// Texts returns the strings of the array that raw is in JSON, or nil if it is none
// or has none.
func Texts(raw json.RawMessage) []string {
	var list []string
	if len(raw) == 0 || json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil
	}
	return list
}

// ResponseNames are the members of a token response (RFC 6749 section 5.1).
var ResponseNames = []string{"access_token", "refresh_token", "token_type", "expires_in", "scope", "id_token"}

// caselessNames are found in whatever case a server writes them, as by x/oauth2.
var caselessNames = append(ResponseNames[:len(ResponseNames):len(ResponseNames)],
	"error", "error_description", "device_code", "user_code", "verification_uri", "verification_url",
	"verification_uri_complete", "interval", "client_id", "client_secret", "request_uri")

// InOurCase renames members whose names differ from ours by case and space only. The
// exact name wins over others unless it holds nothing, and of those the first in byte
// order: some rule has to be.
func InOurCase(members Fields) Fields {
	odd := false
	for name := range members {
		odd = odd || ourCase(name) != name
	}
	if !odd {
		return members
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		ours := ourCase(name)
		if name == ours || Holds(members[ours]) || !slices.Contains(caselessNames, ours) {
			continue
		}
		if value, taken := members[ours]; !taken || Holds(members[name]) || string(value) == "null" {
			members[ours] = members[name]
		}
		delete(members, name)
	}
	return members
}

func ourCase(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// Letters returns the letters of a name, in lower case.
func Letters(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, name)
}

// Plain returns the letters of a name, in lower case, and its digits: of names in different
// spellings the same, and not of token and token_2.
func Plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// Without returns the fields not named in known, or nil if there are none, and uses f
// up. They have memory of their own: they are kept, and what they were read from is
// not.
func (f Fields) Without(known []string) Fields {
	for _, k := range known {
		delete(f, k)
	}
	if len(f) == 0 {
		return nil
	}
	for k, v := range f {
		f[k] = bytes.Clone(v)
	}
	return f
}

// Text returns a string field, or "" if it is absent or of another type.
func (f Fields) Text(name string) string {
	return Text(f[name])
}

// Scope reads scope as the space-separated string of RFC 6749 section 3.3
// or as the array of strings that some servers send.
func (f Fields) Scope() string {
	if s := f.Text("scope"); s != "" {
		return s
	}
	raw, found := f["scope"]
	var list []string
	if !found || json.Unmarshal(raw, &list) != nil {
		return ""
	}
	return strings.Join(list, " ")
}

// Time returns a field that is a time in RFC 3339, or zero.
func (f Fields) Time(name string) time.Time {
	var t time.Time
	if raw, found := f[name]; !found || json.Unmarshal(raw, &t) != nil {
		return time.Time{}
	}
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return time.Time{} // an offset can lead where no time can be written
	}
	return t
}

// Seconds reads a number of seconds, as the function Seconds does. It reports false
// when the field is absent or not a number.
func (f Fields) Seconds(name string) (int64, bool) {
	raw, found := f[name]
	if !found {
		return 0, false
	}
	return Seconds(raw)
}

// Seconds reads an integer, a float, either of them as a string, or a list of one
// such. Fractions are dropped, values beyond int64 saturate. It reports false for
// anything else.
func Seconds(raw json.RawMessage) (int64, bool) {
	raw = onlyOne(raw)
	text := strings.TrimSpace(cmp.Or(Text(raw), string(raw)))
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	x, err := strconv.ParseFloat(text, 64)
	if (err != nil && !errors.Is(err, strconv.ErrRange)) || math.IsNaN(x) {
		return 0, false
	}
	switch {
	case x >= math.MaxInt64:
		return math.MaxInt64, true
	case x <= math.MinInt64:
		return math.MinInt64, true
	}
	return int64(x), true
}

// Name returns a claim that should be a string, and is a number at some servers.
func (f Fields) Name(name string) string {
	return nameOf(f[name])
}

func nameOf(raw json.RawMessage) string {
	if text := Text(raw); text != "" {
		return text
	}
	if _, isNumber := Seconds(raw); isNumber && strings.IndexByte("-0123456789", raw[0]) >= 0 {
		return string(raw)
	}
	return ""
}

// Names returns a claim that is a string or an array of them, such as aud.
func (f Fields) Names(name string) []string {
	var list []json.RawMessage
	if json.Unmarshal(f[name], &list) != nil {
		list = []json.RawMessage{f[name]}
	}
	var texts []string
	for _, raw := range list {
		if text := nameOf(raw); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// List returns a field that is an array of strings, or nil.
func (f Fields) List(name string) []string {
	var values []string
	if json.Unmarshal(f[name], &values) != nil {
		return nil
	}
	return values
}

// Says reports whether a field is true.
func (f Fields) Says(name string) bool {
	var said bool
	return json.Unmarshal(f[name], &said) == nil && said
}
