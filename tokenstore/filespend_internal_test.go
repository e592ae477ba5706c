package tokenstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/oauth"
)

// A faultyDisk counts calls, and has those of one name fail, for all files or for those
// whose path has an ending.
type faultyDisk struct {
	calls  map[string]int
	fails  string
	ending string
	err    error

	mounted bool
	created []*os.File
	wrote   func(file *os.File, data []byte)
}

// install makes f write by d.
func (d *faultyDisk) install(f *File) {
	d.calls = make(map[string]int)
	call := func(name, path string) error {
		d.calls[name]++
		if name == d.fails && strings.HasSuffix(path, d.ending) {
			return &os.PathError{Op: name, Path: "x", Err: d.err}
		}
		return nil
	}
	real := f.disk
	f.disk = disk{
		read: func(path string, limit int64) ([]byte, error) {
			if d.fails == "read" && strings.HasSuffix(path, d.ending) {
				return nil, &os.PathError{Op: "read", Path: "x", Err: d.err}
			}
			return real.read(path, limit)
		},
		create: func(path string) (*os.File, error) {
			if err := call("create", path); err != nil {
				return nil, err
			}
			file, err := real.create(path)
			d.created = append(d.created, file)
			return file, err
		},
		write: func(file *os.File, data []byte) error {
			if d.wrote != nil {
				d.wrote(file, data)
			}
			if err := call("write", file.Name()); err != nil {
				_ = real.write(file, data[:len(data)/2]) // as a disk does that fills up
				return err
			}
			return real.write(file, data)
		},
		sync: func(file *os.File) error { return errors.Join(call("sync", file.Name()), real.sync(file)) },
		rename: func(from, to string) error {
			if err := call("rename", to); err != nil {
				return err
			}
			return real.rename(from, to)
		},
		remove: func(path string) error {
			if err := call("remove", path); err != nil {
				return err
			}
			return real.remove(path)
		},
		syncDir: func(dir string) error { return errors.Join(call("syncDir", dir), real.syncDir(dir)) },
		isMount: func(path string) bool { return d.mounted || real.isMount(path) },
	}
}

var diskFaults = []error{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EMFILE, syscall.EIO, syscall.EACCES, syscall.EPERM, syscall.EBUSY,
}

// A spendDesk is a session of a File, which is about to be renewed.
type spendDesk struct {
	t     *testing.T
	dir   string
	store Store               // what a process uses
	file  *File               // what is beneath
	over  func(f *File) Store // how store was made of it
	disk  *faultyDisk
	rec   *Record
}

func newSpendDesk(t *testing.T, sealed bool) *spendDesk {
	d := &spendDesk{t: t, dir: testdir.New(t), disk: new(faultyDisk)}
	key := NewKey()
	d.open(func(f *File) Store {
		if sealed {
			return NewSealed(f, Keys(key))
		}
		return f
	})
	d.rec = &Record{Tokens: pairOf(0)}
	d.rec.Version = d.must(d.store.Set(t.Context(), "default", d.rec))
	return d
}

func (d *spendDesk) open(over func(f *File) Store) {
	f, err := NewFile(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	d.disk.install(f)
	d.file, d.store, d.over = f, over(f), over
}

func pairOf(n int) *oauth.TokenPair {
	return &oauth.TokenPair{AccessToken: fmt.Sprint("access-", n), RefreshToken: fmt.Sprint("refresh-", n)}
}

func (d *spendDesk) must(version uint64, err error) uint64 {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
	return version
}

// announced returns the record as a process announces its spend.
func (d *spendDesk) announced() *Record {
	rec := d.get().Clone()
	rec.Pending = &Mark{Token: Fingerprint(rec.Tokens.RefreshToken), At: time.Now().UTC()}
	return rec
}

func (d *spendDesk) get() *Record {
	d.t.Helper()
	rec, err := d.store.Get(context.Background(), "default")
	if err != nil {
		d.t.Fatal(err)
	}
	return rec
}

func (d *spendDesk) begin(reserve bool) (Spending, *Record, error) {
	rec := d.announced()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute) // for a lock that is never given back
	defer cancel()
	s, version, err := d.store.(Spender).BeginSpend(ctx, d.store, "default", rec, reserve)
	rec.Version = version
	return s, rec, err
}

// renewed returns what rec becomes.
func renewed(rec *Record, n int) *Record {
	next := rec.Clone()
	next.Supersede(pairOf(n))
	return next
}

// files returns what is in the directory beside the record and its locks.
func (d *spendDesk) rest() (names []string) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		switch e.Name() {
		case "default.json", "default.json.lock", "default.json.write":
		default:
			names = append(names, e.Name())
		}
	}
	return names
}

func eachKind(t *testing.T, test func(t *testing.T, sealed bool)) {
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprintf("sealed=%v", sealed), func(t *testing.T) { test(t, sealed) })
	}
}

func TestASavedRefreshSyncsTwoThings(t *testing.T) {
	eachKind(t, func(t *testing.T, sealed bool) {
		for reserve, want := range map[bool]int{false: 2, true: 3} {
			d := newSpendDesk(t, sealed)
			for n := 1; n <= 3; n++ {
				clear(d.disk.calls)
				s, rec, err := d.begin(reserve)
				if err != nil {
					t.Fatal(err)
				}
				if got := d.get(); got.Pending == nil || got.Version != rec.Version {
					t.Errorf("the announcement is not there: version %d, mark %v", got.Version, got.Pending)
				}
				d.must(s.Settle(t.Context(), renewed(rec, n)))
				if got := d.disk.calls["sync"] + d.disk.calls["syncDir"]; got != want || d.disk.calls["create"] != 1 || d.disk.calls["rename"] != 1 {
					t.Errorf("reserve=%v: calls %v; want %d syncs, one file, one rename", reserve, d.disk.calls, want)
				}
				if got := d.get(); got.Tokens.RefreshToken != pairOf(n).RefreshToken || got.Pending != nil || len(got.Unknown) != 0 {
					t.Errorf("after renewal %d: %v, mark %v, unknown %v", n, got.Tokens, got.Pending, got.Unknown)
				}
				if rest := d.rest(); len(rest) != 0 {
					t.Errorf("left behind: %v", rest)
				}
			}
		}
	})
}

// What cannot be announced, or has no room, is not announced: the session is as it was.
func TestF73_ASpendThatCannotBeAnnouncedLeavesNothing(t *testing.T) {
	eachKind(t, func(t *testing.T, sealed bool) {
		for _, call := range []string{"create", "write", "sync"} {
			for _, fault := range diskFaults {
				d := newSpendDesk(t, sealed)
				d.disk.fails, d.disk.err = call, fault
				before := d.get()
				_, _, err := d.begin(true)
				var place *PlaceError
				if !errors.Is(err, fault) || !errors.As(err, &place) {
					t.Errorf("%s: %v: got %v; want a PlaceError with that", call, fault, err)
				}
				if got := d.get(); got.Version != before.Version || got.Pending != nil || len(d.rest()) != 0 {
					t.Errorf("%s: %v: changed: %v, mark %v, left %v", call, fault, got, got.Pending, d.rest())
				}
				d.disk.fails = ""
				s, rec, err := d.begin(true) // the lock was given back too
				if err != nil {
					t.Fatalf("%s: %v: afterwards: %v", call, fault, err)
				}
				d.must(s.Settle(t.Context(), renewed(rec, 1)))
			}
		}
	})
}

// Whatever fails once the answer is there, the next process has the new pair, unless
// the disk does not take a byte of what it has reserved.
func TestF73_WhatASpendHasBroughtOutlivesAProcessThatCannotFinish(t *testing.T) {
	eachKind(t, func(t *testing.T, sealed bool) {
		for _, call := range []string{"create", "sync", "rename", "syncDir"} {
			for _, fault := range diskFaults {
				for _, again := range []bool{false, true} {
					d := newSpendDesk(t, sealed)
					s, rec, err := d.begin(true)
					if err != nil {
						t.Fatal(err)
					}
					d.disk.fails, d.disk.err = call, fault
					next := renewed(rec, 1)
					_, err = s.Settle(t.Context(), next)
					if (err == nil) != (call == "create") || err != nil && !errors.Is(err, fault) {
						t.Errorf("%s: %v: Settle: %v", call, fault, err)
					}
					if got := d.get(); got.Tokens.RefreshToken != "refresh-1" || got.Pending != nil {
						t.Fatalf("%s: %v: the next process finds %v, mark %v", call, fault, got.Tokens.RefreshToken, got.Pending)
					}
					if again && err != nil { // a process that lives on saves what it finds there
						d.disk.fails = ""
						next.Version = d.get().Version
						d.must(s.Settle(t.Context(), next))
					}
					d.disk.fails = ""
					_ = s.Unlock()
					for n := 2; n <= 3; n++ {
						s, rec, err := d.begin(true)
						if err != nil {
							t.Fatalf("%s: %v: renewal %d: %v", call, fault, n, err)
						}
						d.must(s.Settle(t.Context(), renewed(rec, n)))
					}
					if got := d.get(); got.Tokens.RefreshToken != "refresh-3" || len(d.rest()) != 0 {
						t.Errorf("%s: %v: in the end %v, left %v", call, fault, got.Tokens.RefreshToken, d.rest())
					}
				}
			}
		}
	})
}

// A record that only the next spend can give its name keeps any spend from beginning
// until that works: it would be written over.
func TestF73_ARecordWithoutItsNameIsNotWrittenOver(t *testing.T) {
	d := newSpendDesk(t, false)
	s, rec, err := d.begin(true)
	if err != nil {
		t.Fatal(err)
	}
	d.disk.fails, d.disk.err = "rename", syscall.EBUSY
	_, err = s.Settle(t.Context(), renewed(rec, 1))
	if !errors.Is(err, syscall.EBUSY) || d.disk.calls["syncDir"] == 0 {
		t.Errorf("Settle: %v; the name of what was saved is synced %d times", err, d.disk.calls["syncDir"])
	}
	_ = s.Unlock()
	if _, _, err := d.begin(false); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("the next spend: %v; want EBUSY", err)
	}
	if got := d.get(); got.Tokens.RefreshToken != "refresh-1" {
		t.Errorf("the session is %v", got.Tokens.RefreshToken)
	}
	rec = d.get()
	rec.NotBefore = time.Now().Add(time.Hour)
	d.disk.fails = ""
	d.must(d.store.Set(t.Context(), "default", rec))
	if got := d.get(); got.Tokens.RefreshToken != "refresh-1" || got.NotBefore.IsZero() {
		t.Errorf("after another save: %v", got)
	}
}

// A process that is killed leaves the announcement, at whatever step.
func TestAnAnnouncementOutlivesItsProcess(t *testing.T) {
	eachKind(t, func(t *testing.T, sealed bool) {
		d := newSpendDesk(t, sealed)
		s, rec, err := d.begin(false)
		if err != nil {
			t.Fatal(err)
		}
		if d.disk.calls["sync"] != 1 { // that of the login
			t.Errorf("%d files synced; want none for an announcement", d.disk.calls["sync"]-1)
		}
		_ = s.Unlock() // as the end of the process does
		found := d.get()
		if !found.Pending.On("refresh-0") || found.Version != rec.Version {
			t.Errorf("found %v", found.Pending)
		}
		if _, _, err := d.store.(Spender).BeginSpend(t.Context(), d.store, "default", &Record{Tokens: pairOf(0), Version: rec.Version - 1}, false); !errors.Is(err, ErrConflict) {
			t.Errorf("a spend of the record before: %v; want ErrConflict", err)
		}
		s, rec, err = d.begin(false)
		if err != nil {
			t.Fatal(err)
		}
		d.must(s.Settle(t.Context(), renewed(rec, 1)))
		if got := d.get(); got.Tokens.RefreshToken != "refresh-1" {
			t.Errorf("got %v", got.Tokens)
		}
	})
}

// What is beside a record counts only whole, and only beside the record that it follows.
func TestWhatIsBesideARecordCountsOnlyWhole(t *testing.T) {
	d := newSpendDesk(t, false)
	s, rec, err := d.begin(false)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.dir, "default.json")
	next, err := os.ReadFile(path + nextSuffix)
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.TrimRight(next, " \n")
	for size := range len(whole) {
		if err := os.WriteFile(path+nextSuffix, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := d.get(); got.Pending != nil || got.Tokens.RefreshToken != "refresh-0" {
			t.Fatalf("%d bytes of %d count", size, len(whole))
		}
		torn := append(bytes.Clone(whole[:size]), bytes.Repeat([]byte("0"), len(whole)-size)...)
		if err := os.WriteFile(path+nextSuffix, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := d.get(); got.Pending != nil {
			t.Fatalf("torn at byte %d, it counts", size)
		}
	}
	// Half of one record and half of another may be JSON too.
	mixed := bytes.Replace(whole, []byte("access-0"), []byte("access-1"), 1)
	if err := os.WriteFile(path+nextSuffix, mixed, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := d.get(); bytes.Equal(mixed, whole) || got.Pending != nil || got.Tokens.AccessToken != "access-0" {
		t.Errorf("mixed of two, it counts: %v", got.Tokens.AccessToken)
	}
	if err := os.WriteFile(path+nextSuffix, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := d.get(); got.Version != rec.Version {
		t.Error("a whole one does not count")
	}
	_ = s.Unlock()
	d.must(d.store.Set(t.Context(), "default", &Record{Tokens: pairOf(7), Version: rec.Version})) // a login
	if got := d.get(); got.Tokens.RefreshToken != "refresh-7" || got.Pending != nil {
		t.Errorf("after a login: %v, mark %v", got.Tokens, got.Pending)
	}
	if err := d.store.Delete(t.Context(), "default", d.get().Version); err != nil {
		t.Fatal(err)
	}
	if rest := d.rest(); len(rest) != 0 {
		t.Errorf("left behind by Delete: %v", rest)
	}
	if _, err := d.store.Get(t.Context(), "default"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after Delete: %v", err)
	}
}

// A login or a logout during the request stays.
func TestASpendDoesNotUndoWhatWasSavedMeanwhile(t *testing.T) {
	for _, logout := range []bool{false, true} {
		d := newSpendDesk(t, false)
		s, rec, err := d.begin(true)
		if err != nil {
			t.Fatal(err)
		}
		if logout {
			err = d.store.Delete(t.Context(), "default", rec.Version)
		} else {
			_, err = d.store.Set(t.Context(), "default", &Record{Tokens: pairOf(7), Version: rec.Version})
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Settle(t.Context(), renewed(rec, 1)); !errors.Is(err, ErrConflict) {
			t.Errorf("logout=%v: Settle: %v; want ErrConflict", logout, err)
		}
		got, err := d.store.Get(t.Context(), "default")
		if logout != errors.Is(err, ErrNotFound) || !logout && got.Tokens.RefreshToken != "refresh-7" {
			t.Errorf("logout=%v: %v, %v", logout, got, err)
		}
		if s.Err() != nil {
			t.Errorf("the lease is gone: %v", s.Err())
		}
		_ = s.Unlock()
	}
}

// A process that waits for the lock takes what its holder has saved, and does not queue
// for its own turn first.
func TestAWaiterLearnsOfTheSaveBeforeTheLockIsFree(t *testing.T) {
	d := newSpendDesk(t, false)
	s, rec, err := d.begin(false)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewFile(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 2)
	wait := func(rec *Record) {
		_, _, err := other.BeginSpend(t.Context(), other, "default", rec, false)
		told <- err
	}
	stale := rec.Clone()
	stale.Version--
	wait(stale) // the announcement is news already
	if err := <-told; !errors.Is(err, ErrConflict) {
		t.Errorf("a stale record: %v; want ErrConflict", err)
	}
	go wait(rec.Clone())
	select {
	case err := <-told:
		t.Fatalf("the lock is held, and nothing has changed: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	d.must(d.file.Set(t.Context(), "default", renewed(rec, 1))) // without the unlock
	if err := <-told; !errors.Is(err, ErrConflict) {
		t.Errorf("got %v; want ErrConflict", err)
	}
	_ = s.Unlock()
}

// wrapper is a store of a program, with a Set of its own.
type wrapper struct {
	*File
	sets int
}

func (w *wrapper) Set(ctx context.Context, name string, rec *Record) (uint64, error) {
	w.sets++
	return w.File.Set(ctx, name, rec)
}

func TestASpendGoesNotPastTheSetOfAWrapper(t *testing.T) {
	d := newSpendDesk(t, false)
	w := &wrapper{File: d.file}
	for _, via := range []Store{w, nil, NewSealed(w, Keys(NewKey()))} {
		if _, _, err := w.BeginSpend(t.Context(), via, "default", d.announced(), false); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%T: %v; want ErrUnsupported", via, err)
		}
	}
	sealed := NewSealed(w, Keys(NewKey()))
	if _, _, err := sealed.BeginSpend(t.Context(), sealed, "default", d.announced(), false); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("sealed over it: %v; want ErrUnsupported", err)
	}
}

// A pipe, a link or a directory in the place of the file is removed, or said.
func TestSomethingElseInThePlaceOfTheNextRecord(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // there are no links or pipes for all users
	}
	outside := filepath.Join(testdir.New(t), "outside")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, put := range map[string]func(path string) error{
		"link": func(path string) error { return os.Symlink(outside, path) },
		"dir":  func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) },
		"file": func(path string) error { return os.WriteFile(path, []byte("{}"), 0o644) },
	} {
		d := newSpendDesk(t, false)
		if err := put(filepath.Join(d.dir, "default.json"+nextSuffix)); err != nil {
			t.Fatal(err)
		}
		s, rec, err := d.begin(true)
		if what == "dir" {
			if err == nil || d.get().Pending != nil {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		d.must(s.Settle(t.Context(), renewed(rec, 1)))
		if got := d.get(); got.Tokens.RefreshToken != "refresh-1" {
			t.Errorf("%s: %v", what, got.Tokens)
		}
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "x" {
		t.Errorf("the file that a link led to: %q, %v", data, err)
	}
}
