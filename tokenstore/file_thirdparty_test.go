package tokenstore_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

func longName() string { return strings.Repeat("Long/", 100) }

// Another program saved the file without the fields that it does not know.
func TestF25_FileRewrittenWithoutOurFieldsStillLoads(t *testing.T) {
	for what, content := range map[string]string{
		"only the pair":       `{"tokens":{"access_token":"a","refresh_token":"r","expires_in":"900"}}`,
		"a bare response":     `{"access_token":"a","refresh_token":"r","expires_in":900,"x":1}`,
		"odd types":           `{"format":1,"version":"7","tokens":{"access_token":"a","refresh_token":"r","expires_in":900.0},"pending":3,"not_before":"soon","ancestors":{}}`,
		"indented, with null": "{\n  \"format\": null,\n  \"version\": null,\n  \"tokens\": {\"access_token\": \"a\",\n \"refresh_token\": \"r\", \"expires_in\": 900}\n}\n",
	} {
		f := openFile(t, testdir.New(t))
		path := filepath.Join(f.Dir(), "default.json")
		writeFile(t, path, content, 0o600)
		rec := mustGet(t, f, "default")
		if tok := rec.Tokens; tok.AccessToken != "a" || tok.RefreshToken != "r" || tok.ExpiresIn != 900 {
			t.Errorf("%s: tokens were not read", what)
		}
		if rec.Pending != nil || !rec.NotBefore.IsZero() || rec.Ancestors != nil {
			t.Errorf("%s: marks or times came from nowhere", what)
		}
		version := mustSet(t, f, "default", rec)
		if again := mustGet(t, f, "default"); again.Version != version || version <= rec.Version {
			t.Errorf("%s: version %d, then %d, stored %d", what, rec.Version, version, again.Version)
		}
	}
}

// A file without a version still takes part in the comparison: it has a version
// that changes with its content.
func TestF25_RewrittenFileIsNoticedByItsVersion(t *testing.T) {
	f := openFile(t, testdir.New(t))
	path := filepath.Join(f.Dir(), "default.json")
	mine := &tokenstore.Record{Tokens: newPair("mine")}
	mine.Version = mustSet(t, f, "default", mine)

	writeFile(t, path, `{"access_token":"theirs 1"}`, 0o600)
	if _, err := f.Set(t.Context(), "default", mine); !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("Set over a file that somebody rewrote: %v; want ErrConflict", err)
	}
	first := mustGet(t, f, "default")
	if again := mustGet(t, f, "default"); again.Version != first.Version || first.Version == 0 {
		t.Errorf("versions %d and %d of the same content", first.Version, again.Version)
	}
	writeFile(t, path, `{"access_token":"theirs 2"}`, 0o600)
	if _, err := f.Set(t.Context(), "default", first); !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("Set over a file that was rewritten once more: %v; want ErrConflict", err)
	}
	if err := f.Delete(t.Context(), "default", first.Version); !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("Delete of a file that was rewritten once more: %v; want ErrConflict", err)
	}
}

func TestSessionWithALongNameIsListedAndCarriesNoTraceOfIt(t *testing.T) {
	f := openFile(t, testdir.New(t))
	rec := &tokenstore.Record{Tokens: newPair("a"), Unknown: map[string]json.RawMessage{"future": json.RawMessage(`1`)}}
	mustSet(t, f, longName(), rec)
	if names, err := f.Names(t.Context()); len(names) != 1 || names[0] != longName() || err != nil {
		t.Errorf("Names: %d names, %v", len(names), err)
	}
	got := mustGet(t, f, longName())
	if len(got.Unknown) != 1 {
		t.Errorf("unknown fields %v; want the one that was there", got.Unknown)
	}
	if len(rec.Unknown) != 1 {
		t.Errorf("Set added to the caller's record")
	}
	for _, path := range glob(t, f.Dir(), "*") {
		if n := len(filepath.Base(path)); n > 100 {
			t.Errorf("file name of %d bytes", n)
		}
	}
	if err := f.Delete(t.Context(), longName(), got.Version); err != nil {
		t.Error(err)
	}
}

func TestF31_StaleWriterInAnotherProcessCannotUndoALogout(t *testing.T) {
	a := openFile(t, testdir.New(t))
	b := openFile(t, a.Dir())
	mustSet(t, a, "default", &tokenstore.Record{Tokens: newPair("old")})
	stale := mustGet(t, b, "default")
	if err := a.Delete(t.Context(), "default", stale.Version); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Set(t.Context(), "default", stale); !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("Set after a logout: %v; want ErrConflict", err)
	}
	mustSet(t, a, "default", &tokenstore.Record{Tokens: newPair("new login")})
	if _, err := b.Set(t.Context(), "default", stale); !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("Set after a logout and a new login: %v; want ErrConflict", err)
	}
}

// B was told invalid_grant for the token that A has replaced. Whatever it does
// with its old view, A's pair stays.
func TestF12_LoserCannotWipeTheWinner(t *testing.T) {
	a := openFile(t, testdir.New(t))
	b := openFile(t, a.Dir())
	mustSet(t, a, "default", &tokenstore.Record{Tokens: newPair("old")})
	loser, winner := mustGet(t, b, "default"), mustGet(t, a, "default")
	winner.Supersede(newPair("new"))
	mustSet(t, a, "default", winner)

	loser.Dead = &tokenstore.Mark{Token: tokenstore.Fingerprint("refresh-old"), At: time.Now()}
	if _, err := b.Set(t.Context(), "default", loser); !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("Set of the loser's verdict: %v; want ErrConflict", err)
	}
	if err := b.Delete(t.Context(), "default", loser.Version); !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("Delete by the loser: %v; want ErrConflict", err)
	}
	rec := mustGet(t, b, "default")
	if rec.Tokens.RefreshToken != "refresh-new" || rec.Dead != nil || !rec.Descends("refresh-old") {
		t.Errorf("the winner's record was changed: %v", rec)
	}
}

func TestUnknownFieldsOfANewerVersionSurvive(t *testing.T) {
	f := openFile(t, testdir.New(t))
	path := filepath.Join(f.Dir(), "default.json")
	writeFile(t, path, `{"format":1,"version":7,"future":{"a":[1,2.50]},"tokens":{"access_token":"a","extra":"<b>"}}`, 0o600)
	rec := mustGet(t, f, "default")
	rec.Supersede(&oauth.TokenPair{AccessToken: "b"})
	mustSet(t, f, "default", rec)
	if got := readFile(t, path); !strings.Contains(got, `"future":{"a":[1,2.50]}`) {
		t.Errorf("file %s; want the unknown field in it", got)
	}
}
