// Package member reads JSON objects field by field, because each field may be of
// another type than expected: in answers of servers, and in what is stored. A member
// that does not hold what a reader wants reads like one that is absent.
package member

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fields are the members of a JSON object by name.
type Fields map[string]json.RawMessage

// Object returns the members of the JSON object that data is (of members with one
// name, the last), or nil if data is not one.
func Object(data []byte) Fields {
	var members Fields
	if json.Unmarshal(data, &members) != nil {
		return nil
	}
	return members
}

// Text returns the string that raw is in JSON, or "" if it is not one.
func Text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// Texts returns the strings of the array that raw is in JSON, or nil if it is not one
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

// Unix reads a NumericDate (RFC 7519 section 2), also one in milliseconds or in
// words, or returns zero.
func (f Fields) Unix(name string) time.Time {
	n, isNumber := f.Seconds(name)
	if !isNumber {
		return InRange(TimeInWords(f.Text(name)))
	}
	if n > MaxUnixSeconds {
		return InRange(time.UnixMilli(n), true)
	}
	return InRange(time.Unix(n, 0), true)
}

// InRange returns when if it is ok and a time that marshals, or zero.
func InRange(when time.Time, ok bool) time.Time {
	if !ok || when.Unix() <= 0 || when.Unix() > MaxUnix {
		return time.Time{}
	}
	return when
}

// MaxUnixSeconds is what a time in seconds since 1970 can be, in the year 5138. More is
// meant in milliseconds, as JavaScript counts, of which it is the year 1973.
const MaxUnixSeconds = 100_000_000_000

// MaxUnix is the end of the year 9999, beyond which times do not marshal.
const MaxUnix = 253402300799

// TimeLayouts are how servers write times. Without a zone they mean UTC.
var TimeLayouts = []string{
	time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05",
	"2006-01-02T15:04:05 Z07:00", "20060102T150405Z0700",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 -0700 MST", "2006-01-02 15:04:05 MST",
	time.DateTime, "2006/01/02 15:04:05", time.RFC1123Z, "Mon, 2 Jan 2006 15:04:05 MST", "Mon, 02-Jan-2006 15:04:05 MST",
	"2 Jan 2006 15:04:05 MST", time.UnixDate, time.RubyDate, "Mon Jan 02 2006 15:04:05 GMT-0700",
	"1/2/2006 3:04:05 PM", "Jan 2, 2006 3:04:05 PM", // with AM and PM the month comes first
}

// TimeInWords reads a time in one of the ways in which servers write it. One in a zone
// that only its letters tell is not read: they mean other zones elsewhere.
func TimeInWords(text string) (time.Time, bool) { return timeIn(text, time.UTC) }

// IsZoneless reports whether text is a time without a zone, as Java's LocalDateTime and
// Python's datetime are written. Here it means UTC, and at many servers their own zone.
func IsZoneless(text string) bool {
	nowhere := time.FixedZone("", 1)
	when, ok := timeIn(text, nowhere)
	return ok && when.Location() == nowhere
}

// timeIn is TimeInWords for times whose zone, if they have none, is this one.
func timeIn(text string, zone *time.Location) (time.Time, bool) {
	if text = strings.TrimSpace(text); text == "" {
		return time.Time{}, false
	}
	if when, ok := dotNetDate(text); ok {
		return when, true
	}
	text, _, _ = strings.Cut(text, "[")  // Java's zone behind the offset
	text, _, _ = strings.Cut(text, " (") // JavaScript's name of the zone
	if isoDate := len(text) > 10 && text[4] == '-'; isoDate {
		text = strings.ToUpper(text)
	}
	for _, layout := range TimeLayouts {
		if when, err := time.ParseInLocation(layout, text, zone); err == nil && knownZone(when) {
			return when, true
		}
	}
	when, err := http.ParseTime(text)
	return when, err == nil && knownZone(when)
}

// knownZone reports whether the zone of a time that was parsed is known: package time
// takes letters that it does not know for UTC.
func knownZone(when time.Time) bool {
	name, offset := when.Zone()
	return offset != 0 || name == "" || name == "UTC" || name == "GMT" || name == "Z"
}

// dotNetDate reads /Date(1700000000000+0100)/: milliseconds since 1970, and a zone that
// is for show.
func dotNetDate(text string) (time.Time, bool) {
	text, dotNet := strings.CutPrefix(text, "/Date(")
	text, closed := strings.CutSuffix(text, ")/")
	if zone := strings.LastIndexAny(text, "+-"); zone > 0 {
		text = text[:zone]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(n), dotNet && closed && err == nil && n > 0 && n <= 1000*MaxUnix
}

// TimeInside returns the number or text of a time that was sent as an object: by PHP,
// by document databases, by protocol buffers.
func TimeInside(raw json.RawMessage) json.RawMessage {
	for range 2 { // MongoDB's long is an object in an object
		if len(raw) == 0 || raw[0] != '{' {
			break
		}
		members := Object(raw)
		for _, name := range []string{"date", "$date", "$numberLong", "seconds", "_seconds"} {
			if inner, found := members[name]; found {
				raw = inner
				break
			}
		}
	}
	return raw
}

// Token returns the token that a member of an answer holds: a string; a number, as
// PHP writes strings of digits when told to look for numbers; or what a list of one, or
// an object of the token's own, has in it. A word for nothing, as null in quotes, does not count.
func Token(raw json.RawMessage) string {
	if token := token(raw); !IsBlank(token) {
		return token
	}
	return ""
}

func token(raw json.RawMessage) string {
	raw = onlyOne(raw)
	if text := Text(raw); text != "" {
		return text
	}
	if isDigits(raw) {
		return string(raw)
	}
	if len(raw) == 0 || raw[0] != '{' {
		return ""
	}
	members := Object(raw)
	for _, name := range []string{"token", "value"} {
		if text := Text(members[name]); text != "" {
			return text
		}
	}
	return ""
}

// IsBlank reports whether a text holds nothing: space alone, or the word by which a program
// has written that a value is missing.
func IsBlank(text string) bool {
	switch strings.ToLower(strings.Trim(strings.TrimSpace(text), "()<>")) {
	case "", "null", "undefined", "none", "nil":
		return true
	}
	return false
}

// Holds reports whether a member is there and holds something.
func Holds(raw json.RawMessage) bool {
	switch {
	case len(raw) == 0, string(raw) == "null":
		return false
	case raw[0] == '"':
		return !IsBlank(Text(raw))
	}
	return true
}

// onlyOne returns the element of a list that has one, else raw. Servers that keep
// answers like forms, with a list for each name, send such lists.
func onlyOne(raw json.RawMessage) json.RawMessage {
	if list := elements(raw); len(list) == 1 {
		return list[0]
	}
	return raw
}

// elements returns those of an array, or nil.
func elements(raw json.RawMessage) []json.RawMessage {
	if len(raw) == 0 || raw[0] != '[' {
		return nil
	}
	return decodeList(raw)
}

func decodeList(raw json.RawMessage) (list []json.RawMessage) {
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// isDigits reports whether raw is a number that can be a token: shorter ones are counts
// and codes.
func isDigits(raw json.RawMessage) bool {
	return len(raw) >= 8 && len(bytes.Trim(raw, "0123456789")) == 0
}

// Illegible reports whether a member holds something that no token can be found in,
// and is not just empty. A refresh token there is not the one that we have.
func Illegible(raw json.RawMessage) bool {
	if len(raw) == 0 || raw[0] != '[' && raw[0] != '{' || Token(raw) != "" {
		return false
	}
	return len(elements(raw)) > 0 || len(Object(raw)) > 0
}

// BareToken returns an access token without space around it, and without the word that
// belongs before it in a header, which some servers put into the answer already: Bearer, or
// JWT as in tutorials for Passport. No token has a space inside.
func BareToken(token string) string {
	token = strings.TrimSpace(token)
	for _, scheme := range []string{"Bearer ", "JWT ", "DPoP "} {
		if HasPrefixFold(token, scheme) {
			return strings.TrimSpace(token[len(scheme):])
		}
	}
	return token
}

// UsableToken reports whether a token can travel in a header: printable ASCII
// (RFC 6749 appendix A.12).
func UsableToken(token string) bool {
	for i := range len(token) {
		if token[i] < 0x20 || token[i] > 0x7e {
			return false
		}
	}
	return strings.TrimSpace(token) != ""
}

// HasPrefixFold is strings.HasPrefix in whatever case.
func HasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// JWT returns header and claims of a signed JWT in compact form (RFC 7519), or
// nil. Nothing is checked: neither the signature nor that its algorithm is known, nor
// the types of claims that no caller reads, which servers get wrong.
func JWT(token string) (header, claims Fields) {
	if strings.Count(token, ".") != 2 {
		return nil, nil
	}
	first, rest, _ := strings.Cut(token, ".")
	second, _, _ := strings.Cut(rest, ".")
	return JWTPart(first), JWTPart(second)
}

// JWTPart returns the object that a part of a JWT is, or nil.
func JWTPart(part string) Fields {
	// In the other alphabet of base64, which JWTs do not use, these stand for them.
	part = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(part, "="))
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil
	}
	return Object(data)
}
