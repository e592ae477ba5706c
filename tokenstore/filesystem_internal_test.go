//go:build !windows

package tokenstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/evertoken/evertoken/internal/ownfile"
	"github.com/evertoken/evertoken/internal/testdir"
)

// A syncedDir is a directory whose sync comes to something.
type syncedDir struct {
	err            error
	synced, closed int
}

func (d *syncedDir) Sync() error { d.synced++; return d.err }

func (d *syncedDir) Close() error { d.closed++; return nil }

func TestDirectoriesAreSyncedWhereTheyCanBe(t *testing.T) {
	for fault, want := range map[error]error{nil: nil, syscall.EINVAL: nil, syscall.ENOTSUP: nil, syscall.EIO: syscall.EIO, syscall.ENOSPC: syscall.ENOSPC} {
		d := &syncedDir{err: fault}
		if err := syncOpened(d, nil); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%v: %v; want %v", fault, err, want)
		}
		if d.synced != 1 || d.closed != 1 {
			t.Errorf("%v: synced %d times and closed %d times", fault, d.synced, d.closed)
		}
	}
	if err := syncDir(filepath.Join(testdir.New(t), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func TestWhatAFullDiskSays(t *testing.T) {
	for err, want := range map[error]bool{syscall.ENOSPC: true, syscall.EDQUOT: true, syscall.EFBIG: true, syscall.EIO: false} {
		if got := isDiskFull(&fs.PathError{Op: "write", Path: "x", Err: err}); got != want {
			t.Errorf("%v: full: %t; want %t", err, got, want)
		}
	}
}

func TestMountsAreKnown(t *testing.T) {
	if isMount(testdir.New(t)) || isMount("/none/such") {
		t.Error("what is not a mount is called one")
	}
	if runtime.GOOS == "linux" && !isMount("/proc") {
		t.Error("/proc is not known to be a mount")
	}
}

// What took the place of a lock file after a look at it is not a lock.
func TestALockIsTakenOnAFile(t *testing.T) {
	pipe := filepath.Join(testdir.New(t), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	f := flock.New(pipe, flock.SetFlag(ownfile.LockFlags()))
	if ok, err := f.TryLock(); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := checkLocked(pipe, f); err == nil {
		t.Error("a pipe is a lock")
	}
	if err := f.Unlock(); err != nil {
		t.Error(err)
	}
	if err := checkLocked(pipe, f); err == nil {
		t.Error("what is not open is a lock")
	}
}

// Each thing that the system says about a file is part of its stamp.
func TestWhatAStampIsMadeOf(t *testing.T) {
	d := newSpendDesk(t, false)
	path := d.file.path("default")
	at := time.Now().Add(-time.Hour)
	stamp := func() uint64 {
		t.Helper()
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		got, err := d.file.Stamp(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	write := func(data string) error { return os.WriteFile(path, []byte(data), 0o600) }
	last := stamp()
	if stamp() != last {
		t.Error("an unchanged file has another stamp")
	}
	for _, change := range []struct {
		what string
		do   func() error
	}{
		{"size", func() error { return write("1234") }},
		{"size again", func() error { return write("12345") }},
		{"mode", func() error { return os.Chmod(path, 0o400) }},
		{"mode again", func() error { return os.Chmod(path, 0o600) }},
		{"file", func() error {
			return errors.Join(os.WriteFile(path+"x", []byte("54321"), 0o600), os.Rename(path+"x", path))
		}},
		{"time", func() error { at = at.Add(time.Nanosecond); return nil }},
	} {
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		next := stamp()
		if next == last {
			t.Errorf("a file of another %s has the same stamp", change.what)
		}
		last = next
	}
}

// A lock file has nothing in it that could be put in the place of a link to it.
func TestWhatLiesInPlaceOfALockIsToBeMovedAway(t *testing.T) {
	d := newSpendDesk(t, false)
	for name, plant := range map[string]func(path string) error{
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":      func(path string) error { return os.Symlink(path+".x", path) },
	} {
		if err := plant(d.file.path(name) + leaseSuffix); err != nil {
			t.Fatal(err)
		}
		_, err := d.file.Lock(t.Context(), name)
		if place, ok := errors.AsType[*PlaceError](err); !ok || place.Advice != moveAway {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whoever takes the place of a spend's file does not take the place of the record.
func TestWhatTakesThePlaceOfASpendsFile(t *testing.T) {
	d := newSpendDesk(t, false)
	s, rec, err := d.begin(true)
	if err != nil {
		t.Fatal(err)
	}
	next := d.file.path("default") + nextSuffix
	// The file stays open, so that its number is not given to the other.
	if err := errors.Join(os.Rename(next, next+".old"), os.WriteFile(next, []byte("rubbish"), 0o600)); err != nil {
		t.Fatal(err)
	}
	rec.Version = d.get().Version
	d.must(s.Settle(t.Context(), renewed(rec, 1)))
	if got := d.get(); got.Tokens.RefreshToken != "refresh-1" {
		t.Errorf("the session is %v", got.Tokens.RefreshToken)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lease, err := d.file.Lock(ctx, "default")
	if err != nil {
		t.Fatalf("the lock is not given back: %v", err)
	}
	if err := lease.Unlock(); err != nil {
		t.Error(err)
	}
}

// A directory that took the place of ours lists what is in it, and nothing if it is empty.
func TestNamesOfAnotherDirectoryInItsPlace(t *testing.T) {
	for _, empty := range []bool{false, true} {
		d := newSpendDesk(t, false)
		if err := errors.Join(os.Rename(d.dir, d.dir+".away"), os.Mkdir(d.dir, 0o700)); err != nil {
			t.Fatal(err)
		}
		if !empty {
			other, err := NewFile(d.dir)
			if err != nil {
				t.Fatal(err)
			}
			d.must(other.Set(t.Context(), "other", &Record{Tokens: pairOf(1)}))
		}
		names, err := d.file.Names(t.Context())
		if empty && !errors.Is(err, ErrUnavailable) || !empty && (err != nil || len(names) != 1) {
			t.Errorf("empty %v: %q, %v", empty, names, err)
		}
	}
}
