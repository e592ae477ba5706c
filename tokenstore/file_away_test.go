package tokenstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
)

// Ways in which the directory of the sessions can be away while a program has it open,
// and how it comes back.
var absences = map[string]func(t *testing.T, dir string) (back func()){
	"moved away": func(t *testing.T, dir string) func() {
		return moveDir(t, dir, dir+".away")
	},
	"its parent moved away": func(t *testing.T, dir string) func() {
		return moveDir(t, filepath.Dir(dir), filepath.Dir(dir)+".away")
	},
	"an empty one in its place": func(t *testing.T, dir string) func() {
		back := moveDir(t, dir, dir+".away")
		must(t, os.Mkdir(dir, 0o700))
		return func() {
			must(t, os.Remove(dir)) // nothing was written to it
			back()
		}
	},
	"one with other sessions in its place": func(t *testing.T, dir string) func() {
		back := moveDir(t, dir, dir+".away")
		mustSet(t, openFile(t, dir), "another", &tokenstore.Record{Tokens: newPair("z")})
		return func() {
			must(t, os.RemoveAll(dir))
			back()
		}
	},
	"removed and made anew": func(t *testing.T, dir string) func() {
		must(t, os.CopyFS(dir+".copy", os.DirFS(dir)))
		must(t, os.RemoveAll(dir))
		must(t, os.Mkdir(dir, 0o700))
		return func() {
			must(t, os.Remove(dir)) // nothing was written to it
			moveDir(t, dir+".copy", dir)
		}
	},
	"a file in its place": func(t *testing.T, dir string) func() {
		back := moveDir(t, dir, dir+".away")
		must(t, os.WriteFile(dir, nil, 0o600))
		return func() {
			must(t, os.Remove(dir))
			back()
		}
	},
	"a link to nowhere in its place": func(t *testing.T, dir string) func() {
		back := moveDir(t, dir, dir+".away")
		must(t, os.Symlink(dir+".nowhere", dir))
		return func() {
			must(t, os.Remove(dir))
			back()
		}
	},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func moveDir(t *testing.T, from, to string) (back func()) {
	t.Helper()
	must(t, os.Rename(from, to))
	return func() { must(t, os.Rename(to, from)) }
}

// What is not found because its directory is not, was not deleted.
func TestF77_ADirectoryThatIsAwayIsAnOutage(t *testing.T) {
	for name, leave := range absences {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				return // links take a privilege, and missing parents are other errors
			}
			f := openFile(t, filepath.Join(testdir.New(t), "state", "sessions"))
			version := mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
			back := leave(t, f.Dir())

			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			calls := map[string]func() error{
				"Get":    func() error { _, err := f.Get(ctx, "default"); return err },
				"Stamp":  func() error { _, err := f.Stamp(ctx, "default"); return err },
				"Lock":   func() error { _, err := f.Lock(ctx, "default"); return err },
				"Delete": func() error { return f.Delete(ctx, "default", version) },
				"Set": func() error {
					_, err := f.Set(ctx, "default", &tokenstore.Record{Tokens: newPair("b"), Version: version})
					return err
				},
			}
			for call, do := range calls {
				err := do()
				for _, wrong := range []error{tokenstore.ErrNotFound, tokenstore.ErrConflict, tokenstore.ErrDamaged, context.DeadlineExceeded} {
					if errors.Is(err, wrong) {
						t.Errorf("%s: %v", call, err)
					}
				}
				if err == nil {
					t.Errorf("%s succeeded", call)
				}
				if place, ok := errors.AsType[*tokenstore.PlaceError](err); err != nil && (!ok || place.Advice == "") {
					t.Errorf("%s: %v; want one with advice", call, err)
				}
			}
			back()
			rec, err := f.Get(t.Context(), "default")
			if err != nil || rec.Version != version {
				t.Errorf("back again: %v, %v", rec, err)
			}
		})
	}
}

// The names that are there are not known while the directory is not.
func TestF77_NamesOfADirectoryThatIsAwayAreNotKnown(t *testing.T) {
	f := openFile(t, filepath.Join(testdir.New(t), "sessions"))
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	back := moveDir(t, f.Dir(), f.Dir()+".away")
	if names, err := f.Names(t.Context()); err == nil {
		t.Errorf("Names: %q; want an error", names)
	}
	if n, err := f.Cleanup(t.Context()); err == nil {
		t.Errorf("Cleanup: %d; want an error", n)
	}
	back()
	if names, err := f.Names(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("back again: %q, %v", names, err)
	}
}

// A directory that is there says what was deleted in it: the one that was opened, and one
// that has traces of the session.
func TestF77_ADeletedSessionIsNotFound(t *testing.T) {
	for name, edit := range map[string]func(t *testing.T, f *tokenstore.File, version uint64){
		"by Delete": func(t *testing.T, f *tokenstore.File, version uint64) {
			must(t, f.Delete(t.Context(), "default", version))
		},
		"by hand": func(t *testing.T, f *tokenstore.File, _ uint64) {
			must(t, os.Remove(filepath.Join(f.Dir(), "default.json")))
		},
		"while the directory was elsewhere": func(t *testing.T, f *tokenstore.File, version uint64) {
			away := f.Dir() + ".away"
			moveDir(t, f.Dir(), away)
			must(t, openFile(t, away).Delete(t.Context(), "default", version))
			must(t, os.CopyFS(f.Dir(), os.DirFS(away))) // another file system, as a new mount is
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := openFile(t, filepath.Join(testdir.New(t), "sessions"))
			version := mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
			edit(t, f, version)
			if _, err := f.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
				t.Errorf("Get: %v; want ErrNotFound", err)
			}
			if _, err := f.Get(t.Context(), "another"); name != "while the directory was elsewhere" && !errors.Is(err, tokenstore.ErrNotFound) {
				t.Errorf("Get of one that never was: %v; want ErrNotFound", err)
			}
			if _, err := openFile(t, f.Dir()).Get(t.Context(), "another"); !errors.Is(err, tokenstore.ErrNotFound) {
				t.Errorf("Get of a program that starts: %v; want ErrNotFound", err)
			}
		})
	}
}
