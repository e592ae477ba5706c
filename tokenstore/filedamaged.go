package tokenstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// errMoved marks an error that says a damaged file was moved aside, as opposed
// to one that says it could not be.
var errMoved = errors.New("moved to")

// movedAside returns the error for a session without a record: that there is none,
// or that it was moved aside. To a process that holds a good copy of it that is a
// great difference: a deleted session must stay deleted, a damaged one can be saved anew.
func movedAside(path string) error {
	var aside []byte
	err := retryBusy(func() (err error) {
		aside, err = ownfile.Read(path+noteSuffix, maxNote)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotFound
	case errors.Is(err, ownfile.ErrTooLarge) || err == nil && !namesAside(path, aside):
		return fmt.Errorf("%w: it was %w a file beside it", ErrDamaged, errMoved)
	case err != nil:
		return advise(err)
	}
	return fmt.Errorf("%w: it was %w %s", ErrDamaged, errMoved, bytes.TrimSpace(aside))
}

// maxNote is how many bytes a note has at most: the longest name of a file.
const maxNote = 1 << 10

// namesAside reports whether a note names what was moved aside from path. Only such a name
// is shown: a note that another program wrote may say anything.
func namesAside(path string, note []byte) bool {
	rest, ours := bytes.CutPrefix(bytes.TrimSpace(note), []byte(filepath.Base(path)+damagedSuffix))
	return ours && len(bytes.Trim(rest, "0123456789abcdefTZ-")) == 0
}

// forgetMoved removes the note on a damaged record, which is history once there is
// a new one, or the session was deleted.
func forgetMoved(path string) {
	_ = retryBusy(func() error { return os.Remove(path + noteSuffix) })
}

// getDamaged looks again at a file that was damaged a moment ago, this time
// while no other writer changes it, and moves it aside if it still is. A good record
// that took its place meanwhile must not be moved, and is returned.
func (f *File) getDamaged(ctx context.Context, name string) (rec *Record, err error) {
	err = f.change(ctx, name, func(path string) error {
		var err error
		if rec, err = f.read(name); errors.Is(err, ErrDamaged) && !errors.Is(err, errMoved) {
			return f.disk.moveAside(path, err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rec, nil
}

// moveAside renames a damaged file, so that a new record can take its place and
// a person can still look at the old one. It never deletes: the file may hold
// the only copy of a refresh token. The caller holds the write lock. damage, an
// error that wraps ErrDamaged, says what was wrong; the result wraps it.
func (d *disk) moveAside(path string, damage error) error {
	aside := fmt.Sprintf("%s%s%s-%08x", path, damagedSuffix, time.Now().UTC().Format("20060102T150405Z"), rand.Uint32())
	// The note comes first, or a reader in between would take the session
	// for deleted. Where it cannot be written, the rename will say why.
	if tmp, err := d.writeBeside(path, []byte(filepath.Base(aside)+"\n")); err == nil && d.rename(tmp, path+noteSuffix) != nil {
		_ = os.Remove(tmp)
	}
	if err := d.rename(path, aside); err != nil {
		forgetMoved(path)
		return fmt.Errorf("%w; it could not be moved aside: %w", damage, advise(err))
	}
	if err := d.syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%w; moving it aside: %w", damage, advise(err))
	}
	return fmt.Errorf("%w; %w %s", damage, errMoved, filepath.Base(aside))
}
