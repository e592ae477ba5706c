package rawjson_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/rawjson"
)

// objects are where a reader of its own could go wrong.
var objects = []string{
	``, ` `, `null`, `[]`, `"{}"`, `{`, `{}`, " {\t}\r\n", `{}{}`, `{"a":1,}`, `{"a"}`,
	`{"access_token":"a","expires_in":3600,"scope":null}`,
	"{ \"a\" : 1 , \"b\"\n:\t[ 1 , {\"c\":\"}]\\\"\"} ] , \"d\" :\ttrue }",
	`{"a":1,"a":"last"}`, `{"":"","A":1,"a":2}`,
	`{"\u0061ccess_token":"escaped","access\\_token":"\\\"","é":"ü","\ud800":"\ud83d\ude00"}`,
	"{\"\xff\":\"\xff\"}", "{\"a\":\"\x01\"}", "{\"a\":\"\x7f\"}",
	`{"a":{"b":{"c":[[[]],{},"[",-1.5e+7,false,null]}},"b":-0}`,
	`{"n":1.0` + " \n" + `,"m":[1 ,2 ] }`,
	strings.Repeat(`{"a":`, 50) + `1` + strings.Repeat(`}`, 50),
	`{"a":` + strings.Repeat(`[`, 20000) + strings.Repeat(`]`, 20000) + `}`,
}

func checkObject(t *testing.T, data []byte) {
	t.Helper()
	var want map[string]json.RawMessage
	if json.Unmarshal(data, &want) != nil {
		want = nil
	}
	got := rawjson.Object(data)
	same := func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }
	if (got == nil) != (want == nil) || !maps.EqualFunc(got, want, same) {
		t.Fatalf("Object(%q) = %q; encoding/json says %q", data, got, want)
	}
	for name, raw := range got {
		if cap(raw) != len(raw) {
			t.Errorf("appending to %q would write into the value behind it", name)
		}
		checkText(t, raw)
	}
	checkText(t, data)
}

func checkText(t *testing.T, raw []byte) {
	t.Helper()
	var want string
	if json.Unmarshal(raw, &want) != nil {
		want = ""
	}
	if got := rawjson.Text(raw); got != want {
		t.Errorf("Text(%q) = %q; encoding/json says %q", raw, got, want)
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		list = nil
	}
	if got := rawjson.Texts(raw); !slices.Equal(got, list) || (got == nil) != (list == nil) {
		t.Errorf("Texts(%q) = %q; encoding/json says %q", raw, got, list)
	}
}

func TestEveryObjectIsReadAsEncodingJSONReadsIt(t *testing.T) {
	for _, text := range objects {
		checkObject(t, []byte(text))
	}
	for _, text := range []string{`"plain"`, `""`, `"`, ` "spaced" `, `"a"b"`, `"a\"`, `"\u0041"`, `"é"`, `12`, `x`, `nullx`,
		`[]`, `["a"]`, `["a","b",""]`, `["a" ,"b"]`, `["a",]`, `["a"`, `["a"]]`, `["a",1]`, `["\u0041","é"]`, `[null,"a"]`, `[","]`, `["]`, `["a""b"]`, `["a","`} {
		checkText(t, []byte(text))
	}
}

func TestATokenResponseCostsItsMap(t *testing.T) {
	data := []byte(`{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r","scope":"a b"}`)
	if n := testing.AllocsPerRun(100, func() { rawjson.Object(data) }); n > 2 {
		t.Errorf("%v allocations; want the map's two at most", n)
	}
}

func FuzzObject(f *testing.F) {
	for _, text := range objects {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkObject(t, data) })
}
