package tokenstore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
	"golang.org/x/sys/windows"
)

func TestLockFileInUseStaysWhereItIs(t *testing.T) {
	f := openFile(t, testdir.New(t))
	lease, err := f.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.Dir(), "default.json.lock")
	if err := os.Remove(path); !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		t.Errorf("Remove of a lock file in use: %v; want a sharing violation", err)
	}
	other := filepath.Join(f.Dir(), "other")
	writeFile(t, other, "", 0o600)
	if err := os.Rename(other, path); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Rename over a lock file in use: %v; want that access is denied", err)
	}
	if err := errors.Join(lease.Err(), lease.Unlock()); err != nil {
		t.Error(err)
	}
}

// A directory that goes is an outage (F77): it may be put back. A program that starts
// afterwards makes it anew.
func TestRemovedDirectoryIsMadeAgain(t *testing.T) {
	f := openFile(t, filepath.Join(testdir.New(t), "sessions"))
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	for _, path := range append(glob(t, f.Dir(), "*"), f.Dir()) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := f.Names(t.Context()); len(names) != 0 || !errors.Is(err, tokenstore.ErrUnavailable) {
		t.Errorf("Names: %q, %v; want that the store is away", names, err)
	}
	f = openFile(t, f.Dir())
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("b")})
	mustGet(t, f, "default")
}

func TestDefaultDirStaysOnTheMachine(t *testing.T) {
	for local, want := range map[string]string{
		`C:\Users\alice\AppData\Local`: `C:\Users\alice\AppData\Local\evertoken`,
		"":                             "",
	} {
		t.Setenv("LocalAppData", local)
		got, err := tokenstore.DefaultDir()
		if got != want || (err == nil) != (want != "") {
			t.Errorf("with LocalAppData=%q: %q, %v; want %q", local, got, err, want)
		}
	}
}

// wantMode checks what modes say here: whether a file is read-only, and thus
// could not be replaced.
func wantMode(t *testing.T, path string, _ fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got&0o200 == 0 {
		t.Errorf("%s is read-only (mode %04o)", filepath.Base(path), got)
	}
}

func fullDisk(context.Context, *tokenstore.File) error {
	return errors.New("no test asks for this on Windows")
}
