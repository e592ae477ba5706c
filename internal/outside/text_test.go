package outside

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/evertoken/evertoken/internal/outside/marks"
)

func TestF94_WhatATerminalWouldObeyIsShown(t *testing.T) {
	for _, m := range marks.All {
		if got, want := Show("a"+m.Raw+"b"), "a"+m.Shown+"b"; got != want {
			t.Errorf("%s: got %q; want %q", m.Name, got, want)
		}
		want := "a" + m.Shown + "b"
		if m.Raw == "\n" || m.Raw == "\t" {
			want = "a" + m.Raw + "b"
		}
		if got := Lines("a" + m.Raw + "b"); got != want {
			t.Errorf("%s, with lines: got %q; want %q", m.Name, got, want)
		}
	}
	for s, want := range map[string]string{"a\r\nb": "a\r\nb", "a\r\r\nb": "a\\r\r\nb", "\r": `\r`, "a\n\rb": "a\n\\rb"} {
		if got := Lines(s); got != want {
			t.Errorf("%q: got %q; want %q", s, got, want)
		}
	}
	for _, s := range []string{"", "plain", `C:\Users`, "日本語 ünï Ω мир שלום مرحبا ไทย", "🎉 é ½ € ~", "a\u0301"} {
		if Show(s) != s || Lines(s) != s {
			t.Errorf("%q is shown as %q", s, Show(s))
		}
	}
}

func TestTextIsShownUnderEveryVerb(t *testing.T) {
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, Text("a\x1b")); got != `a\x1b` {
			t.Errorf("%s: got %q", verb, got)
		}
	}
	if got := fmt.Sprintf("%-6s|%6s|", Text("a"), Text("b")); got != "a     |     b|" {
		t.Errorf("with a width: got %q", got)
	}
}

func TestF94_WriterEscapesWhateverTheCut(t *testing.T) {
	var text, want strings.Builder
	for _, m := range marks.All {
		text.WriteString("é" + m.Raw + "日\r\n🎉")
		want.WriteString("é" + Lines(m.Raw) + "日\r\n🎉")
	}
	for size := 1; size < 9; size++ {
		var out strings.Builder
		w := NewWriter(&out)
		for rest := []byte(text.String()); len(rest) > 0; {
			n := min(size, len(rest))
			if wrote, err := w.Write(rest[:n]); wrote != n || err != nil {
				t.Fatal(wrote, err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil || out.String() != want.String() {
			t.Errorf("%d bytes at a time: got %q, %v; want %q", size, out.String(), err, want.String())
		}
	}
	var out strings.Builder
	w := NewWriter(&out)
	_, _ = w.Write([]byte("a\xe2\x80"))
	if err := w.Close(); err != nil || out.String() != `a\xe2\x80` {
		t.Errorf("cut at the end: got %q, %v", out.String(), err)
	}
}

func TestF94_LogsHoldNothingThatATerminalObeys(t *testing.T) {
	for _, m := range marks.All {
		var out bytes.Buffer
		raw := naked{&out}
		l := NewLogger(NewLogger(slog.New(raw))).With("with", m.Raw).WithGroup("g" + m.Raw)
		l.Info("message "+m.Raw, "string", m.Raw, "text", Text(m.Raw), "error", errors.New(m.Raw), "number", 5,
			slog.Group("group", "inner", m.Raw), "list", Texts(m.Raw), "key "+m.Raw, 1)
		if strings.Contains(out.String(), m.Raw) || !strings.Contains(out.String(), m.Shown) {
			t.Errorf("%s: logged %q", m.Name, out.String())
		}
	}
	// A nil pointer for an error is the handler's matter.
	var none *json.SyntaxError
	NewLogger(slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))).Info("x", "error", error(none))
}

// Texts stands for a type that says what to log.
type Texts string

func (t Texts) LogValue() slog.Value { return slog.StringValue(string(t)) }

// naked is a handler that escapes nothing.
type naked struct{ out *bytes.Buffer }

func (naked) Enabled(context.Context, slog.Level) bool { return true }
func (n naked) Handle(_ context.Context, r slog.Record) error {
	n.out.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool { fmt.Fprint(n.out, " ", a.Key, "=", a.Value.String()); return true })
	return nil
}
func (n naked) WithAttrs(attrs []slog.Attr) slog.Handler {
	fmt.Fprint(n.out, attrs)
	return n
}
func (n naked) WithGroup(name string) slog.Handler {
	n.out.WriteString(name)
	return n
}

func TestErrorIsFoundInWhatIsShownOfIt(t *testing.T) {
	cause := errors.New("a\x1b")
	shown := Error(fmt.Errorf("b: %w", cause))
	if shown.Error() != `b: a\x1b` || !errors.Is(shown, cause) || fmt.Sprintf("%+v %q", shown, shown) != `b: a\x1b b: a\x1b` {
		t.Errorf("got %+v", shown)
	}
	if plain := errors.New("plain"); Error(plain) != plain || Error(nil) != nil {
		t.Error("an error without anything to escape was changed")
	}
}

func FuzzShow(f *testing.F) {
	for _, m := range marks.All {
		f.Add("a" + m.Raw + "b")
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown := Show(s)
		for _, r := range shown {
			if !plain(r) {
				t.Fatalf("%q is shown with %U", s, r)
			}
		}
		if !utf8.ValidString(shown) || Show(shown) != shown || Lines(shown) != shown {
			t.Errorf("%q: shown as %q, and again as %q", s, shown, Show(shown))
		}
		if len(shown) > 10*len(s) {
			t.Errorf("%d bytes are shown as %d", len(s), len(shown))
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(JSON(data)), &got); err != nil || got != want {
			t.Errorf("%q: JSON is %q, %v", s, got, err)
		}
		var out strings.Builder
		w := NewWriter(&out)
		for i := range len(s) {
			_, _ = w.Write([]byte{s[i]})
		}
		if _ = w.Close(); out.String() != Lines(s) {
			t.Errorf("%q byte by byte: got %q; want %q", s, out.String(), Lines(s))
		}
	})
}
