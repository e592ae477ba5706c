package tokenstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestCheckChangesNothing(t *testing.T) {
	for _, saved := range []bool{false, true} {
		f := openFile(t, testdir.New(t))
		if saved {
			mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
		}
		before := contents(t, f.Dir())
		if err := f.Check(t.Context(), "default"); err != nil {
			t.Fatalf("with a record %v: %v", saved, err)
		}
		if after := contents(t, f.Dir()); after != before {
			t.Errorf("with a record %v: before\n%s\nand after\n%s", saved, before, after)
		}
	}
}

// contents returns what is in a directory, but for lock files.
func contents(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		if name := e.Name(); !strings.HasSuffix(name, ".lock") && !strings.HasSuffix(name, ".write") {
			all.WriteString(name + ": " + readFile(t, filepath.Join(dir, name)))
		}
	}
	return all.String()
}

func TestCheckDoesNotWaitForTheHolder(t *testing.T) {
	f := openFile(t, testdir.New(t))
	lease, err := f.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), "default"); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := lease.Err(); err != nil {
		t.Errorf("the holder's lease: %v", err)
	}
	if err := lease.Unlock(); err != nil {
		t.Fatal(err)
	}
	// And leaves no lock behind, whether another holder had it or Check itself.
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // and not for ever
		if lease, err = f.Lock(ctx, "default"); err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = lease.Unlock()
		if err := f.Check(t.Context(), "default"); err != nil {
			t.Errorf("Check: %v", err)
		}
	}
}

func TestCheckFailsAsSavingWould(t *testing.T) {
	for name, c := range map[string]struct {
		file string // in place of a record; empty: a directory
		fine bool
		want string
	}{
		"a damaged record": {file: "half", fine: true},
		"a newer format":   {file: `{"format":99}`, want: "newer"},
		"a directory":      {want: "is not a file"},
	} {
		t.Run(name, func(t *testing.T) {
			f := openFile(t, testdir.New(t))
			path := filepath.Join(f.Dir(), "default.json")
			if c.file == "" {
				if err := os.Mkdir(path, 0o700); err != nil {
					t.Fatal(err)
				}
			} else {
				writeFile(t, path, c.file, 0o600)
			}
			err := f.Check(t.Context(), "default")
			if c.fine != (err == nil) || !c.fine && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Check: %v; want %q", err, c.want)
			}
			if c.file != "" && readFile(t, path) != c.file {
				t.Error("the file was changed")
			}
		})
	}
	f := openFile(t, testdir.New(t))
	if err := f.Check(t.Context(), ""); !errors.Is(err, tokenstore.ErrInvalidName) {
		t.Errorf("Check without a name: %v; want ErrInvalidName", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Check(ctx, "default"); !errors.Is(err, context.Canceled) {
		t.Errorf("Check after the context's end: %v", err)
	}
}

func TestSealedChecksItsKeyAndTheStoreBeneath(t *testing.T) {
	noKey := errors.New("no key")
	f := openFile(t, testdir.New(t))
	keys := tokenstore.Keys(tokenstore.NewKey())
	if err := tokenstore.NewSealed(f, keys).Check(t.Context(), "default"); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := tokenstore.NewSealed(new(tokenstore.Memory), keys).Check(t.Context(), "default"); err != nil {
		t.Errorf("over a store that cannot tell: %v", err)
	}
	lost := tokenstore.NewSealed(f, func(context.Context) ([]tokenstore.Key, error) { return nil, noKey })
	if err := lost.Check(t.Context(), "default"); !errors.Is(err, noKey) {
		t.Errorf("without a key: %v", err)
	}
	if err := os.Mkdir(filepath.Join(f.Dir(), "default.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	var place *tokenstore.PlaceError
	if err := tokenstore.NewSealed(f, keys).Check(t.Context(), "default"); !errors.As(err, &place) {
		t.Errorf("over a store that cannot save: %v", err)
	}
}
