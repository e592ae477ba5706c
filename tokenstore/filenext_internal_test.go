package tokenstore

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// long returns what rec becomes when the server begins to give access tokens of size bytes.
func long(rec *Record, size int) *Record {
	next := renewed(rec, 1)
	next.Tokens.AccessToken = strings.Repeat("a", size)
	return next
}

// An answer may be longer than the one before. It has the room that was
// reserved; a longer one has what the disk has; and if that is nothing, the announcement stays,
// and the record is saved with less in it.
func TestF73_AnAnswerThatIsLongerThanTheRoomForIt(t *testing.T) {
	eachKind(t, func(t *testing.T, sealed bool) {
		for size, fits := range map[int]bool{1 << 10: true, 2 << 10: true, 8 << 10: false, 300 << 10: false} {
			for _, full := range []error{nil, syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EMFILE} {
				d := newSpendDesk(t, sealed)
				s, rec, err := d.begin(true)
				if err != nil {
					t.Fatal(err)
				}
				if full != nil {
					d.disk.fails, d.disk.err = "create", full
				}
				_, err = s.Settle(t.Context(), long(rec, size))
				if fits || full == nil {
					if got := d.get(); err != nil || len(got.Tokens.AccessToken) != size || got.Pending != nil {
						t.Errorf("%d bytes, %v: %v; %d bytes found, mark %v", size, full, err, len(got.Tokens.AccessToken), got.Pending)
					}
					continue
				}
				if !errors.Is(err, ErrTooLong) || !errors.Is(err, full) {
					t.Errorf("%d bytes, %v: %v; want ErrTooLong and that", size, full, err)
				}
				if got := d.get(); got.Pending == nil || got.Tokens.RefreshToken != "refresh-0" {
					t.Fatalf("%d bytes, %v: the announcement is gone: %v, mark %v", size, full, got.Tokens.RefreshToken, got.Pending)
				}
				d.must(s.Settle(t.Context(), renewed(rec, 1)))
				if got := d.get(); got.Tokens.RefreshToken != "refresh-1" || got.Pending != nil || len(d.rest()) != 0 {
					t.Errorf("%d bytes, %v: with less in it: %v, mark %v, left %v", size, full, got.Tokens.RefreshToken, got.Pending, d.rest())
				}
			}
		}
	})
}

// One that is longer than any record is not saved on any disk.
func TestF73_AnAnswerThatIsLongerThanAnyRecord(t *testing.T) {
	d := newSpendDesk(t, false)
	s, rec, err := d.begin(true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Settle(t.Context(), long(rec, MaxRecord)); !errors.Is(err, ErrTooLong) {
		t.Errorf("Settle: %v; want ErrTooLong", err)
	}
	if _, err := d.store.Set(t.Context(), "default", long(rec, MaxRecord)); !errors.Is(err, ErrTooLong) {
		t.Errorf("Set: %v; want ErrTooLong", err)
	}
	if got := d.get(); got.Pending == nil {
		t.Error("the announcement is gone")
	}
	d.must(s.Settle(t.Context(), renewed(rec, 1)))
	if got := d.get(); got.Tokens.RefreshToken != "refresh-1" {
		t.Errorf("got %v", got.Tokens.RefreshToken)
	}
}

// A directory that goes while the server works takes the file along that the answer is written
// to: when it is back, the new pair is in it.
func TestF73_ADirectoryThatGoesDuringTheRequestBringsTheAnswerBack(t *testing.T) {
	eachKind(t, func(t *testing.T, sealed bool) {
		for what, away := range map[string]func(dir string) (back func() error, err error){
			"moved": func(dir string) (func() error, error) {
				return func() error { return os.Rename(dir+"-away", dir) }, os.Rename(dir, dir+"-away")
			},
			"another in its place": func(dir string) (func() error, error) {
				err := errors.Join(os.Rename(dir, dir+"-away"), os.Mkdir(dir, 0o700))
				return func() error { return errors.Join(os.Remove(dir), os.Rename(dir+"-away", dir)) }, err
			},
			"closed": func(dir string) (func() error, error) {
				return func() error { return os.Chmod(dir, 0o700) }, os.Chmod(dir, 0)
			},
		} {
			d := newSpendDesk(t, sealed)
			s, rec, err := d.begin(true)
			if err != nil {
				t.Fatal(err)
			}
			back, err := away(d.dir)
			if err != nil {
				// Windows moves no directory with an open file, and knows no modes.
				if err := s.Unlock(); err != nil {
					t.Error(err)
				}
				continue
			}
			_, failed := s.Settle(t.Context(), renewed(rec, 1))
			_ = s.Unlock() // as the end of the process does
			if err := back(); err != nil {
				t.Fatal(err)
			}
			d.open(d.over)
			if got := d.get(); got.Tokens.RefreshToken != "refresh-1" || got.Pending != nil {
				t.Errorf("%s: %v; afterwards %v, mark %v", what, failed, got.Tokens.RefreshToken, got.Pending)
			}
			if s, rec, err = d.begin(true); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			d.must(s.Settle(t.Context(), renewed(rec, 2)))
			if got := d.get(); got.Tokens.RefreshToken != "refresh-2" || len(d.rest()) != 0 {
				t.Errorf("%s: in the end %v, left %v", what, got.Tokens.RefreshToken, d.rest())
			}
		}
	})
}

// What was saved in the directory meanwhile is not undone by a pair that was written where the
// directory was.
func TestF73_APairFromAnotherTimeDoesNotUndoALogin(t *testing.T) {
	d := newSpendDesk(t, false)
	s, rec, err := d.begin(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.dir, d.dir+"-away"); err != nil {
		_ = s.Unlock()
		return // Windows moves no directory with an open file
	}
	if _, err := s.Settle(t.Context(), renewed(rec, 1)); err == nil {
		t.Error("saved, and the directory is away")
	}
	_ = s.Unlock()
	if err := os.Rename(d.dir+"-away", d.dir); err != nil {
		t.Fatal(err)
	}
	stored := d.get()
	d.must(d.store.Set(t.Context(), "default", &Record{Tokens: pairOf(7), Version: stored.Version}))
	if got := d.get(); got.Tokens.RefreshToken != "refresh-7" {
		t.Errorf("got %v", got.Tokens.RefreshToken)
	}
}

// What cannot be read beside a record may be the only copy of its successor: the session is
// neither read nor spent without it.
func TestF73_ASuccessorThatCannotBeReadIsNotWrittenOver(t *testing.T) {
	d := newSpendDesk(t, false)
	s, rec, err := d.begin(true)
	if err != nil {
		t.Fatal(err)
	}
	d.disk.fails, d.disk.err = "rename", syscall.EBUSY
	if _, err := s.Settle(t.Context(), renewed(rec, 1)); !errors.Is(err, syscall.EBUSY) {
		t.Fatal(err)
	}
	_ = s.Unlock()
	d.disk.fails = ""
	for _, fault := range diskFaults {
		d.disk.fails, d.disk.err = "read", fault
		if _, err := d.store.Get(t.Context(), "default"); !errors.Is(err, fault) {
			t.Errorf("%v: Get: %v", fault, err)
		}
		if _, _, err := d.store.(Spender).BeginSpend(t.Context(), d.store, "default", rec, false); !errors.Is(err, fault) {
			t.Errorf("%v: BeginSpend: %v", fault, err)
		}
		if _, err := d.store.Set(t.Context(), "default", rec); !errors.Is(err, fault) {
			t.Errorf("%v: Set: %v", fault, err)
		}
		d.disk.fails = ""
		if got := d.get(); got.Tokens.RefreshToken != "refresh-1" {
			t.Fatalf("%v: afterwards %v", fault, got.Tokens.RefreshToken)
		}
	}
}
