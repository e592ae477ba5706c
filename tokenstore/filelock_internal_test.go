package tokenstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
)

// A process waits for the answer to a spend when its directory is replaced by a copy. The
// lock of the copy is free, and says nothing about that process.
func TestF76_TheLockOfACopyDoesNotEndASpend(t *testing.T) {
	for name, sealed := range map[string]bool{"plain": false, "sealed": true} {
		t.Run(name, func(t *testing.T) {
			d := newSpendDesk(t, sealed)
			spending, _, err := d.file.BeginSpend(t.Context(), d.file, "default", announcedRecord(d), false)
			if err != nil {
				t.Fatal(err)
			}
			d.dir = copyOf(t, d.dir)
			first := d.file
			d.file, err = NewFile(d.dir)
			if err != nil {
				t.Fatal(err)
			}
			blind := lockID(d.file.path("default")+leaseSuffix) == "" // the system tells no two files apart, as Windows
			d.endsWithLock(blind, "the announcement is another process's")
			// A process that finds the announcement writes down when it did.
			rec, err := d.file.Get(t.Context(), "default")
			if err != nil {
				t.Fatal(err)
			}
			if _, told := rec.Unknown[lockField]; told {
				t.Error("the lock is told to programs")
			}
			if rec.Pending != nil {
				rec.Pending.Last = time.Now()
			}
			rec.Version = d.must(d.file.Set(t.Context(), "default", rec))
			d.endsWithLock(blind, "the announcement was left as it is")
			// It spends in the end, and dies.
			own, _, err := d.file.BeginSpend(t.Context(), d.file, "default", rec, false)
			if err != nil {
				t.Fatal(err)
			}
			must(t, own.Unlock())
			d.endsWithLock(true, "the announcement was made under this lock")

			must(t, spending.Unlock())
			d.file = first
			d.endsWithLock(true, "this one has ended")
		})
	}
}

// endsWithLock reports an error if who has the lock now may not, or may, conclude that no other
// process is waiting for an answer.
func (d *spendDesk) endsWithLock(want bool, why string) {
	d.t.Helper()
	lease, err := d.file.Lock(d.t.Context(), "default")
	if err != nil {
		d.t.Fatal(err)
	}
	if got := lease.(ProcessLease).EndsWithProcess(); got != want {
		d.t.Errorf("%s: %v; want %v", why, got, want)
	}
	must(d.t, lease.Unlock())
}

// announcedRecord returns the record of the desk's file with an announcement, which is inside of
// one that is sealed.
func announcedRecord(d *spendDesk) *Record {
	rec, err := d.file.Get(d.t.Context(), "default")
	if err != nil {
		d.t.Fatal(err)
	}
	if !isSealed(rec) {
		rec.Pending = &Mark{Token: Fingerprint(rec.Tokens.RefreshToken), At: time.Now().UTC()}
	}
	return rec
}

// copyOf puts a copy of a directory beside it, with other files of the same content.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(testdir.New(t), "copy")
	must(t, os.Mkdir(to, 0o700))
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		return errors.Join(err, os.WriteFile(filepath.Join(to, entry.Name()), data, 0o600))
	}))
	return to
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
