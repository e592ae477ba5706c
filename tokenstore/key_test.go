package tokenstore_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
)

// knownKey is the key of the bytes 0 to 31, for tests whose expectations were
// computed elsewhere.
const knownKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func TestKeyIsReadBackFromItsText(t *testing.T) {
	key := tokenstore.NewKey()
	text := key.Encode()
	if len(text) != 44 {
		t.Errorf("the text has %d characters; want 44", len(text))
	}
	for _, text := range []string{text, text + "\n", " \t" + text + "\r\n"} {
		got, err := tokenstore.ParseKey(text)
		if err != nil || got.Encode() != key.Encode() || got.ID() != key.ID() {
			t.Errorf("ParseKey returned %v, %v; want %v", got, err, key)
		}
	}
}

func TestParseKeyRefusesWhatIsNoKeyAndQuotesNothing(t *testing.T) {
	text := tokenstore.NewKey().Encode()
	for what, text := range map[string]string{
		"empty":              "",
		"cut":                text[:42],
		"without padding":    text[:43],
		"31 bytes":           text[:40] + "AA==",
		"33 bytes":           strings.Repeat("A", 44),
		"too long":           "AAAA" + text,
		"two":                text + text,
		"broken into lines":  text[:20] + "\n" + text[20:],
		"another alphabet":   "__" + text[2:],
		"hex":                strings.Repeat("5e", 32),
		"a spare bit is set": knownKey[:42] + "9=",
	} {
		key, err := tokenstore.ParseKey(text)
		if err == nil || key.Encode() != "" {
			t.Errorf("%s: ParseKey returned %v, %v; want an error and no key", what, key, err)
			continue
		}
		if text != "" && strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "Key.Encode") {
			t.Errorf("%s: error %q; want one that says what to give, without the text", what, err)
		}
	}
}

func TestKeyIDNamesItWithoutRevealingIt(t *testing.T) {
	key, err := tokenstore.ParseKey(knownKey)
	if err != nil {
		t.Fatal(err)
	}
	// SHA-256 of the label, a zero byte and the key, as Python computes it.
	if got, want := key.ID(), "ea44045fbf116a51"; got != want {
		t.Errorf("ID %s; want %s", got, want)
	}
	a, b := tokenstore.NewKey(), tokenstore.NewKey()
	if a.ID() == b.ID() || a.Encode() == b.Encode() {
		t.Errorf("two new keys are the same: %v, %v", a, b)
	}
	if zero := (tokenstore.Key{}); zero.ID() != "" || zero.Encode() != "" {
		t.Errorf("no key has the ID %q", zero.ID())
	}
}

// printKeys prints the key in every way that a program may, by mistake.
func printKeys(key tokenstore.Key) string {
	type inside struct {
		Exported   tokenstore.Key
		unexported tokenstore.Key
		list       []tokenstore.Key
	}
	in := inside{key, key, []tokenstore.Key{key}}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%p"} {
		for _, v := range []any{key, &key, in, &in, in.list, map[string]tokenstore.Key{"k": key}, tokenstore.Keys(key)} {
			fmt.Fprintf(&printed, verb+"\n", v)
		}
	}
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&printed, nil)), slog.New(slog.NewJSONHandler(&printed, nil))} {
		log.Info("x", "key", key, "pointer", &key, "inside", in, "list", in.list)
	}
	for _, v := range []any{key, &key, in, in.list} {
		data, err := json.Marshal(v)
		fmt.Fprintf(&printed, "%s %v\n", data, err)
	}
	return printed.String()
}

func TestKeyPrintsRedacted(t *testing.T) {
	key := tokenstore.NewKey()
	printed := printKeys(key)
	for _, secret := range spellings(t, key) {
		if strings.Contains(printed, secret) {
			t.Errorf("the key was printed: %s", printed)
		}
	}
}

func TestKeyPrintsItsID(t *testing.T) {
	key := tokenstore.NewKey()
	want := "tokenstore.Key{" + key.ID() + "}"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, key); got != want {
			t.Errorf("%s prints %s; want %s", verb, got, want)
		}
	}
	if got := fmt.Sprint(tokenstore.Key{}); got != "tokenstore.Key{}" {
		t.Errorf("no key prints as %s", got)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key)
	if !strings.Contains(log.String(), `"key":"`+want+`"`) {
		t.Errorf("logged %s; want %s in it", log.String(), want)
	}
}

// spellings returns the ways in which a key may show.
func spellings(t *testing.T, key tokenstore.Key) []string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key.Encode())
	if err != nil {
		t.Fatal(err)
	}
	const part = 6 // bytes: enough not to appear by chance
	return []string{
		key.Encode()[:8], base64.RawURLEncoding.EncodeToString(raw)[:8], string(raw[:part]),
		hex.EncodeToString(raw[:part]), strings.ToUpper(hex.EncodeToString(raw[:part])),
		strings.Trim(fmt.Sprint(raw[:part]), "[]"), strings.Trim(fmt.Sprintf("%#v", raw[:part]), "[]byte{}"),
	}
}

func TestKeyRefusesToBeWrittenAlongWithOtherThings(t *testing.T) {
	key := tokenstore.NewKey()
	for what, v := range map[string]any{
		"a key":        key,
		"a pointer":    &key,
		"a field":      struct{ Key tokenstore.Key }{key},
		"a list":       []tokenstore.Key{key},
		"the zero key": tokenstore.Key{},
	} {
		if data, err := json.Marshal(v); err == nil || !strings.Contains(err.Error(), "Key.Encode") {
			t.Errorf("JSON of %s: %s, %v; want an error that says what to do", what, data, err)
		}
	}
}
