package tokenstore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// A session that is not found because its directory is not, was not deleted: a home is
// unmounted, another program moves the directory about. To a process that holds a good
// copy, that is an outage. So a missing record counts as none only in the directory that
// the store was opened in, or in one that has the session's write lock, which every
// save leaves behind. Another directory in its place, as a mount point is without its
// mount, says nothing.
//
// Device and inode do not tell directories apart that are never there at once: a file
// system that is mounted in place of another one has its number, and its root has the inode of
// all roots; a directory that is made anew gets the inode of the one that was removed. The
// time of birth does. Where the system does not tell it, an empty directory says
// nothing either, once there was a session in it.

// errAway means that the directory of the sessions is not the one that was opened.
var errAway = errors.New("the directory of the sessions is away")

// errBack means that a record is there which was not a moment before.
var errBack = errors.New("the session was not there for a moment; try again")

// away returns the error for a directory that is not there, or not the same.
func (f *File) away(what string) error {
	return &PlaceError{
		Err:    fmt.Errorf("%w: %w: %s %s", ErrUnavailable, errAway, f.dir, what),
		Advice: "put it back; if it is gone for good, start the program again",
		Passes: true,
	}
}

// here returns nil if the directory is the one that was opened.
func (f *File) here() error {
	now, err := identity(f.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.away("does not exist")
	case err != nil:
		return advise(err)
	case !f.home.Load().is(now):
		return f.away("is another one now")
	}
	return nil
}

// checkHere returns why nothing can be said of a session without a record, or done
// with it; nil if its directory is there.
func (f *File) checkHere(path string) error {
	err := f.here()
	if err == nil && f.home.Load().born.IsZero() && f.held.Load() && isEmpty(f.dir) {
		err = f.away("is empty now")
	}
	if !errors.Is(err, errAway) {
		return err
	}
	if _, trace := os.Lstat(path + writeSuffix); trace == nil {
		return nil // it was saved here
	}
	if _, record := os.Lstat(path); record == nil {
		return nil
	}
	return err
}

// checkDir returns why what is in the directory must not be believed. It looks at the
// directory each time, since its mode and owner may have been changed.
func (f *File) checkDir() error {
	info, err := os.Stat(f.dir)
	if err != nil {
		return nil // whether it is there is for here to say
	}
	return advise(ownfile.CheckDir(f.dir, info))
}

// checkUse is checkHere, and returns why no work must begin in the directory: another user
// could replace it, or what is in it. Work that has begun is ended there all the same.
func (f *File) checkUse(path string) error {
	return cmp.Or(f.checkHere(path), advise(ownfile.CheckPlace(f.dir)))
}

// absent returns the error for a session without a record: errBack if there is one now.
func (f *File) absent(name string) error {
	path := f.path(name)
	if err := f.checkHere(path); err != nil {
		return err
	}
	err := movedAside(path)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	// The directory may have gone before the record was looked for, and be back, or go
	// before the note was looked for. What is there now counts.
	if _, record := os.Lstat(path); record == nil {
		return errBack
	}
	if err := f.checkHere(path); err != nil {
		return err
	}
	return ErrNotFound
}

// find looks for a session's record, and once more if it was away for a moment.
func (f *File) find(name string, look func(path string) error) error {
	path := f.path(name)
	err := look(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = f.absent(name); errors.Is(err, errBack) {
			err = look(path)
		}
	}
	if err == nil && !f.held.Load() {
		f.held.Store(true)
	}
	return err
}

// orAway returns err, or that the directory is away if that may be why.
func (f *File) orAway(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		if gone := f.here(); gone != nil {
			return gone
		}
	}
	return err
}

// settle makes the directory that is there the store's, for a session that begins in it.
// One that is not there is made.
func (f *File) settle() error {
	f.held.Store(false)
	if err := f.here(); !errors.Is(err, errAway) {
		return err
	}
	if err := makeDir(f.dir); err != nil {
		return advise(err)
	}
	home, err := identity(f.dir)
	if err == nil {
		f.home.Store(home)
	}
	return advise(err)
}

// A dirID tells a directory from another one at the same place.
type dirID struct {
	info fs.FileInfo
	born time.Time // zero if the system does not tell
}

func identity(dir string) (*dirID, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	os.SameFile(info, info) // some systems look only now
	return &dirID{info, birth(dir, info)}, nil
}

// is reports whether both are one directory, as far as the system tells.
func (d *dirID) is(other *dirID) bool {
	return os.SameFile(d.info, other.info) && (d.born.IsZero() || d.born.Equal(other.born))
}

// isEmpty reports whether a directory has no file of any session.
func isEmpty(dir string) bool {
	d, err := ownfile.OpenDir(dir)
	if err != nil {
		return false
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(100)
		if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, recordSuffix) }) {
			return false
		}
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}
