package tokenstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
)

// damage is what crashes, full disks and editors leave in a file.
var damage = map[string]string{
	"empty":            "",
	"cut":              `{"format":1,"version":7,"tokens":{"access_token":"secret-a","refr`,
	"two interleaved":  `{"format":1,"tokens":{"access_token":"secret-a"}}}"}}`,
	"zeros":            strings.Repeat("\x00", 200),
	"not an object":    `["secret-a"]`,
	"a string":         `"secret-a"`,
	"null":             `null`,
	"no pair":          `{"foo":"secret-a"}`,
	"a pair of text":   `{"format":1,"tokens":"secret-a"}`,
	"an empty pair":    `{"format":1,"tokens":{}}`,
	"tokens of number": `{"access_token":5}`,
}

func TestF30_DamagedFileIsMovedAsideAndNotDeleted(t *testing.T) {
	moved := regexp.MustCompile(`moved to (default\.json\.damaged-\d{8}T\d{6}Z-[0-9a-f]{8})$`)
	for what, content := range damage {
		t.Run(what, func(t *testing.T) {
			f := openFile(t, testdir.New(t))
			writeFile(t, filepath.Join(f.Dir(), "default.json"), content, 0o644)
			rec, err := f.Get(t.Context(), "default")
			if rec != nil || !errors.Is(err, tokenstore.ErrDamaged) {
				t.Fatalf("Get: %v, %v; want ErrDamaged", rec, err)
			}
			aside := moved.FindStringSubmatch(err.Error())
			if aside == nil || strings.Contains(err.Error(), "secret") {
				t.Fatalf("error %q; want one that says where the file is, and nothing of its content", err)
			}
			path := filepath.Join(f.Dir(), aside[1])
			if got := readFile(t, path); got != content {
				t.Errorf("moved content %q; want %q", got, content)
			}
			wantMode(t, path, 0o600)
			_, err = openFile(t, f.Dir()).Get(t.Context(), "default")
			if !errors.Is(err, tokenstore.ErrDamaged) || !strings.Contains(err.Error(), aside[1]) {
				t.Errorf("another process's Get: %v; want ErrDamaged, and where the file is", err)
			}
			wantAside(t, f, 1)
		})
	}
}

func TestDamageIsHistoryOnceTheSessionIsSavedOrDeleted(t *testing.T) {
	f := openFile(t, testdir.New(t))
	path := filepath.Join(f.Dir(), "default.json")
	damage := func() {
		t.Helper()
		writeFile(t, path, "damaged", 0o600)
		if _, err := f.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrDamaged) {
			t.Fatalf("Get: %v; want ErrDamaged", err)
		}
	}
	notFound := func(what string) {
		t.Helper()
		if _, err := f.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("Get of a session that was %s: %v; want ErrNotFound", what, err)
		}
	}
	damage()
	version := mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	if err := f.Delete(t.Context(), "default", version); err != nil {
		t.Fatal(err)
	}
	notFound("saved anew and deleted")

	damage()
	if err := f.Delete(t.Context(), "default", version); !errors.Is(err, tokenstore.ErrNotFound) {
		t.Errorf("Delete of a session that was moved aside: %v; want ErrNotFound", err)
	}
	notFound("deleted while it was damaged")
	wantAside(t, f, 2)
}

// As long as nobody knows whether the session was deleted, it was not.
func TestNoteThatCannotBeReadIsNoLogout(t *testing.T) {
	f := openFile(t, testdir.New(t))
	if err := os.Mkdir(filepath.Join(f.Dir(), "default.json.moved"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(t.Context(), "default"); err == nil || errors.Is(err, tokenstore.ErrNotFound) {
		t.Errorf("Get: %v; want an error other than ErrNotFound", err)
	}
}

func TestNewSessionTakesThePlaceOfADamagedOne(t *testing.T) {
	f := openFile(t, testdir.New(t))
	path := filepath.Join(f.Dir(), "default.json")
	writeFile(t, path, "damaged", 0o600)
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	mustGet(t, f, "default")
	wantAside(t, f, 1)

	// A change of what is no longer there does not go unnoticed, though.
	writeFile(t, path, "damaged again", 0o600)
	_, err := f.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("b"), Version: 7})
	if !errors.Is(err, tokenstore.ErrDamaged) {
		t.Errorf("Set over a damaged record: %v; want ErrDamaged", err)
	}
	wantAside(t, f, 2)

	writeFile(t, path, "damaged once more", 0o600)
	if err := f.Delete(t.Context(), "default", 7); !errors.Is(err, tokenstore.ErrDamaged) {
		t.Errorf("Delete of a damaged record: %v; want ErrDamaged", err)
	}
	wantAside(t, f, 3)
}

// Somebody may have saved a good record between a reader's look at a damaged
// file and its lock: that record must not be moved.
func TestOnlyADamagedFileIsMovedAside(t *testing.T) {
	f := openFile(t, testdir.New(t))
	path := filepath.Join(f.Dir(), "default.json")
	for range 20 {
		writeFile(t, path, "damaged", 0o600)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				_, err := f.Get(t.Context(), "default")
				if err != nil && !errors.Is(err, tokenstore.ErrDamaged) && !errors.Is(err, tokenstore.ErrNotFound) {
					t.Errorf("Get: %v", err)
				}
			})
		}
		wg.Go(func() {
			if _, err := f.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("good")}); err != nil {
				t.Errorf("Set: %v", err)
			}
		})
		wg.Wait()
		mustGet(t, f, "default")
	}
	wantAside(t, f, 20)
}

func TestNewerFormatIsLeftAlone(t *testing.T) {
	for _, content := range []string{
		`{"format":2,"version":7,"tokens":{"access_token":"a"}}`,
		`{"format":2,"version":7,"sealed":"..."}`,
		`{"format":"3.1","version":7}`,
	} {
		f := openFile(t, testdir.New(t))
		path := filepath.Join(f.Dir(), "default.json")
		writeFile(t, path, content, 0o600)
		_, getErr := f.Get(t.Context(), "default")
		_, newErr := f.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("b")})
		_, setErr := f.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("b"), Version: 7})
		for _, err := range []error{getErr, newErr, setErr, f.Delete(t.Context(), "default", 7)} {
			if !errors.Is(err, tokenstore.ErrNewerFormat) || errors.Is(err, tokenstore.ErrDamaged) {
				t.Errorf("error %v; want ErrNewerFormat", err)
			}
		}
		if n, err := f.Cleanup(t.Context()); n != 0 || err != nil {
			t.Errorf("Cleanup: %d, %v", n, err)
		}
		if got := readFile(t, path); got != content {
			t.Errorf("content is now %q", got)
		}
		wantAside(t, f, 0)
	}
}

func wantAside(t *testing.T, f *tokenstore.File, n int) {
	t.Helper()
	if got := glob(t, f.Dir(), "*.damaged-*"); len(got) != n {
		t.Errorf("%d files moved aside; want %d", len(got), n)
	}
}
