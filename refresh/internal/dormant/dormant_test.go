package dormant_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/dormant"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/tokenstore"
)

// Every field of a record and its pair is filled, so that a new one which is not
// packed fails here.
func TestRestKeepsEveryFieldOfASession(t *testing.T) {
	key := dpopKeyOf(t)
	n := 0
	var fill func(v reflect.Value, path string)
	fill = func(v reflect.Value, path string) {
		n++
		switch x := v.Addr().Interface().(type) {
		case *time.Time:
			*x = time.Date(2026, 1, n, 2, 3, 4, n, time.Local)
			return
		case *oauth.DPoPKey:
			*x = key
			return
		case *json.RawMessage:
			*x = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
			return
		case **tokenstore.Mark, *error:
			return // a session with one of these does not rest
		}
		switch v.Kind() {
		case reflect.String:
			v.SetString(fmt.Sprintf("%s %d", path, n))
		case reflect.Int64:
			v.SetInt(int64(-n))
		case reflect.Uint64:
			v.SetUint(uint64(n))
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), path)
		case reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0), path)
			fill(v.Index(1), path)
		case reflect.Map:
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value, path)
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf(path), value)
		default:
			t.Fatalf("%s: a %v; teach this test and pack about it", path, v.Type())
		}
	}
	rec := new(tokenstore.Record)
	fill(reflect.ValueOf(rec).Elem(), "record")

	now := moment.Of(time.Now())
	outlook := session.Outlook{Due: now.Add(-time.Hour), Stamp: session.Stamp{Value: 1 << 63, Known: true}, Magnitude: 20}
	full := dormant.Session{Used: now.Add(time.Minute), Dormant: session.Dormant{
		Generation: 300,
		Renewed:    time.Date(2026, 5, 6, 7, 8, 9, 10, time.Local),
		Ends:       moment.Never,
		Deferred:   now,
		Reserved:   true,
		Notified:   true,
		Reported:   "hash",
		Record:     rec,
	}}
	bare := dormant.Session{Dormant: session.Dormant{Record: &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a"}}}}
	for name, want := range map[string]dormant.Session{"full": full, "bare": bare} {
		packed := dormant.Pack(want, outlook)
		if got := dormant.Outlook(packed); got != outlook {
			t.Errorf("%s: the outlook %+v became %+v", name, outlook, got)
		}
		got := dormant.Unpack(packed)
		if got.Record.Tokens.DPoPKey.Thumbprint() != want.Record.Tokens.DPoPKey.Thumbprint() {
			t.Errorf("%s: another DPoP key", name)
		}
		got.Record.Tokens.DPoPKey = want.Record.Tokens.DPoPKey
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the session rested as\n%+v\nand woke as\n%+v", name, asText(want), asText(got))
		}
		if unknown := dormant.Outlook(dormant.Pack(want, session.Outlook{Due: moment.Never})); unknown.Stamp.Known || unknown.Due != moment.Never {
			t.Errorf("%s: woke with what was not set: %+v", name, unknown)
		}
	}
}

func dpopKeyOf(t *testing.T) (key oauth.DPoPKey) {
	t.Helper()
	const jwk = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`
	if err := json.Unmarshal([]byte(jwk), &key); err != nil {
		t.Fatal(err)
	}
	return key
}

func asText(d dormant.Session) string {
	var b strings.Builder
	v := reflect.ValueOf(d.Record.Tokens).Elem()
	for i := range v.NumField() {
		fmt.Fprintf(&b, "%s=%v ", v.Type().Field(i).Name, v.Field(i))
	}
	d.Record.Tokens = nil
	fmt.Fprintf(&b, "%+v %+v", d, *d.Record)
	return b.String()
}
