package tokenstore

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

// checkAsStored compares what asStored returns with what JSON makes of a record.
func checkAsStored(t *testing.T, rec *Record, version uint64) {
	t.Helper()
	got, err := asStored(rec, version)
	data, wantErr := encode(rec, version)
	var want *Record
	if wantErr == nil {
		want, wantErr = decode(data)
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("error %v; JSON: %v", err, wantErr)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nJSON %s", dump(got), dump(want))
	}
}

func dump(rec *Record) string {
	data, _ := json.Marshal(rec) // it comes from there
	return string(data)
}

func FuzzRecordsAreKeptAsJSONWouldKeepThem(f *testing.F) {
	f.Add("a", "r", "Bearer", "s", "i", "team", []byte(`"red"`), int64(1_800_000_000), int64(1), int64(3600), uint64(7), uint8(0xff))
	f.Add("a", "", "\xff", "\xff", "", "access_token", []byte(`1`), int64(-62135596800), int64(0), int64(-1), uint64(1), uint8(0xff))
	f.Add("\xff", "r", "", "", "", "\xff", []byte(`{"a": "<>&"}`), int64(253402300799), int64(999_999_999), int64(math.MaxInt64), uint64(1)<<53, uint8(0x55))
	f.Add("", "", "", "", "", "", []byte(`nothing`), int64(-62167219200), int64(0), int64(0), uint64(0), uint8(0xaa))
	f.Add("a", "r", "", "", "", "x", []byte("\"\u2028\""), int64(253402300800), int64(0), int64(5), uint64(3), uint8(1))
	f.Fuzz(func(t *testing.T, access, refresh, typ, scope, id, name string, raw []byte, sec, nsec, n int64, version uint64, parts uint8) {
		at := time.Unix(sec, nsec).In(time.FixedZone("", int(n%50_000)))
		rec := &Record{Version: version, RefreshedBy: typ}
		if parts&1 != 0 {
			rec.Tokens = &oauth.TokenPair{
				AccessToken: access, RefreshToken: refresh, TokenType: typ, Scope: scope, IDToken: id, ExpiresIn: n,
				IssuedAt: at, ExpiresAt: at.Add(time.Duration(n)), IDTokenError: errors.New("told"),
			}
			if parts&2 != 0 {
				rec.Tokens.Extra = map[string]json.RawMessage{name: raw}
				rec.Tokens.RefreshExpiresAt = at
			}
			if parts&4 != 0 {
				rec.Tokens.Skew = time.Duration(n)
				rec.Tokens.Extra = map[string]json.RawMessage{}
			}
		}
		if parts&8 != 0 {
			rec.Pending, rec.Dead = &Mark{Token: typ, At: at, Code: scope}, &Mark{Token: refresh}
			rec.RefreshedAt = time.Now()
		}
		if parts&16 != 0 {
			rec.Ancestors, rec.NotBefore = []string{refresh, name}, at
		}
		if parts&32 != 0 {
			rec.Unknown = map[string]json.RawMessage{name: raw}
		}
		if parts&64 != 0 {
			rec.Ancestors = []string{}
		}
		checkAsStored(t, rec, version)
	})
}

func TestRecordsAreKeptAsJSONWouldKeepThem(t *testing.T) {
	now := time.Now() // here, and with a reading of the monotonic clock
	for _, extra := range []string{`"red"`, `7`, `{"a":[1,2]}`, `"a b"`, `"<"`, `"&"`, ` 1`, `nothing`, ``} {
		for _, name := range []string{"team", "scope", "\xff"} {
			mark := &Mark{Token: "t", At: now, Code: "c"}
			checkAsStored(t, &Record{
				Tokens: &oauth.TokenPair{
					AccessToken: "a", IssuedAt: now, ExpiresAt: now, RefreshExpiresAt: now, Skew: -3 * time.Second,
					IDTokenError: errors.New("told"), Extra: map[string]json.RawMessage{name: json.RawMessage(extra)},
				},
				NotBefore: now, RefreshedAt: now, Pending: mark, Refused: mark, Dead: mark, Ancestors: []string{"1"},
			}, 7)
		}
	}
}

func TestEveryFieldOfAPairIsKnownToJSON(t *testing.T) {
	pair := oauth.TokenPair{
		AccessToken: "a", RefreshToken: "r", TokenType: "t", ExpiresIn: 1, ExpiresAt: time.Now(), IssuedAt: time.Now(),
		RefreshAt: time.Now(), RefreshExpiresAt: time.Now(), Scope: "s", IDToken: "i", GrantType: "g", Skew: time.Second,
	}
	data, err := json.Marshal(pair)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range tokenNames {
		delete(fields, name)
	}
	if len(fields) > 0 {
		t.Errorf("the names of %d fields are missing", len(fields))
	}
}
