package tokenstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestWrongKeySaysSoAndDestroysNothing(t *testing.T) {
	f := openFile(t, testdir.New(t))
	right, wrong, other := tokenstore.NewKey(), tokenstore.NewKey(), tokenstore.NewKey()
	rec := spentRecord()
	rec.Version = mustSet(t, newSealed(f, right), "default", rec)
	before := readFile(t, filepath.Join(f.Dir(), "default.json"))

	s := newSealed(f, wrong, other)
	_, err := s.Get(t.Context(), "default")
	want := fmt.Sprintf(`tokenstore: read session "default": session cannot be opened: it is sealed with key %q, and the keys at hand are %s, %s: `+
		`put that key back; if it is lost for good, delete the session from the store beneath and log in again`, right.ID(), wrong.ID(), other.ID())
	if err == nil || err.Error() != want {
		t.Errorf("Get: %v\nwant %s", err, want)
	}
	wantSealedError(t, "Get", err)
	_, err = s.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("b")})
	if !isConflict(err) {
		t.Errorf("Set of a new session over one that cannot be opened: %v; want ErrConflict", err)
	}
	if n, err := s.Cleanup(t.Context()); n != 0 || err != nil {
		t.Errorf("Cleanup: %d, %v; want the session left alone", n, err)
	}
	if n, err := s.Reseal(t.Context()); n != 0 || !errors.Is(err, tokenstore.ErrSealed) {
		t.Errorf("Reseal: %d, %v; want the session left alone, and said so", n, err)
	}
	if names, err := s.Names(t.Context()); len(names) != 1 || err != nil {
		t.Errorf("Names: %q, %v; want the session listed", names, err)
	}
	if after := readFile(t, filepath.Join(f.Dir(), "default.json")); after != before || len(glob(t, f.Dir(), "*.damaged*")) > 0 {
		t.Errorf("the session was changed")
	}
	mustGet(t, newSealed(f, right), "default")
}

func TestDiscardDeletesWhatCannotBeOpenedAndNothingElse(t *testing.T) {
	inner := new(tokenstore.Memory)
	s := newSealed(inner, tokenstore.NewKey())
	rec := &tokenstore.Record{Tokens: newPair("a")}
	mustSet(t, s, "ours", rec)
	mustSet(t, newSealed(inner, tokenstore.NewKey()), "of a lost key", rec)
	mustSet(t, inner, "in the clear", rec)
	newer := json.RawMessage(`{"v":1000}`)
	mustSet(t, inner, "of a newer version", &tokenstore.Record{Unknown: map[string]json.RawMessage{"sealed": newer}})
	for name, want := range map[string]error{
		"ours": tokenstore.ErrConflict, "of a lost key": nil, "in the clear": nil, "of a newer version": tokenstore.ErrNewerFormat,
		"absent": tokenstore.ErrNotFound, "": tokenstore.ErrInvalidName,
	} {
		if err := s.Discard(t.Context(), name); !errors.Is(err, want) {
			t.Errorf("Discard of a record %s: %v; want %v", name, err, want)
		}
	}
	if names, err := inner.Names(t.Context()); !slices.Equal(names, []string{"of a newer version", "ours"}) || err != nil {
		t.Errorf("%q are left, %v; want what opens, and what a newer version has sealed", names, err)
	}
}

// A keyring that is locked does not cost the sessions that it would open.
func TestDiscardWithoutTheKeysDeletesNothing(t *testing.T) {
	inner := new(tokenstore.Memory)
	mustSet(t, newSealed(inner, tokenstore.NewKey()), "default", &tokenstore.Record{Tokens: newPair("a")})
	locked := errors.New("the keyring is locked")
	s := tokenstore.NewSealed(inner, func(context.Context) ([]tokenstore.Key, error) { return nil, locked })
	if err := s.Discard(t.Context(), "default"); !errors.Is(err, locked) {
		t.Errorf("Discard: %v; want the reason", err)
	}
	mustGet(t, inner, "default")
}

func TestSealedSessionCannotBePassedOffAsAnother(t *testing.T) {
	key := tokenstore.NewKey()
	for _, names := range [][2]string{{"a", "b"}, {"a", "a "}, {"a", "A"}, {"a\x01b", "a"}, {"v1", "1"}} {
		inner := new(tokenstore.Memory)
		s := newSealed(inner, key)
		mustSet(t, s, names[0], &tokenstore.Record{Tokens: newPair("a")})
		stored := mustGet(t, inner, names[0])
		stored.Version = 0
		mustSet(t, inner, names[1], stored)
		rec, err := s.Get(t.Context(), names[1])
		if rec != nil {
			t.Errorf("session %q opened as %q", names[0], names[1])
		}
		wantSealedError(t, fmt.Sprintf("%q as %q", names[0], names[1]), err)
	}
}

// Every bit of what is stored counts.
func TestTamperedSessionDoesNotOpen(t *testing.T) {
	inner := new(tokenstore.Memory)
	key, other := tokenstore.NewKey(), tokenstore.NewKey()
	s := newSealed(inner, key, other)
	mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("a")})
	good := readEnvelope(t, inner, "default")

	tampered := map[string]sealedEnvelope{
		"the other key": {1, other.ID(), good.Data},
		"no key":        {1, "", good.Data},
		"version 0":     {0, good.Key, good.Data},
		"version -1":    {-1, good.Key, good.Data},
		"no data":       {1, good.Key, nil},
		"one more byte": {1, good.Key, append(good.Data[:len(good.Data):len(good.Data)], 0)},
	}
	for i := range good.Data {
		tampered[fmt.Sprintf("cut to %d bytes", i)] = sealedEnvelope{1, good.Key, good.Data[:i]}
		tampered[fmt.Sprintf("cut by the first %d bytes", i+1)] = sealedEnvelope{1, good.Key, good.Data[i+1:]}
		for bit := range 8 {
			data := append([]byte(nil), good.Data...)
			data[i] ^= 1 << bit
			tampered[fmt.Sprintf("bit %d of byte %d", bit, i)] = sealedEnvelope{1, good.Key, data}
		}
	}
	for i := range good.Key {
		for _, c := range "0123456789abcdefA" {
			if id := good.Key[:i] + string(c) + good.Key[i+1:]; id != good.Key {
				tampered["key "+id] = sealedEnvelope{1, id, good.Data}
			}
		}
	}
	for what, e := range tampered {
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		writeSealed(t, inner, "default", string(raw))
		rec, err := s.Get(t.Context(), "default")
		if rec != nil {
			t.Errorf("%s: the session opened", what)
		}
		wantSealedError(t, what, err)
	}
}

func TestGarbageInPlaceOfASealedSessionDoesNotOpen(t *testing.T) {
	inner := new(tokenstore.Memory)
	s := newSealed(inner, tokenstore.NewKey())
	for _, raw := range []string{
		`null`, `1`, `"secret"`, `[]`, `{}`, `{"v":1}`, `{"v":"1","key":"secret","data":"AAAA"}`, `{"v":1,"key":7,"data":"AAAA"}`,
		`{"v":1,"key":"","data":"?"}`, `{"v":1.5,"key":"","data":""}`, `{"v":1,"key":"","data":{"secret":1}}`, `{"v":null}`, `{"v":1e99}`,
	} {
		writeSealed(t, inner, "default", raw)
		rec, err := s.Get(t.Context(), "default")
		if rec != nil || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%s: %v, %v", raw, rec, err)
		}
		wantSealedError(t, raw, err)
	}
	writeSealed(t, inner, "default", `{"v":1,"key":7,"data":"AAAA"}`)
	if _, err := s.Get(t.Context(), "default"); !strings.Contains(err.Error(), "was changed since it was sealed") {
		t.Errorf("a key that is not text: %v; want it taken for a change", err)
	}
	writeSealed(t, inner, "default", `{"v":1,"key":"`+strings.Repeat("\\u0007secret", 1000)+`","data":"AAAA"}`)
	if _, err := s.Get(t.Context(), "default"); len(err.Error()) > 400 || strings.Contains(err.Error(), "\a") {
		t.Errorf("the error quotes what others wrote, at length or as it is: %q", err)
	}
}

func TestNewerFormatIsToldFromTampering(t *testing.T) {
	inner := new(tokenstore.Memory)
	s := newSealed(inner, tokenstore.NewKey())
	for _, raw := range []string{`{"v":2}`, `{"v":2,"key":{"id":1},"data":[1]}`, `{"data":7,"v":9}`} {
		writeSealed(t, inner, "default", raw)
		_, err := s.Get(t.Context(), "default")
		if !errors.Is(err, tokenstore.ErrNewerFormat) || errors.Is(err, tokenstore.ErrSealed) {
			t.Errorf("%s: %v; want ErrNewerFormat only", raw, err)
		}
		if n, err := s.Reseal(t.Context()); n != 0 || !errors.Is(err, tokenstore.ErrNewerFormat) {
			t.Errorf("%s: Reseal: %d, %v; want ErrNewerFormat", raw, n, err)
		}
	}
}

// What is sealed with the right key can still be something else than a record of
// this version. Computed like knownSealed.
func TestSealedContentThatIsNoRecordOfThisVersion(t *testing.T) {
	key, err := tokenstore.ParseKey(knownKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		content, data string
		want          error
	}{
		{`[]`, "ZGVmZ2hpamtsbW5vdsEeaYMJHwzVLq2/bcN4WDDd", tokenstore.ErrSealed},
		{`{"format":2}`, "ZGVmZ2hpamtsbW5vVr7asQZN0OUmT2fUrWSP8rMHk+7OxhUm72FWgg==", tokenstore.ErrNewerFormat},
		{`{"format":1}, with a 2 in the additional data`, "ZGVmZ2hpamtsbW5vVr7asQZN0OUmT2TUPYyRRCCigFKtFAWX+0/luQ==", tokenstore.ErrSealed},
	} {
		inner := new(tokenstore.Memory)
		writeSealed(t, inner, knownName, fmt.Sprintf(`{"v":1,"key":%q,"data":%q}`, key.ID(), test.data))
		if _, err := newSealed(inner, key).Get(t.Context(), knownName); !errors.Is(err, test.want) {
			t.Errorf("%s: %v; want %v", test.content, err, test.want)
		}
	}
}

func TestDamagedFileBeneathIsReportedAsSuch(t *testing.T) {
	f := openFile(t, testdir.New(t))
	writeFile(t, filepath.Join(f.Dir(), "default.json"), `{"format":1,"sealed":{"v":1,`, 0o600)
	older := tokenstore.NewKey()
	s := newSealed(f, tokenstore.NewKey(), older)
	if _, err := s.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrDamaged) || errors.Is(err, tokenstore.ErrSealed) {
		t.Errorf("Get: %v; want ErrDamaged only", err)
	}
	writeFile(t, filepath.Join(f.Dir(), "again.json"), `{"format":1,"sealed":{"v":1,`, 0o600)
	mustSet(t, newSealed(f, older), "healthy", &tokenstore.Record{Tokens: newPair("a")})
	if n, err := s.Reseal(t.Context()); n != 1 || !errors.Is(err, tokenstore.ErrDamaged) {
		t.Errorf("Reseal: %d, %v; want the healthy one sealed anew, and ErrDamaged", n, err)
	}
}

// Whoever can write to the store could otherwise plant a session of their own.
func TestSessionInTheClearIsRefused(t *testing.T) {
	inner := new(tokenstore.Memory)
	s := newSealed(inner, tokenstore.NewKey())
	mustSet(t, inner, "plain", spentRecord())
	mustSet(t, inner, "empty", &tokenstore.Record{NotBefore: time.Now()})
	// Another program has logged in over a sealed session, directly.
	mustSet(t, s, "both", &tokenstore.Record{Tokens: newPair("old")})
	if err := tokenstore.Func(inner, "both")(t.Context(), newPair("planted")); err != nil {
		t.Fatal(err)
	}
	version := mustGet(t, inner, "both").Version
	for _, name := range []string{"plain", "empty", "both"} {
		rec, err := s.Get(t.Context(), name)
		if rec != nil || !errors.Is(err, tokenstore.ErrNotSealed) || err == nil || !strings.Contains(err.Error(), "call SealPlain") {
			t.Errorf("%s: %v, %v; want ErrNotSealed and what to do", name, rec, err)
		}
		wantSealedError(t, name, err)
	}
	if n, err := s.Cleanup(t.Context()); n != 0 || err != nil {
		t.Errorf("Cleanup: %d, %v; want sessions in the clear left alone", n, err)
	}
	if n, err := s.Reseal(t.Context()); n != 0 || !errors.Is(err, tokenstore.ErrNotSealed) {
		t.Errorf("Reseal: %d, %v; want sessions in the clear left alone, and said so", n, err)
	}
	if got := mustGet(t, inner, "both").Version; got != version {
		t.Errorf("the session was changed")
	}
}

// A sealedEnvelope is what a Sealed stores.
type sealedEnvelope struct {
	V    int    `json:"v"`
	Key  string `json:"key"`
	Data []byte `json:"data"`
}

func readEnvelope(t *testing.T, inner tokenstore.Store, name string) (e sealedEnvelope) {
	t.Helper()
	if err := json.Unmarshal(mustGet(t, inner, name).Unknown["sealed"], &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// keyOn returns the ID of the key with which a session is sealed.
func keyOn(t *testing.T, inner tokenstore.Store, name string) string {
	t.Helper()
	return readEnvelope(t, inner, name).Key
}

// writeSealed puts raw in the place of what is sealed.
func writeSealed(t *testing.T, inner tokenstore.Store, name, raw string) {
	t.Helper()
	rec, err := inner.Get(t.Context(), name)
	if errors.Is(err, tokenstore.ErrNotFound) {
		rec, err = new(tokenstore.Record), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	rec.Unknown = map[string]json.RawMessage{"sealed": json.RawMessage(raw)}
	mustSet(t, inner, name, rec)
}

// wantSealedError requires an ErrSealed that nobody takes for the end of the
// session, or for leave to replace it.
func wantSealedError(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, tokenstore.ErrSealed) || errors.Is(err, tokenstore.ErrNotFound) || errors.Is(err, tokenstore.ErrDamaged) {
		t.Errorf("%s: error %v; want ErrSealed, and neither ErrNotFound nor ErrDamaged", what, err)
	}
}
