package tokenstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// File is a store in a directory, shared by all processes that open it: one
// JSON file per session, readable by its user only.
//
// A session called "default" has these files:
//
//	default.json              the record, mode 0600
//	default.json.lock         its lock for Lock
//	default.json.write        its lock while the record is replaced
//	default.json.next         during a spend: the announcement, and room for the next record
//	default.json.damaged-...  a record that could not be read, moved aside
//	default.json.moved        a note that this has happened
//
// Other names are encoded so that they are one readable file name on every
// system. Lock files are empty and stay when the session is deleted; deleting
// them by hand is safe only while no program uses the store.
//
// A record is replaced whole: written to another file, synced, and renamed.
// A crash leaves the old record or the new one. The announcement of a spend is in a file of
// its own, which outlives a process that is killed, but perhaps not a power cut; see
// [File.BeginSpend] for why that is enough. Locks end with the process that
// holds them, however it ends. Both need a local file system; network file
// systems may not keep either promise.
//
// While the directory is away, or another one is in its place, methods fail with an
// error that wraps [ErrUnavailable], unless a session begins there: that of an unmounted
// home is not deleted.
//
// The tokens are not encrypted: a program that can read the user's files can
// read them. On Windows, the directory's inherited permissions protect them instead
// of modes.
//
// A session file that is a symbolic link is refused, because saving would replace the link
// and leave its target behind; so is whatever else is not a regular file in place of one of
// these files. Links among the directories are followed. A session has 640 KiB at most, and
// a file of more than 1 MiB in place of one counts as damaged.
//
// No session is read in a directory that another user owns or may write to, and no lock is
// had, nor a session begun, if another user could put another directory in its place: the
// rules are those of OpenSSH's StrictModes, up to the user's home. Such an error is a
// [PlaceError] with the command that mends it. A session that has been renewed is saved all the
// same, since there is no other copy of the pair. Where owners and modes say nothing, as in
// volumes of containers, the environment variable EVERTOKEN_STRICT_MODES=no ends these checks.
//
// File implements [Store], [Locker], [Spender], [Checker], [Lister], [RecordLister], [Pager] and [Stamper]. All methods
// are safe for concurrent use by goroutines and processes. A context that ends stops the
// waiting for a lock, but not a write that has begun.
type File struct {
	dir    string
	home   atomic.Pointer[dirID] // the directory that was opened at dir
	held   atomic.Bool           // a session was found in it, and none has begun since
	leases fileLocks
	writes fileLocks
	disk   disk
}

var (
	_ Store        = (*File)(nil)
	_ Locker       = (*File)(nil)
	_ Spender      = (*File)(nil)
	_ Checker      = (*File)(nil)
	_ Lister       = (*File)(nil)
	_ RecordLister = (*File)(nil)
	_ Pager        = (*File)(nil)
	_ Stamper      = (*File)(nil)
	_ Local        = (*File)(nil)
	_ Scoped       = (*File)(nil)
)

// NewFile opens the store in dir, which is made absolute and freed of links
// now. A missing dir is created with mode 0700. An existing one keeps its mode,
// but one that other users could change or replace is refused. Temporary files left behind
// by killed programs are removed.
func NewFile(dir string) (*File, error) {
	real, err := openDir(dir)
	if err != nil {
		return nil, fmt.Errorf("tokenstore: open directory for sessions: %w", err)
	}
	home, err := identity(real)
	if err != nil {
		return nil, fmt.Errorf("tokenstore: open directory for sessions: %w", advise(err))
	}
	f := &File{dir: real, disk: theDisk}
	f.home.Store(home)
	f.sweep()
	return f, nil
}

// Dir returns the absolute path of the directory that holds the sessions.
func (f *File) Dir() string { return f.dir }

// Scope implements [Scoped] by the directory's path. Where case does not tell directories
// apart, it does not count.
func (f *File) Scope() string {
	return scopeOfDir(f.dir, runtime.GOOS)
}

func scopeOfDir(dir, system string) string {
	switch system {
	case "windows", "darwin":
		dir = strings.ToLower(dir)
	}
	return "directory " + dir
}

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
	if err := f.checkDir(); err != nil {
		return nil, failed("read", name, err)
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
	data, err := encodeFile(withName(rec, name), version)
	if err != nil {
		return 0, failed("save", name, err)
	}
	if rec.Version == 0 {
		// Only of a session that begins here: a pair that its server has given in place of
		// another one is saved whatever has become of the directory.
		if err := cmp.Or(f.settle(), advise(ownfile.CheckPlace(f.dir))); err != nil {
			return 0, failed("save", name, err)
		}
	}
	err = f.change(ctx, name, func(path string) error {
		stored, err := f.version(name)
		switch {
		case errors.Is(err, ErrDamaged):
			if !errors.Is(err, errMoved) {
				err = f.disk.moveAside(path, err)
			}
			if rec.Version != 0 || !errors.Is(err, errMoved) {
				return err
			}
		case err != nil:
			return err
		case stored != rec.Version:
			return ErrConflict
		}
		data, err := f.disk.keepLock(path, withName(rec, name), version, data)
		if err != nil {
			return err
		}
		if err := f.disk.replace(path, append(data, '\n')); err != nil {
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
			return f.disk.moveAside(path, err)
		case err != nil:
			return err
		case stored == 0:
			return ErrNotFound
		case stored != version:
			return ErrConflict
		}
		// First what belongs to the record: without it, that would be a record's no more.
		// Windows does not remove what a spend has open, which then removes it itself.
		if err := f.disk.remove(path + nextSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) && !isBusy(err) {
			return advise(err)
		}
		if err := retryBusy(func() error { return f.disk.remove(path) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return advise(err)
		}
		forgetMoved(path)
		return advise(f.disk.syncDir(f.dir))
	})
	return failed("delete", name, err)
}

// Lock implements [Locker]. Goroutines of one process get the lock in the order
// in which they asked; processes poll for it every few milliseconds.
func (f *File) Lock(ctx context.Context, name string) (Lease, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	path := f.path(name)
	if err := f.checkUse(path); err != nil {
		return nil, failed("lock", name, err)
	}
	lock, err := f.leases.lock(ctx, path+leaseSuffix, nil)
	if err != nil {
		return nil, failed("lock", name, f.orAway(err))
	}
	return &fileLease{lock: lock, name: name, disk: &f.disk}, nil
}

// change calls fn while no other process or goroutine changes the session.
func (f *File) change(ctx context.Context, name string, fn func(path string) error) error {
	path := f.path(name)
	if err := f.checkHere(path); err != nil {
		return err
	}
	lock, err := f.writes.lock(ctx, path+writeSuffix, nil)
	if err != nil {
		return f.orAway(err)
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
	rec, _, err := f.readBoth(name)
	return rec, err
}

// readBoth is read. It also returns the content of the record's file.
func (f *File) readBoth(name string) (*Record, []byte, error) {
	path := f.path(name)
	next, err := f.disk.readNext(path) // first: what ends a spend replaces the record, and then this is old
	if err != nil {
		return nil, nil, advise(err)
	}
	var data []byte
	err = f.find(name, func(path string) (err error) {
		data, err = readPrivate(path)
		return err
	})
	switch {
	case errors.Is(err, ownfile.ErrTooLarge):
		return nil, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return nil, nil, advise(err)
	}
	if next.follows(data) {
		if rec, err := decode(next.data); err == nil {
			return plainRecord(rec, name), data, nil
		}
	}
	rec, err := decode(recordIn(data))
	switch {
	case errors.Is(err, ErrNewerFormat):
		return nil, data, err
	case err != nil:
		return nil, data, fmt.Errorf("%w: %s", ErrDamaged, err)
	}
	return plainRecord(rec, name), data, nil
}

// readPrivate reads a file, and closes it to other users if it was open to
// them, as files are that people or other programs wrote.
func readPrivate(path string) (data []byte, err error) {
	err = retryBusy(func() (err error) {
		data, err = ownfile.ReadPrivate(path)
		return err
	})
	return data, err
}

// MaxRecord is how many bytes the JSON of a record has at most in [File] and in packages
// redisstore and sqlstore. They refuse to save a longer one. One that another program has
// written counts as damaged, and is not read; in a file there is room for the next record
// besides, so that 1 MiB are. Tokens of some KiB are large.
const MaxRecord = 640 << 10

// encodeFile is encode for what goes into a file.
func encodeFile(rec *Record, version uint64) ([]byte, error) {
	data, err := encode(rec, version)
	if err == nil && len(data) > MaxRecord {
		return nil, fmt.Errorf("%w: it has %d bytes, and may have %d", ErrTooLong, len(data), MaxRecord)
	}
	return data, err
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

// plainRecord returns rec without the fields that only its file has.
func plainRecord(rec *Record, name string) *Record {
	for _, field := range []string{replacesField, begunField, checkField, lockField} {
		delete(rec.Unknown, field)
	}
	if isHashed(encodeName(name)) {
		delete(rec.Unknown, nameField)
	}
	if len(rec.Unknown) == 0 {
		rec.Unknown = nil
	}
	return rec
}

var stampSeed = maphash.MakeSeed()

// Stamp implements [Stamper] by what the system says about the file, without
// opening it, and about what a spend has left beside it. Every save makes a new file, so two of them have the same stamp only
// if they were made within one tick of the file system's clock, a few
// milliseconds, and the second got the place on disk of the one before the first.
// Stamps of different processes are not comparable.
func (f *File) Stamp(ctx context.Context, name string) (uint64, error) {
	if err := check(ctx, "read", name); err != nil {
		return 0, err
	}
	next, _ := os.Lstat(f.path(name) + nextSuffix) // first, as in readBoth
	var info fs.FileInfo
	if err := f.find(name, func(path string) (err error) {
		info, err = os.Lstat(path)
		return err
	}); err != nil {
		return 0, failed("read", name, advise(err))
	}
	var b []byte
	for _, info := range []fs.FileInfo{info, next} {
		if info != nil {
			b = binary.LittleEndian.AppendUint64(b, uint64(info.ModTime().UnixNano()))
			b = binary.LittleEndian.AppendUint64(b, uint64(info.Size()))
			b = binary.LittleEndian.AppendUint64(b, ownfile.ID(info))
			b = binary.LittleEndian.AppendUint64(b, uint64(info.Mode()))
		}
	}
	return maphash.Bytes(stampSeed, b), nil
}
