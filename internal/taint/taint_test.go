package taint_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/internal/outside/marks"
	"github.com/evertoken/evertoken/internal/taint"
)

// A report takes the place of a test that should fail.
type report struct {
	testing.TB
	said []string
}

func (r *report) Helper() {}
func (r *report) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

const value = `s3cret/+"of alice`

func TestSecretIsFoundInEveryForm(t *testing.T) {
	for name, text := range map[string]string{
		"as it is": value, "URL": url.QueryEscape(value), "path": url.PathEscape(value), "JSON": `"s3cret/+\"of alice"`, "Go": fmt.Sprintf("%q", value),
		"hex": fmt.Sprintf("%x", value), "HEX": fmt.Sprintf("%X", value), "bytes": fmt.Sprint([]byte(value)),
		"base64": base64.StdEncoding.EncodeToString([]byte(value)), "basic": base64.StdEncoding.EncodeToString([]byte("id:" + value)), "basic 2": base64.URLEncoding.EncodeToString([]byte("idx:" + value + ":")),
		"basic 3": base64.StdEncoding.EncodeToString([]byte("idxy:" + value)),
	} {
		var b taint.Book
		b.Secret("password", value)
		b.Shown("out", "x "+text+" y")
		var r report
		if b.Check(&r, 1, 1); len(r.said) != 1 || !strings.Contains(r.said[0], "password") || strings.Contains(r.said[0], "s3cret") {
			t.Errorf("%s: reported %q; want one report without the secret", name, r.said)
		}
	}
}

func TestHalfATokenIsFound(t *testing.T) {
	var b taint.Book
	b.Secret("token", "eyJhbGciOiJ.eyJzdWIiOiJ.c2lnbmF0dXJl")
	b.Shown("out", "signature c2lnbmF0dXJl")
	var r report
	if b.Check(&r, 1, 1); len(r.said) != 1 {
		t.Errorf("reported %q", r.said)
	}
}

func TestColoursAreToldApart(t *testing.T) {
	text := marks.Text("x")
	for _, tt := range []struct {
		name    string
		add     func(*taint.Book)
		reports int
	}{
		{"a mark", func(b *taint.Book) { b.Shown("out", text) }, 1},
		{"a mark, escaped", func(b *taint.Book) { b.Shown("out", outside.Show(text)+"\r\n\n") }, 0},
		{"a mark, for a program", func(b *taint.Book) { b.PassedOn("out", text) }, 0},
		{"a secret, for a program", func(b *taint.Book) { b.PassedOn("out", value) }, 1},
		{"a secret that belongs there", func(b *taint.Book) { b.PassedOn("out", value, "password") }, 0},
		{"another secret's place", func(b *taint.Book) { b.PassedOn("out", value, "code") }, 1},
		{"its server", func(b *taint.Book) { b.Request("auth.test", value) }, 0},
		{"another server", func(b *taint.Book) { b.Request("evil.test", value) }, 1},
		{"one that was told later", func(b *taint.Book) { b.Secret("password", value, "api.test"); b.Request("api.test", value) }, 0},
		{"a log", func(b *taint.Book) { fmt.Fprint(b, value) }, 1},
		{"an error", func(b *taint.Book) { b.Print("err", errors.New(value)) }, 1},
		{"an open value", func(b *taint.Book) { b.PrintOpen("struct", struct{ A string }{value}) }, 1},
	} {
		var b taint.Book
		b.Secret("password", value, "auth.test")
		tt.add(&b)
		var r report
		if b.Check(&r, 1, 1); len(r.said) != tt.reports {
			t.Errorf("%s: reported %q; want %d", tt.name, r.said, tt.reports)
		}
	}
	var r report
	if new(taint.Book).Check(&r, 1, 1); len(r.said) != 1 {
		t.Error("an empty run passes")
	}
}

func TestCausesOfAnErrorHaveNoSecret(t *testing.T) {
	for name, err := range map[string]error{
		"wrapped": hiding{errors.New(value)}, "one of two": hiding{errors.Join(errors.New("x"), errors.New(value))},
		"deep": hiding{hiding{errors.New(value)}},
	} {
		var b taint.Book
		b.Secret("password", value)
		b.PrintError("err", nil)
		b.PrintError("err", err)
		var r report
		if b.Check(&r, 1, 2); len(r.said) == 0 || !strings.Contains(r.said[0], "a cause") {
			t.Errorf("%s: reported %q; want a report of a cause", name, r.said)
		}
	}
}

// hiding does not show what it wraps.
type hiding struct{ error }

func (hiding) Error() string   { return "failed" }
func (h hiding) Unwrap() error { return h.error }

func TestSameOutputIsLookedAtOnce(t *testing.T) {
	var b taint.Book
	b.Secret("password", value, "a.test")
	for range 3 {
		b.Shown("out", value)
		b.Shown("elsewhere", value)
		b.Request("a.test", value)
		b.Request("b.test", value) // of another server is another output
	}
	var r report
	if b.Check(&r, 1, 12); len(r.said) != 2 {
		t.Errorf("reported %q; want one of what was shown and one of b.test", r.said)
	}
}

func TestServersAreToldApartAndHostileOnesRepeatWhatTheyGet(t *testing.T) {
	var b taint.Book
	b.Secret("password", value, "https://a.test")
	client := &http.Client{Transport: &taint.Servers{Book: &b, At: map[string]http.RoundTripper{"https://a.test": taint.Hostile{Status: http.StatusOK}}, Else: taint.Hostile{}}}
	resp, err := client.PostForm("https://a.test/x", url.Values{"password": {value}})
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		Detail string `json:"detail"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil || !strings.Contains(said.Detail, value) || !strings.Contains(resp.Header.Get("Location"), url.QueryEscape(value)) {
		t.Errorf("answered %q, %v", said.Detail, err)
	}
	if _, err := client.PostForm("https://b.test/x", url.Values{"password": {value}}); err == nil {
		t.Error("a server that is not reached answers")
	}
	var r report
	if b.Check(&r, 1, 2); len(r.said) != 1 || !strings.Contains(r.said[0], "https://b.test") {
		t.Errorf("reported %q; want what b.test got", r.said)
	}
}

// Key, Numbers, Empty and Hidden are types that a list may have.
type (
	Key     struct{ d *big.Int }
	Numbers struct{ A any }
	Empty   struct{ N int }
	Hidden  struct{ p atomic.Pointer[string] }
)

func (Key) Format(w fmt.State, _ rune) { fmt.Fprint(w, "key") }

func (*Hidden) Format(w fmt.State, _ rune) { fmt.Fprint(w, "hidden") }

func TestTypesThatNobodyPrintsAreReported(t *testing.T) {
	list := filepath.Join(t.TempDir(), "x.txt")
	lines := "func Key(x string)\ntype Other struct\ntype Other struct, N int\ntype I interface\ntype F func(a int, b int)\ntype N uint8\n" +
		"type A = taint_test.Empty\ntype B = taint_test.Hidden\ntype C = taint_test.Key\ntype D = taint_test.Numbers\n"
	if err := os.WriteFile(list, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	var b taint.Book
	d, secret := []byte("\x01s3cret-number-of-a-key-s3cret"), value
	b.Key("key", d)
	b.Secret("password", secret)
	want := func(when string, without map[string]string, names ...string) {
		t.Helper()
		var r report
		b.CheckTypes(&r, list, without)
		said := strings.Join(r.said, "\n")
		for _, name := range names {
			if !strings.Contains(said, name) {
				t.Errorf("%s: reported %q; want %s", when, said, name)
			}
		}
		if len(r.said) != len(names) {
			t.Errorf("%s: reported %q; want %d", when, said, len(names))
		}
	}
	want("nothing printed", nil, "x.Other", "taint_test.Empty", "taint_test.Hidden", "taint_test.Key", "taint_test.Numbers")
	hidden := new(Hidden)
	hidden.p.Store(&secret)
	b.Print("printed", Key{new(big.Int).SetBytes(d)}, hidden, &Numbers{map[string][]any{"x": {&secret}}}, Empty{1})
	want("printed", map[string]string{"x.Other": "why"}, "taint_test.Empty")
	want("excused", map[string]string{"x.Other": "why", "taint_test.Empty": "a number"})
	want("wrongly excused", map[string]string{"x.Other": "why", "taint_test.Empty": "a number", "taint_test.Key": "why", "x.Gone": "why"}, "taint_test.Key", "x.Gone")
}
