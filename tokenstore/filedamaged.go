package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
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
		aside, err = os.ReadFile(path + noteSuffix)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotFound
	case err != nil:
		return advise(err)
	}
	return fmt.Errorf("%w: it was %w %s", ErrDamaged, errMoved, strings.TrimSpace(string(aside)))
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
			return moveAside(path, err)
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
func moveAside(path string, damage error) error {
	aside := fmt.Sprintf("%s%s%s-%08x", path, damagedSuffix, time.Now().UTC().Format("20060102T150405Z"), rand.Uint32())
	// The note comes first, or a reader in between would take the session
	// for deleted. Where it cannot be written, the rename will say why.
	_ = retryBusy(func() error { return os.WriteFile(path+noteSuffix, []byte(filepath.Base(aside)+"\n"), 0o600) })
	if err := renameFile(path, aside); err != nil {
		forgetMoved(path)
		return fmt.Errorf("%w; it could not be moved aside: %w", damage, advise(err))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%w; moving it aside: %w", damage, advise(err))
	}
	return fmt.Errorf("%w; %w %s", damage, errMoved, filepath.Base(aside))
}
