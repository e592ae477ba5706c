package tokenstore_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestRecordJSON(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	rec := tokenstore.Record{
		Tokens:    &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"},
		Version:   7,
		Pending:   &tokenstore.Mark{Token: "f", At: at},
		NotBefore: at, AskedAt: at,
		Ancestors: []string{"e"}, Replaced: []string{"g"},
		Unknown: map[string]json.RawMessage{
			"zz":      json.RawMessage(`{"k": 1}`),
			"version": json.RawMessage(`9`), // cannot shadow ours
			"dead":    json.RawMessage(`{"token":"x"}`),
		},
	}
	got, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ancestors":["e"],"asked_at":"2026-03-04T04:06:07Z","format":1,"not_before":"2026-03-04T04:06:07Z",` +
		`"pending":{"token":"f","at":"2026-03-04T04:06:07Z"},"replaced":["g"],"tokens":{"access_token":"a","refresh_token":"r"},"version":7,"zz":{"k":1}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(rec.Unknown) != 3 {
		t.Errorf("MarshalJSON changed the record's unknown fields")
	}
}

func TestVersionFromElsewhere(t *testing.T) {
	derived := func(content string) uint64 {
		t.Helper()
		var rec tokenstore.Record
		if err := json.Unmarshal([]byte(content), &rec); err != nil {
			t.Fatalf("%s: %v", content, err)
		}
		return rec.Version
	}
	for content, want := range map[string]uint64{
		`{"version":7,"access_token":"a"}`:                7,
		`{"version":9007199254740991,"access_token":"a"}`: 1<<53 - 1,
	} {
		if got := derived(content); got != want {
			t.Errorf("%s: version %d; want %d", content, got, want)
		}
	}
	seen := make(map[uint64]string)
	for _, content := range []string{
		`{"access_token":"a"}`, `{"access_token":"b"}`, `{"version":0,"access_token":"a"}`, `{"version":-1,"access_token":"a"}`,
		`{"version":"7","access_token":"a"}`, `{"version":7.5,"access_token":"a"}`, `{"version":9007199254740992,"access_token":"a"}`,
	} {
		got := derived(content)
		if got < 1<<52 || got >= 1<<52+1<<51 || got <= tokenstore.NextVersion(0) {
			t.Errorf("%s: derived version %d is out of its range", content, got)
		}
		if other := seen[got]; other != "" {
			t.Errorf("%s and %s have one version", content, other)
		}
		seen[got] = content
	}
}

func TestRecordWithoutTokensIsARecordOnlyInOurFormat(t *testing.T) {
	var rec tokenstore.Record
	if err := json.Unmarshal([]byte(`{"format":1,"version":7,"foo":1}`), &rec); err != nil || rec.Tokens != nil || string(rec.Unknown["foo"]) != "1" {
		t.Errorf("got %v, %v", rec, err)
	}
	rec = tokenstore.Record{Version: 3}
	if err := json.Unmarshal([]byte(`{"foo":1}`), &rec); err == nil || rec.Version != 3 {
		t.Errorf("%v, %v; want an error and nothing changed", rec, err)
	}
}

func TestUnknownFieldsHaveMemoryOfTheirOwn(t *testing.T) {
	data := []byte(`{"format":1,"tokens":{"access_token":"a","team":"red"},"color":"blue"}`)
	var rec tokenstore.Record
	if err := rec.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	clear(data)
	if string(rec.Unknown["color"]) != `"blue"` || string(rec.Tokens.Extra["team"]) != `"red"` || rec.Tokens.AccessToken != "a" {
		t.Errorf("unknown %q, extra %q: they changed with the memory they were read from", rec.Unknown, rec.Tokens.Extra)
	}
}

func TestBareTokenResponseKeepsWhatItHolds(t *testing.T) {
	var rec tokenstore.Record
	content := `{"access_token":"a","refresh_token":"r","expires_at":"2026-03-04T05:06:07Z","account":{"id":1},"version":7}`
	if err := json.Unmarshal([]byte(content), &rec); err != nil {
		t.Fatal(err)
	}
	if rec.Version != 7 || rec.Unknown != nil || string(rec.Tokens.Extra["account"]) != `{"id":1}` || rec.Tokens.ExpiresAt.IsZero() {
		t.Errorf("version %d, unknown %v, extra %v", rec.Version, rec.Unknown, rec.Tokens.Extra)
	}
}

func TestRecordJSONErrorsQuoteNothing(t *testing.T) {
	for what, rec := range unwritable() {
		if data, err := json.Marshal(rec); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %s, %v; want an error without content", what, data, err)
		}
	}
	for what, content := range damage {
		var rec tokenstore.Record
		if err := rec.UnmarshalJSON([]byte(content)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want an error without content", what, err)
		}
	}
}

func FuzzRecordJSON(f *testing.F) {
	for _, content := range damage {
		f.Add([]byte(content))
	}
	for _, content := range []string{
		`{"format":1,"version":7,"tokens":{"access_token":"a","expires_in":"900"},"future":{"x":[1,2.50,"<"]}}`,
		`{"access_token":"a","refresh_token":"r","scope":["a","b"],"pending":{"token":"f","at":"0000-01-01T00:00:00+23:59"}}`,
		`{"format":1,"dead":{"token":"f","at":"9999-12-31T23:59:59-23:59","code":"x"},"not_before":"9999-12-31T23:59:59-01:00"}`,
		`{"format":2,"tokens":{}}`, `{"format":1,"ancestors":["a",null]}`, `{"format":1,"tokens":null,"access_token":"a"}`,
		`{"tokens":{"refresh_token":"r","expires_at":"0000-01-01T00:00:00+23:59","a":1,"a":2}}`, `{"format":1e0,"é":null,"\u0000":"\ud800"}`,
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var rec tokenstore.Record
		if err := rec.UnmarshalJSON(content); err != nil {
			if !reflect.DeepEqual(rec, tokenstore.Record{}) {
				t.Fatalf("an error and a record")
			}
			return
		}
		if rec.Version == 0 || rec.Version >= 1<<53 {
			t.Fatalf("version %d", rec.Version)
		}
		data, err := rec.MarshalJSON()
		if err != nil {
			t.Fatalf("a record that was read cannot be written: %v", err)
		}
		var again tokenstore.Record
		if err := again.UnmarshalJSON(data); err != nil {
			t.Fatalf("a record that was written cannot be read: %v", err)
		}
		rewritten, err := again.MarshalJSON()
		if err != nil || string(rewritten) != string(data) {
			t.Fatalf("written %s\nand then %s, %v", data, rewritten, err)
		}
		if !reflect.DeepEqual(spelled(t, &again), spelled(t, &rec)) {
			t.Fatalf("read %+v\nand then %+v", spelled(t, &rec), spelled(t, &again))
		}
	})
}

// spelled returns a copy of rec whose raw JSON is spelled in one way.
func spelled(t *testing.T, rec *tokenstore.Record) *tokenstore.Record {
	rec = rec.Clone()
	fields := []map[string]json.RawMessage{rec.Unknown}
	if rec.Tokens != nil {
		fields = append(fields, rec.Tokens.Extra)
	}
	for _, m := range fields {
		for k, raw := range m {
			data, err := json.Marshal(raw)
			if err != nil {
				t.Fatalf("field %q: %v", k, err)
			}
			m[k] = data
		}
	}
	return rec
}

func TestUnreadableFormatIsNotDamage(t *testing.T) {
	for _, format := range []string{"2", "1.5", `"1"`, "{}", "true", "99999999999999999999"} {
		var rec tokenstore.Record
		err := json.Unmarshal([]byte(`{"format":`+format+`,"tokens":{"access_token":"a"}}`), &rec)
		if !errors.Is(err, tokenstore.ErrNewerFormat) {
			t.Errorf("format %s: %v; want ErrNewerFormat", format, err)
		}
	}
	for _, format := range []string{"1", "0", "null"} {
		var rec tokenstore.Record
		if err := json.Unmarshal([]byte(`{"format":`+format+`,"tokens":{"access_token":"a"}}`), &rec); err != nil {
			t.Errorf("format %s: %v", format, err)
		}
	}
}
