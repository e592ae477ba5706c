package refresh

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/evertoken/evertoken/oauth"
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

	plain := rec.Clone()
	plain.Ancestors = []string{tokenstore.Fingerprint("a"), tokenstore.Fingerprint("b")}
	bare := &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a"}}
	for name, rec := range map[string]*tokenstore.Record{"full": rec, "plain ancestors": plain, "bare": bare} {
		for _, config := range []string{"ours", rec.RefreshedBy} {
			want := restOf{
				outlook:    outlook{1 << 60, never, stamp{1 << 63, true}, 20},
				until:      -5,
				generation: 300,
				used:       -time.Hour,
				renewed:    time.Date(2026, 5, 6, 7, 8, 9, 10, time.Local),
				notified:   true,
				deferred:   true,
				ticket:     true,
				reported:   "hash",
				rec:        rec,
			}
			got := unpackRest(want.pack(config), config)
			if got.rec.Tokens.DPoPKey.Thumbprint() != want.rec.Tokens.DPoPKey.Thumbprint() {
				t.Errorf("%s: another DPoP key", name)
			}
			got.rec.Tokens.DPoPKey = want.rec.Tokens.DPoPKey
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: the session rested as\n%+v\nand woke as\n%+v", name, asJSON(t, want.rec), asJSON(t, got.rec))
			}
			want.notified, want.deferred, want.ticket, want.reported, want.stamp = false, false, false, "", stamp{}
			if got := unpackRest(want.pack(config), config); got.notified || got.deferred || got.ticket || got.reported != "" || got.stamp.known {
				t.Errorf("%s: woke with what was not set: %+v", name, got.outlook)
			}
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

func asJSON(t *testing.T, rec *tokenstore.Record) string {
	t.Helper()
	var b strings.Builder
	v := reflect.ValueOf(rec.Tokens).Elem()
	for i := range v.NumField() {
		fmt.Fprintf(&b, "%s=%v ", v.Type().Field(i).Name, v.Field(i))
	}
	fmt.Fprintf(&b, "%v %v %v", rec.Ancestors, rec.Unknown, rec.RefreshedAt)
	return b.String()
}

// What there is of each session of a pool, besides its string.
func TestASessionAtRestIsSmall(t *testing.T) {
	if got := unsafe.Sizeof(Manager{}) + unsafe.Sizeof(run{}); got > 160 {
		t.Errorf("a Manager and its run take %d bytes; there are a million of them", got)
	}
}

// Which of two equal tokens is the newer one, only the generation tells.
func TestASessionWakesWithTheGenerationItRestedWith(t *testing.T) {
	m := newManager(newSetup(Config{}), "default", nil)
	m.awake.generation = 7
	m.awake.rec = &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}}
	m.awake.show(m.awake.rec.Tokens)
	c, s := m.unpack(m.awake.pack())
	if c.generation != 7 || s.generation != 7 {
		t.Errorf("woke with generations %d and %d; want 7", c.generation, s.generation)
	}
}
