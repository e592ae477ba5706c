//go:build unix

package tokenstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
)

// planted is what may lie in place of a file of the store. Those that lead elsewhere lead to
// target.
var planted = map[string]func(path, target string) error{
	"a named pipe": func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
	"a socket":     plantSocket,
	"a directory":  func(path, _ string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) },
	"a link to a file": func(path, target string) error {
		return errors.Join(os.WriteFile(target, []byte("theirs"), 0o644), os.Symlink(target, path))
	},
	"a link to nothing": func(path, target string) error { return os.Symlink(target, path) },
	"a link to a pipe": func(path, target string) error {
		return errors.Join(syscall.Mkfifo(target, 0o600), os.Symlink(target, path))
	},
	"a link to a device": func(path, _ string) error { return os.Symlink("/dev/zero", path) },
	"a link to itself":   func(path, _ string) error { return os.Symlink(path, path) },
	"a huge file":        plantHuge,
}

func plantSocket(path, _ string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	short, err := os.MkdirTemp("", "s") // addresses of sockets are short
	if err != nil {
		return err
	}
	defer os.RemoveAll(short)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Join(short, "s")}); err != nil {
		return err
	}
	return os.Rename(filepath.Join(short, "s"), path)
}

func plantHuge(path, _ string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(8<<30), f.Close()) // without a block on the disk
}

// useAll calls every method that opens files, and returns what came of each.
func useAll(ctx context.Context, f *tokenstore.File, rec *tokenstore.Record) map[string]error {
	outcome := make(map[string]error)
	_, outcome["Stamp"] = f.Stamp(ctx, "default")
	_, outcome["Names"] = f.Names(ctx)
	_, outcome["Cleanup"] = f.Cleanup(ctx)
	for range f.Pages(ctx, 10) {
	}
	_, outcome["Get"] = f.Get(ctx, "default")
	outcome["Check"] = f.Check(ctx, "default")
	if lease, err := f.Lock(ctx, "default"); err != nil {
		outcome["Lock"] = err
	} else {
		outcome["Lock"] = lease.Unlock()
	}
	if spending, version, err := f.BeginSpend(ctx, f, "default", rec, true); err != nil {
		outcome["BeginSpend"] = err
	} else {
		next := rec.Clone()
		next.Version = version
		_, outcome["Settle"] = spending.Settle(ctx, next)
		_ = spending.Unlock()
	}
	_, outcome["Set"] = f.Set(ctx, "default", &tokenstore.Record{Tokens: newPair("new")})
	if now, err := f.Get(ctx, "default"); err == nil {
		outcome["Delete"] = f.Delete(ctx, "default", now.Version)
	}
	return outcome
}

func TestF97_WhatIsPlantedIsNeitherReadNorFollowedNorWaitedFor(t *testing.T) {
	for _, suffix := range []string{"", ".lock", ".write", ".next", ".moved"} {
		for what, plant := range planted {
			t.Run("default.json"+suffix+" is "+what, func(t *testing.T) {
				f := openFile(t, testdir.New(t))
				path := filepath.Join(f.Dir(), "default.json")
				rec := &tokenstore.Record{Tokens: newPair("a")}
				if suffix != "" && suffix != ".moved" {
					rec.Version = mustSet(t, f, "default", rec)
				}
				target := filepath.Join(testdir.New(t), "target")
				_ = os.Remove(path + suffix)
				if err := plant(path+suffix, target); err != nil {
					t.Fatal(err)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for method, err := range useAll(t.Context(), f, rec) {
					if err != nil && strings.Contains(err.Error(), "theirs") {
						t.Errorf("%s quotes what is there: %v", method, err)
					}
				}
				if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 32<<20 {
					t.Errorf("%d bytes of memory were taken", after.TotalAlloc-before.TotalAlloc)
				}
				wantTarget(t, what, target)
			})
		}
	}
}

// wantTarget fails the test unless what a link led to is as it was.
func wantTarget(t *testing.T, what, target string) {
	t.Helper()
	info, err := os.Lstat(target)
	switch what {
	case "a link to a file":
		if err != nil || info.Mode().Perm() != 0o644 || readFile(t, target) != "theirs" {
			t.Errorf("the file that the link leads to was changed: %v, %v", info, err)
		}
	case "a link to nothing":
		if err == nil {
			t.Error("a file was made where the link leads")
		}
	}
}

// What is refused says what to do, and once that is done the session is there again.
func TestF97_PlantedRecordAndLocksSayWhatToDo(t *testing.T) {
	for _, suffix := range []string{"", ".lock"} {
		for what, plant := range planted {
			if what == "a huge file" {
				continue // see below; as a lock it is none the worse
			}
			t.Run("default.json"+suffix+" is "+what, func(t *testing.T) {
				f := openFile(t, testdir.New(t))
				rec := &tokenstore.Record{Tokens: newPair("a")}
				rec.Version = mustSet(t, f, "default", rec)
				path := filepath.Join(f.Dir(), "default.json"+suffix)
				kept := path + "-kept"
				_ = os.Rename(path, kept)
				if err := plant(path, filepath.Join(testdir.New(t), "target")); err != nil {
					t.Fatal(err)
				}
				outcome := useAll(t.Context(), f, rec)
				err := outcome["Get"]
				if suffix == ".lock" {
					err = outcome["Lock"]
				}
				place, ok := errors.AsType[*tokenstore.PlaceError](err)
				if !ok || place.Advice == "" || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v; want a PlaceError that names the file and says what to do", err)
				}
			})
		}
	}
}

// The lock files of a checkout or an unpacked archive may be read by anybody, and so locked.
func TestLockFilesThatOthersMayReadAreClosedToThem(t *testing.T) {
	f := openFile(t, testdir.New(t))
	rec := &tokenstore.Record{Tokens: newPair("a")}
	rec.Version = mustSet(t, f, "default", rec)
	locks := []string{"default.json.lock", "default.json.write"}
	for _, lock := range locks {
		writeFile(t, filepath.Join(f.Dir(), lock), "", 0o600)
		chmod(t, filepath.Join(f.Dir(), lock), 0o644)
	}
	useAll(t.Context(), f, rec)
	for _, lock := range locks {
		if info, err := os.Stat(filepath.Join(f.Dir(), lock)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", lock, info.Mode(), err)
		}
	}
}

// A lock that is the session's other lock, too, would have a process wait for itself. Other
// second names are of no account, such as those of a copy whose files are links.
func TestLockFileThatIsTheOtherLockIsRefusedAtOnce(t *testing.T) {
	f := openFile(t, testdir.New(t))
	rec := &tokenstore.Record{Tokens: newPair("a")}
	rec.Version = mustSet(t, f, "default", rec)
	lease, err := f.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	lock, write := filepath.Join(f.Dir(), "default.json.lock"), filepath.Join(f.Dir(), "default.json.write")
	_ = os.Remove(write)
	if err := os.Link(lock, write); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, setErr := f.Set(ctx, "default", rec)
	_ = lease.Unlock()
	_, lockErr := f.Lock(ctx, "default")
	for what, err := range map[string]error{write: setErr, lock: lockErr} {
		place, ok := errors.AsType[*tokenstore.PlaceError](err)
		if !ok || place.Advice == "" || !strings.Contains(err.Error(), what+" has a second name") {
			t.Errorf("%s: %v; want a PlaceError that names the file and says what to do", what, err)
		}
	}
	if err := errors.Join(os.Remove(lock), os.Remove(write)); err != nil {
		t.Fatal(err)
	}
	rec = mustGet(t, f, "default")
	rec.Version = mustSet(t, f, "default", rec)
	for _, path := range []string{lock, write} {
		if err := os.WriteFile(path+"-copy", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(path)
		if err := os.Link(path+"-copy", path); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if lease, err = f.Lock(ctx, "default"); err != nil {
		t.Fatal(err)
	}
	mustSet(t, f, "default", rec)
	_ = lease.Unlock()
}

func TestF97_HugeRecordIsMovedAsideAndALoginHeals(t *testing.T) {
	f := openFile(t, testdir.New(t))
	path := filepath.Join(f.Dir(), "default.json")
	if err := plantHuge(path, ""); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), "default"); err != nil {
		t.Errorf("Check before a login: %v", err)
	}
	if _, err := f.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrDamaged) {
		t.Errorf("Get: %v; want ErrDamaged", err)
	}
	if aside := glob(t, f.Dir(), "default.json.damaged-*"); len(aside) != 1 {
		t.Errorf("moved aside: %q", aside)
	}
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("b")})
	mustGet(t, f, "default")
}

func TestRecordThatCouldNotBeReadAgainIsNotWritten(t *testing.T) {
	f := openFile(t, testdir.New(t))
	rec := &tokenstore.Record{Tokens: newPair("a")}
	rec.Version = mustSet(t, f, "default", rec)
	for _, size := range []int{600 << 10, 700 << 10, 2 << 20} {
		big := rec.Clone()
		big.Tokens.AccessToken = strings.Repeat("s", size)
		version, err := f.Set(t.Context(), "default", big)
		if err == nil {
			rec = mustGet(t, f, "default")
			if rec.Version != version {
				t.Errorf("%d bytes: version %d; want %d", size, rec.Version, version)
			}
			spending, _, err := f.BeginSpend(t.Context(), f, "default", rec, true)
			if err != nil {
				t.Fatal(err)
			}
			rec = mustGet(t, f, "default")
			if rec.Version, err = spending.Settle(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
			mustGet(t, f, "default")
			continue
		}
		if size == 600<<10 || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("%d bytes: %v", size, err)
		}
		if got := mustGet(t, f, "default"); got.Version != rec.Version {
			t.Errorf("%d bytes: the stored version is now %d; want %d", size, got.Version, rec.Version)
		}
	}
}

// What a note says is shown only if it is a name that we give.
func TestNoteOfAnotherProgramIsNotShown(t *testing.T) {
	for _, note := range []string{"", "../../etc/passwd", "\x1b]0;evil\a", "default.json.damaged-\u202e", "other.json.damaged-20260101T000000Z-00000000", strings.Repeat("x", 5000)} {
		f := openFile(t, testdir.New(t))
		writeFile(t, filepath.Join(f.Dir(), "default.json.moved"), note, 0o600)
		_, err := f.Get(t.Context(), "default")
		if !errors.Is(err, tokenstore.ErrDamaged) || !strings.Contains(err.Error(), "moved to a file beside it") {
			t.Errorf("note %.20q: %v", note, err)
		}
		mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")}) // a login heals it
	}
}

func TestDirectoryIsCheckedAtEachUse(t *testing.T) {
	top := testdir.New(t)
	f := openFile(t, filepath.Join(top, "a", "sessions"))
	rec := &tokenstore.Record{Tokens: newPair("a")}
	rec.Version = mustSet(t, f, "default", rec)
	for _, dir := range []string{f.Dir(), filepath.Join(top, "a")} {
		chmod(t, dir, 0o777)
		want := "chmod go-w"
		_, lockErr := f.Lock(t.Context(), "default")
		_, setErr := f.Set(t.Context(), "another", &tokenstore.Record{Tokens: newPair("b")})
		_, _, spendErr := f.BeginSpend(t.Context(), f, "default", rec, true)
		_, openErr := tokenstore.NewFile(f.Dir())
		for method, err := range map[string]error{"Lock": lockErr, "Set": setErr, "BeginSpend": spendErr, "NewFile": openErr, "Check": f.Check(t.Context(), "default")} {
			if place, ok := errors.AsType[*tokenstore.PlaceError](err); !ok || !strings.Contains(place.Advice, want) {
				t.Errorf("%s, %s may be written by others: %v; want that with what to do", method, dir, err)
			}
		}
		if dir == f.Dir() {
			if _, err := f.Get(t.Context(), "default"); err == nil {
				t.Error("Get believes a directory that others may write to")
			}
			if _, err := f.Names(t.Context()); err == nil {
				t.Error("Names believes a directory that others may write to")
			}
		}
		chmod(t, dir, 0o700)
	}
	mustGet(t, f, "default")
}

// A pair that has taken another one's place is saved wherever it can be: there is no other
// copy of it.
func TestPairThatWasRenewedIsSavedWhateverTheModes(t *testing.T) {
	f := openFile(t, testdir.New(t))
	rec := &tokenstore.Record{Tokens: newPair("a")}
	rec.Version = mustSet(t, f, "default", rec)
	spending, version, err := f.BeginSpend(t.Context(), f, "default", rec, true)
	if err != nil {
		t.Fatal(err)
	}
	chmod(t, f.Dir(), 0o777)
	next := &tokenstore.Record{Version: version, Tokens: newPair("b")}
	if _, err := spending.Settle(t.Context(), next); err != nil {
		t.Errorf("Settle: %v", err)
	}
	chmod(t, f.Dir(), 0o700)
	if got := mustGet(t, f, "default"); got.Tokens.AccessToken != newPair("b").AccessToken {
		t.Errorf("Get: %v", got)
	}
}

func TestDirectoryOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root gives files away
	}
	dir := testdir.New(t)
	if err := os.Chown(dir, 4711, 4711); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, filepath.Join(dir, "sessions")} {
		_, err := tokenstore.NewFile(dir)
		if place, ok := errors.AsType[*tokenstore.PlaceError](err); !ok || !strings.Contains(err.Error(), "another user") || place.Advice == "" {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "sessions")); err == nil {
		t.Error("a directory was made below that of another user")
	}
}
