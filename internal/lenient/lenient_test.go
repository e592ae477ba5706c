package lenient_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"maps"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/evertoken/evertoken/internal/lenient"
	"github.com/evertoken/evertoken/internal/member"
)

const good = `{"access_token":"at","expires_in":600,"refresh_token":"rt"}`

// wide returns text in UTF-16.
func wide(text string, little, mark bool) string {
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	var b strings.Builder
	for _, u := range units {
		if little {
			b.WriteByte(byte(u))
		}
		b.WriteByte(byte(u >> 8))
		if !little {
			b.WriteByte(byte(u))
		}
	}
	return b.String()
}

// encodedTwice returns text as a JSON string.
func encodedTwice(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// oddities are what may be done to an answer without harm to what stands in it.
var oddities = map[string]func(string) string{
	"as it is":                   func(s string) string { return s },
	"byte order mark":            func(s string) string { return "\ufeff" + s },
	"byte order mark and breaks": func(s string) string { return "\ufeff\r\n" + s + "\r\n" },
	"UTF-16, little end first":   func(s string) string { return wide(s, true, true) },
	"UTF-16, big end first":      func(s string) string { return wide(s, false, true) },
	"UTF-16 without a mark, LE":  func(s string) string { return wide(s, true, false) },
	"UTF-16 without a mark, BE":  func(s string) string { return wide(s, false, false) },
	"NUL before":                 func(s string) string { return "\x00" + s },
	"NULs before":                func(s string) string { return "\x00\x00\x00" + s },
	"NULs behind":                func(s string) string { return s + "\x00\x00" },
	"NULs between":               func(s string) string { return strings.ReplaceAll(s, ",", "\x00,\x00") },
	"comment behind":             func(s string) string { return s + "\n<!-- 0.012s -->" },
	"object behind":              func(s string) string { return s + "\n{\"took\":12}" },
	"notice before": func(s string) string {
		return "<br />\n<b>Notice</b>: x in y on line 3<br />\n" + s
	},
	"notice with braces before":      func(s string) string { return "Notice: {x} {} {\"y\" in z { \n" + s },
	"notice with an object before":   func(s string) string { return "{\"level\":\"debug\"}\n" + s },
	"script guard before":            func(s string) string { return ")]}',\n" + s },
	"loop before":                    func(s string) string { return "for(;;);" + s },
	"call around":                    func(s string) string { return "callback(" + s + ");" },
	"comment around":                 func(s string) string { return "/*-secure-\n" + s + "*/" },
	"comments inside":                func(s string) string { return strings.ReplaceAll(s, ",", " /* , */ , // }\n") },
	"comment inside, before all":     func(s string) string { return strings.Replace(s, "{", "{ // {\n", 1) },
	"trailing comma":                 func(s string) string { return strings.TrimSuffix(s, "}") + ",}" },
	"trailing comma and text behind": func(s string) string { return strings.TrimSuffix(s, "}") + ", } done" },
	"array around":                   func(s string) string { return "[" + s + "]" },
	"array around with a comma":      func(s string) string { return "[" + s + ",]" },
	"string around":                  encodedTwice,
	"mark before a string around":    func(s string) string { return "\ufeff" + encodedTwice(s) + "\n" },
	"Latin-1 inside":                 func(s string) string { return strings.Replace(s, "{", "{\"name\":\"J\xf6rg\",", 1) },
	"Latin-1 inside and text behind": func(s string) string { return strings.Replace(s, "{", "{\"name\":\"J\xf6rg\",", 1) + "." },
	"mark, notice, comma, text":      func(s string) string { return "\ufeffWarning: x\n" + strings.TrimSuffix(s, "}") + ",}\x00;" },
	"closed later than it says":      func(s string) string { return s + "}}" },
	"string around a string":         func(s string) string { return encodedTwice(encodedTwice(s)) },
	"string without its quotes":      func(s string) string { return strings.ReplaceAll(s, `"`, `\"`) },
	"for HTML":                       func(s string) string { return html.EscapeString(s) },
	"for a URL":                      url.QueryEscape,
	"base64":                         func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 in lines": func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte(s))[:40] + "\r\n" + base64.StdEncoding.EncodeToString([]byte(s))[40:]
	},
	"hard spaces":    func(s string) string { return strings.ReplaceAll(s, ",", "\u00a0,\u2003") },
	"request before": func(s string) string { return `{"refresh_token":"old"}` + s },
	".NET's string in XML": func(s string) string {
		return `<?xml version="1.0"?><string xmlns="http://tempuri.org/">` + s + "</string>"
	},
}

func TestEveryOddAnswerIsRead(t *testing.T) {
	for name, odd := range oddities {
		for _, kind := range []string{"application/json", "text/html; charset=utf-8", "text/plain", ""} {
			o := lenient.Read([]byte(odd(good)), kind, true)
			if !o.Closed || string(o.Members["access_token"]) != `"at"` || string(o.Members["expires_in"]) != "600" || string(o.Members["refresh_token"]) != `"rt"` {
				t.Errorf("%s as %q: members %s, closed %v; want all three", name, kind, o.Members, o.Closed)
			}
		}
	}
}

func TestCutAnswerHasTheMembersThatStandWhole(t *testing.T) {
	for length := range len(good) {
		o := lenient.Read([]byte(good[:length]), "application/json", false)
		if o.Closed {
			t.Errorf("%s: closed", good[:length])
		}
		for name, end := range map[string]int{
			"access_token": len(`{"access_token":"at"`), "expires_in": len(`{"access_token":"at","expires_in":600,`),
			"refresh_token": len(`{"access_token":"at","expires_in":600,"refresh_token":"rt"`),
		} {
			if _, found := o.Members[name]; found != (length >= end) {
				t.Errorf("%s: has %s: %v; want %v", good[:length], name, found, length >= end)
			}
		}
	}
}

// Behind what cannot be read nothing is looked for: it could belong to something else.
func TestNothingIsTakenOutOfABrokenObject(t *testing.T) {
	for _, body := range []string{
		`{"old":{"access_token":"x","refresh_token":"y"} "a":1}`,
		`{"old":{"access_token":"x","refresh_token":"y"`,
		`{"old":[{"access_token":"x"}`,
		`{"a":b,"access_token":"x"}`,
		"{\"access_token\":\"x\x00y\"}",
		"{\"access_token\":\"x\ny\"}",
		`<!DOCTYPE html><script>var s={"access_token":"x"}</script>`,
		`<html><body>{"access_token":"x"}`,
		`nothing`, `"nothing"`, `null`, `["x"]`, `{}`, ``, ` `, "\x00", "\ufeff",
	} {
		if o := lenient.Read([]byte(body), "application/json", true); o.Members["access_token"] != nil {
			t.Errorf("%q: read %s", body, o.Members)
		}
	}
}

func TestOfSeveralTheTellingOneCounts(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1} {"access_token":"x"} {"access_token":"y"}`: `"x"`,
		`[{"access_token":"x"},{"access_token":"y"}]`:       `"x"`,
		`{"access_token":"x","access_token":"y"};`:          `"y"`, // as encoding/json
	} {
		if got := lenient.Read([]byte(body), "", true).Members["access_token"]; string(got) != want {
			t.Errorf("%s: %s; want %s", body, got, want)
		}
	}
	if o := lenient.Read([]byte(`x {"a":1} {"b":2}`), "", true); string(o.Members["a"]) != "1" {
		t.Errorf("got %s; want the first", o.Members)
	}
}

func TestFormIsRead(t *testing.T) {
	const form = "access_token=a%2Bt&expires_in=600&refresh_token=rt&scope=&token_type=bearer"
	for _, tt := range []struct {
		body, kind string
		complete   bool
		refresh    string
	}{
		{form, "application/x-www-form-urlencoded; charset=utf-8", true, `"rt"`},
		{form + "\n", "text/plain", true, `"rt"`},
		{form, "", true, `"rt"`},
		{"\ufeff" + form, "text/html", true, `"rt"`},
		{form, "application/x-www-form-urlencoded", false, `"rt"`}, // token_type is dropped
		{"access_token=a%2Bt&x=%zz&refresh_token=rt", "text/plain", true, `"rt"`},
		{"access_token=a%2Bt&refresh_token=r", "application/x-www-form-urlencoded", false, ""},
		{"access_token=a%2Bt&refresh_token=rt&refresh_token=last", "text/plain", true, `"last"`},
	} {
		o := lenient.Read([]byte(tt.body), tt.kind, tt.complete)
		if string(o.Members["access_token"]) != `"a+t"` || string(o.Members["refresh_token"]) != tt.refresh || o.Closed != tt.complete {
			t.Errorf("%q as %s, complete %v: %s, closed %v", tt.body, tt.kind, tt.complete, o.Members, o.Closed)
		}
	}
	if o := lenient.Read([]byte(good), "application/x-www-form-urlencoded", true); string(o.Members["access_token"]) != `"at"` {
		t.Errorf("JSON that is called a form: %s", o.Members)
	}
	if o := lenient.Read([]byte("a=b c access_token=x"), "text/plain", true); o.Members != nil {
		t.Errorf("text: %s", o.Members)
	}
}

func TestChildIsReadAsFarAsItStands(t *testing.T) {
	for _, body := range []string{
		`{"ok":true,"data":{"session":` + good + `}}`,
		`{"ok":true,"data":{"session":` + good + `,}}`,
		`{"ok":true,"data":{"session":[` + good + `]}}`,
		`{"ok":true,"data":{"session":` + encodedTwice(good) + `}}`,
		`{"data":` + encodedTwice(`{"session":`+good+`}`) + `}`,
		`{"ok":true,"data":{"session":` + good,
		`{"ok":true,"data" : {"a":1, "session": ` + good + `,"x":"`,
		"\ufeff{\"data\":{\"session\":" + good + "}}<!-- -->",
	} {
		o := lenient.Read([]byte(body), "", true).Child("data").Child("session")
		if !o.Closed || string(o.Members["access_token"]) != `"at"` || string(o.Members["refresh_token"]) != `"rt"` {
			t.Errorf("%s: %s, closed %v", body, o.Members, o.Closed)
		}
	}
	o := lenient.Read([]byte(`{"data":{"session":{"access_token":"at","refresh_token":"r`), "", false).Child("data").Child("session")
	if o.Closed || string(o.Members["access_token"]) != `"at"` || len(o.Members) != 1 {
		t.Errorf("cut in the refresh token: %s, closed %v", o.Members, o.Closed)
	}
	for _, body := range []string{`{"data":1}`, `{"data":null}`, `{"data":"x"}`, `{}`, `{"other":` + good + `}`, `{"other":` + good} {
		if o := lenient.Read([]byte(body), "", true).Child("data"); o.Members != nil {
			t.Errorf("%s: %s", body, o.Members)
		}
	}
}

// What an answer costs is bounded by its length, times a small number: counted in
// allocations, of which a decoder makes some for each value that it reads.
func TestWorkIsBounded(t *testing.T) {
	const size = 1 << 20
	for _, unit := range []string{"{", "[", `{"`, `{"a":`, `{"a":[`, `{"a":1,`, `{"a"}`, `{} `, `{"a":1}`, "{/", "{//\n", "{ ", `"`, `\"`, "a=&", "\x00{", "{\n\"a\":{", "{a:1,", "{'a':'", "{'a':None,", `{a: `, "{a:\t ", "{a:,"} {
		body := []byte(strings.Repeat(unit, size/len(unit)))
		if n := testing.AllocsPerRun(1, func() { lenient.Read(body, "", false) }); n > 2*size {
			t.Errorf("%q a million times: %v allocations", unit, n)
		}
	}
}

// FuzzRead looks for what is read and does not stand in the answer.
func FuzzRead(f *testing.F) {
	for _, odd := range oddities {
		f.Add([]byte(odd(good)), "application/json", true)
	}
	f.Add([]byte("access_token=at&refresh_token=r%74"), "application/x-www-form-urlencoded", false)
	f.Add([]byte(`{"access_token":"a\u0074","refresh_token":"r`), "", false)
	f.Fuzz(func(t *testing.T, body []byte, kind string, complete bool) {
		o := lenient.Read(body, kind, complete)
		if strict := member.Object(body); strict != nil && !maps.EqualFunc(o.Members, strict, bytesEqual) {
			t.Errorf("strict JSON was read as %s", o.Members)
		}
		for name, raw := range o.Members {
			if !json.Valid(raw) {
				t.Errorf("%q is not JSON: %q", name, raw)
			}
			if text := member.Text(raw); plain(text) && !standsIn(body, text) {
				t.Errorf("%q does not stand in the answer", text)
			}
		}
	})
}

func bytesEqual(a, b json.RawMessage) bool { return bytes.Equal(a, b) }

// plain reports whether a token in letters and digits is spelled in one way only, but
// for escapes.
func plain(text string) bool {
	for _, c := range []byte(text) {
		if c < '0' || c > 'z' || c > '9' && c < 'A' || c > 'Z' && c < 'a' {
			return false
		}
	}
	return text != ""
}

// decodesTo reports whether body has text in base64, once or more often.
func decodesTo(body []byte, text string) bool {
	for range 3 {
		body = bytes.Trim(body, " \t\r\n\"[\ufeff")
		body, _ = base64.RawStdEncoding.DecodeString(strings.TrimRight(string(body), "="))
		if bytes.Contains(body, []byte(text)) {
			return true
		}
	}
	return false
}

// standsIn reports whether text is in body as it is, or may be there with escapes or
// in another encoding.
func standsIn(body []byte, text string) bool {
	if bytes.ContainsAny(body, "\\%&") || bytes.Contains(body, []byte("e")) && decodesTo(body, text) || bytes.IndexByte(body, 0) >= 0 || bytes.HasPrefix(body, []byte("\xff\xfe")) || bytes.HasPrefix(body, []byte("\xfe\xff")) {
		return true
	}
	unescaped, err := url.QueryUnescape(string(body))
	return bytes.Contains(body, []byte(text)) || err == nil && strings.Contains(unescaped, text)
}
