package tokenstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// File is a store in a directory, shared by all processes that open it: one
// JSON file per session, readable by its user only.
//
// A session called "default" has these files:
//
//	default.json              the record, mode 0600
//	default.json.lock         its lock for Lock
//	default.json.write        its lock while the record is replaced
//	default.json.damaged-...  a record that could not be read, moved aside
//	default.json.moved        a note that this has happened
//
// Other names are encoded so that they are one readable file name on every
// system. Lock files are empty and stay when the session is deleted; deleting
// them by hand is safe only while no program uses the store.
//
// A record is replaced whole: written to a temporary file, synced, and renamed.
// A crash leaves the old record or the new one. Locks end with the process that
// holds them, however it ends. Both need a local file system; network file
// systems may not keep either promise.
//
// The tokens are not encrypted: a program that can read the user's files can
// read them. On Windows, the directory's inherited permissions protect them instead
// of modes. A session file that is a symbolic link is refused, because saving
// would replace the link and leave its target behind.
//
// File implements [Store], [Locker], [Checker], [Lister] and [Stamper]. All methods are safe for
// concurrent use by goroutines and processes. A context that ends stops the
// waiting for a lock, but not a write that has begun.
type File struct {
	dir    string
	leases fileLocks
	writes fileLocks
}

var (
	_ Store   = (*File)(nil)
	_ Locker  = (*File)(nil)
	_ Checker = (*File)(nil)
	_ Lister  = (*File)(nil)
	_ Stamper = (*File)(nil)
)

// NewFile opens the store in dir, which is made absolute and freed of links
// now. A missing dir is created with mode 0700. An existing one keeps its mode,
// but one that other users may write to is refused. Temporary files left behind
// by killed programs are removed.
func NewFile(dir string) (*File, error) {
	real, err := openDir(dir)
	if err != nil {
		return nil, fmt.Errorf("tokenstore: open directory for sessions: %w", err)
	}
	f := &File{dir: real}
	f.sweep()
	return f, nil
}

// Dir returns the absolute path of the directory that holds the sessions.
func (f *File) Dir() string { return f.dir }

func (f *File) path(name string) string {
	return filepath.Join(f.dir, encodeName(name)+recordSuffix)
}

// Get implements [Store]. It takes no lock: the file is always whole. One that
// cannot be read as a record is moved aside, and the error, which wraps
// [ErrDamaged], says to where. Get goes on to say so until the session is saved
// anew or deleted.
func (f *File) Get(ctx context.Context, name string) (*Record, error) {
	if err := check(ctx, "read", name); err != nil {
		return nil, err
	}
	rec, err := f.read(name)
	if errors.Is(err, ErrDamaged) {
		rec, err = f.getDamaged(ctx, name)
	}
	return rec, failed("read", name, err)
}

// Set implements [Store]. A damaged file is moved aside; a new session then
// takes its place, and a change of the old one fails with [ErrDamaged].
func (f *File) Set(ctx context.Context, name string, rec *Record) (uint64, error) {
	if err := check(ctx, "save", name); err != nil {
		return 0, err
	}
	if rec == nil {
		return 0, failed("save", name, errNoRecord)
	}
	version := NextVersion(rec.Version)
	data, err := encode(withName(rec, name), version)
	if err != nil {
		return 0, failed("save", name, err)
	}
	err = f.change(ctx, name, func(path string) error {
		stored, err := f.version(name)
		switch {
		case errors.Is(err, ErrDamaged):
			if !errors.Is(err, errMoved) {
				err = moveAside(path, err)
			}
			if rec.Version != 0 || !errors.Is(err, errMoved) {
				return err
			}
		case err != nil:
			return err
		case stored != rec.Version:
			return ErrConflict
		}
		if err := replaceFile(path, append(data, '\n')); err != nil {
			return advise(err)
		}
		forgetMoved(path)
		return nil
	})
	if err != nil {
		return 0, failed("save", name, err)
	}
	return version, nil
}

// Delete implements [Store]. A damaged file is moved aside, and Delete fails
// with [ErrDamaged]; of one moved aside before it is content with ErrNotFound, and
// from then on the session counts as deleted.
func (f *File) Delete(ctx context.Context, name string, version uint64) error {
	if err := check(ctx, "delete", name); err != nil {
		return err
	}
	err := f.change(ctx, name, func(path string) error {
		stored, err := f.version(name)
		switch {
		case errors.Is(err, errMoved):
			forgetMoved(path)
			return ErrNotFound
		case errors.Is(err, ErrDamaged):
			return moveAside(path, err)
		case err != nil:
			return err
		case stored == 0:
			return ErrNotFound
		case stored != version:
			return ErrConflict
		}
		if err := retryBusy(func() error { return os.Remove(path) }); err != nil {
			return advise(err)
		}
		forgetMoved(path)
		return advise(syncDir(f.dir))
	})
	return failed("delete", name, err)
}

// Lock implements [Locker]. Goroutines of one process get the lock in the order
// in which they asked; processes poll for it every few milliseconds.
func (f *File) Lock(ctx context.Context, name string) (Lease, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	lock, err := f.leases.lock(ctx, f.path(name)+leaseSuffix)
	if err != nil {
		return nil, failed("lock", name, err)
	}
	return &fileLease{lock: lock, name: name}, nil
}

// change calls fn while no other process or goroutine changes the session.
func (f *File) change(ctx context.Context, name string, fn func(path string) error) error {
	path := f.path(name)
	lock, err := f.writes.lock(ctx, path+writeSuffix)
	if err != nil {
		return err
	}
	// What fn did stands, whether or not the unlock reports an error.
	defer func() { _ = lock.unlock() }()
	return fn(path)
}

// version returns the stored record's version, or zero if there is none.
func (f *File) version(name string) (uint64, error) {
	rec, err := f.read(name)
	switch {
	case errors.Is(err, ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return rec.Version, nil
}

// read reads the record of name. If the file is there but holds none, the error
// wraps ErrDamaged.
func (f *File) read(name string) (*Record, error) {
	data, err := readPrivate(f.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, movedAside(f.path(name))
	case err != nil:
		return nil, advise(err)
	}
	rec, err := decode(data)
	switch {
	case errors.Is(err, ErrNewerFormat):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %s", ErrDamaged, strings.TrimPrefix(err.Error(), "tokenstore: "))
	}
	return withoutName(rec, name), nil
}

// readPrivate reads a file, and closes it to other users if it was open to
// them, as files are that people or other programs wrote.
func readPrivate(path string) (data []byte, err error) {
	err = retryBusy(func() error {
		if err := checkPrivate(path); err != nil {
			return err
		}
		data, err = os.ReadFile(path)
		return err
	})
	return data, err
}

func checkPrivate(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return &PlaceError{Err: fmt.Errorf("%s is a symbolic link", path), Advice: "put the file itself there"}
	case !info.Mode().IsRegular():
		return &PlaceError{Err: fmt.Errorf("%s is not a file", path), Advice: moveAway}
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
		_ = os.Chmod(path, 0o600) // as well as this user may; the next save does it anyway
	}
	return nil
}

// nameField keeps the session's name in files whose own name is only a hash.
const nameField = "session_name"

func withName(rec *Record, name string) *Record {
	if !isHashed(encodeName(name)) {
		return rec
	}
	c := *rec
	c.Unknown = maps.Clone(rec.Unknown)
	if c.Unknown == nil {
		c.Unknown = make(map[string]json.RawMessage)
	}
	c.Unknown[nameField], _ = json.Marshal(name) // a string always can be
	return &c
}

func withoutName(rec *Record, name string) *Record {
	if isHashed(encodeName(name)) {
		delete(rec.Unknown, nameField)
		if len(rec.Unknown) == 0 {
			rec.Unknown = nil
		}
	}
	return rec
}
