package tokenstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"

	"github.com/evertoken/evertoken/internal/testdir"
)

// A directory that was removed and made anew, or is the root of a file system that was mounted
// in place of another one, has the device and inode of the one before it. Here the store
// remembers an earlier birth, or none, as where the system does not tell.
func TestF77_AnotherDirectoryOfTheSameNumberIsAnOutage(t *testing.T) {
	for name, tt := range map[string]struct {
		unborn bool
		edit   func(t *testing.T, f *File)
		want   error // of Get; nil: the record
	}{
		"an empty one":                           {edit: empty, want: ErrUnavailable},
		"an empty one, birth unknown":            {unborn: true, edit: empty, want: ErrUnavailable},
		"with other sessions":                    {edit: others, want: ErrUnavailable},
		"with other sessions, birth unknown":     {unborn: true, edit: others, want: ErrNotFound}, // as of one removed by hand
		"restored":                               {edit: func(*testing.T, *File) {}},
		"restored without locks":                 {edit: withoutLocks},
		"restored, and removed by hand":          {edit: byHand, want: ErrNotFound},
		"and a logout by another program":        {edit: logout, want: ErrNotFound},
		"and a logout, birth unknown":            {unborn: true, edit: logout, want: ErrNotFound},
		"and a login by this one":                {edit: loginAnew},
		"and a login by this one, birth unknown": {unborn: true, edit: loginAnew},
	} {
		t.Run(name, func(t *testing.T) {
			f := withSession(t)
			if _, err := f.Get(t.Context(), "default"); err != nil {
				t.Fatal(err)
			}
			before := *f.home.Load()
			if !tt.unborn {
				before.born = before.born.Add(-time.Hour)
			} else {
				before.born = time.Time{}
			}
			f.home.Store(&before)
			tt.edit(t, f)
			if _, err := f.Get(t.Context(), "default"); !errors.Is(err, tt.want) || errors.Is(err, ErrNotFound) != (tt.want == ErrNotFound) {
				t.Errorf("Get: %v; want %v", err, tt.want)
			}
			if tt.want != ErrUnavailable {
				return
			}
			if _, err := f.Set(t.Context(), "default", &Record{Tokens: awayPair("b"), Version: 1}); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Set: %v; want that the directory is away", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := f.Lock(ctx, "default"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Lock: %v; want that the directory is away", err)
			}
		})
	}
}

// In the directory that was opened, a missing file is a logout, whatever else is missing.
func TestF77_AMissingFileInTheSameDirectoryIsALogout(t *testing.T) {
	for name, edit := range map[string]func(t *testing.T, f *File){
		"by hand":                        byHand,
		"by hand, with the locks":        func(t *testing.T, f *File) { withoutLocks(t, f); byHand(t, f) },
		"by hand, with all that is here": empty,
		"by the command":                 logout,
	} {
		t.Run(name, func(t *testing.T) {
			f := withSession(t)
			if _, err := f.Get(t.Context(), "default"); err != nil { // it was found here
				t.Fatal(err)
			}
			edit(t, f)
			want := ErrNotFound
			if f.home.Load().born.IsZero() && isEmpty(f.dir) {
				want = ErrUnavailable // the system does not tell it from another directory
			}
			if _, err := f.Get(t.Context(), "default"); !errors.Is(err, want) {
				t.Errorf("Get: %v; want %v", err, want)
			}
		})
	}
}

func awayPair(token string) *oauth.TokenPair {
	return &oauth.TokenPair{AccessToken: "access-" + token, RefreshToken: "refresh-" + token}
}

func withSession(t *testing.T) *File {
	t.Helper()
	f, err := NewFile(filepath.Join(testdir.New(t), "sessions"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(t.Context(), "default"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("before the first login: %v; want ErrNotFound", err)
	}
	loginAnew(t, f)
	return f
}

func loginAnew(t *testing.T, f *File) {
	t.Helper()
	empty(t, f)
	if _, err := f.Set(t.Context(), "default", &Record{Tokens: awayPair("a")}); err != nil {
		t.Fatal(err)
	}
}

func empty(t *testing.T, f *File) { t.Helper(); remove(t, f, "*") }

func byHand(t *testing.T, f *File) { t.Helper(); remove(t, f, "default.json") }

func withoutLocks(t *testing.T, f *File) {
	t.Helper()
	remove(t, f, "default.json.write")
	remove(t, f, "default.json.lock")
}

func others(t *testing.T, f *File) {
	t.Helper()
	empty(t, f)
	if err := os.WriteFile(filepath.Join(f.dir, "another.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func logout(t *testing.T, f *File) {
	t.Helper()
	rec, err := f.Get(t.Context(), "default")
	if err == nil {
		err = f.Delete(t.Context(), "default", rec.Version)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, f *File, pattern string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(f.dir, pattern))
	for _, path := range paths {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		t.Fatal(err)
	}
}
