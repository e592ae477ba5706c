package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// A spend has a file of its own, <base>.json.next. BeginSpend writes the announced
// record into it, behind room for the next one; Settle writes that into the room, syncs it, cuts
// the announcement off, and renames the file to the record's. It stays open in between. So a
// renewal writes two files' worth and syncs two things, the file and its name; and once
// the refresh token is sent, no disk that has filled up, no limit of inodes or open files,
// and no directory that was closed to this user or moved away can keep the answer from being
// saved. The announcement is there until the next record is whole: of an answer that could not
// be saved, the next process knows that the token was sent.
//
// What is in the file counts only as long as the record that it replaces is the one in
// the record's file, and only if it is whole: it is written in place, and may be read or
// cut off in the middle. A file that does not count is rubbish, and the next spend
// removes it. One that cannot be read is not: it may hold the only copy of a pair.
//
// Where the file cannot take the record's name, because that is a mount or the directory
// was closed meanwhile, it stays and counts: every process reads the new record, and the
// next spend begins by giving it its name.

// BeginSpend implements [Spender]. With reserve, the room for the next record is on
// the disk when it returns. Otherwise it has been asked for, and nothing was synced.
//
// An announcement that is not synced is one that a power cut may take away. It is for the
// process that comes after one that has died between the request and its answer: it tells
// that the answer may be lost, so that the same token is sent again at once, while the
// server still takes it. What a killed process wrote, others read. After a power
// cut no process is left on this machine, and none of another one shares the file. When
// it is back, most servers' windows are over, and what is left to do is the same with the
// announcement and without: the token is sent once, and the server's word counts. For the
// others, for servers that must never see a spent token again, and for a process that must
// know whether the disk can be synced at all, there is reserve. The new pair is another
// matter: it is synced, and so is its name, before any caller sees it.
func (f *File) BeginSpend(ctx context.Context, via Store, name string, rec *Record, reserve bool) (Spending, uint64, error) {
	if err := check(ctx, "save", name); err != nil {
		return nil, 0, err
	}
	switch {
	case via != Store(f):
		return nil, 0, failed("lock", name, errors.ErrUnsupported)
	case rec == nil:
		return nil, 0, failed("save", name, errNoRecord)
	}
	if err := f.checkUse(f.path(name)); err != nil {
		return nil, 0, failed("lock", name, err)
	}
	lock, err := f.leases.lock(ctx, f.path(name)+leaseSuffix, f.untilChanged(ctx, name, rec.Version))
	if err != nil {
		return nil, 0, failed("lock", name, f.orAway(err))
	}
	s := &fileSpending{fileLease: fileLease{lock: lock, name: name, disk: &f.disk}, file: f}
	version, err := s.announce(ctx, rec, reserve)
	if err != nil {
		_ = s.Unlock()
		return nil, 0, failed("save", name, err)
	}
	return s, version, nil
}

// untilChanged returns a function that fails as soon as the session has another version.
// It reads the record only when its stamp is another one.
func (f *File) untilChanged(ctx context.Context, name string, version uint64) func() error {
	var last uint64
	return func() error {
		stamp, err := f.Stamp(ctx, name)
		if err == nil && stamp == last {
			return nil
		}
		last = stamp
		stored, err := f.version(name)
		if err == nil && stored != version {
			return ErrConflict
		}
		return nil // whatever is wrong shows when the lock is had
	}
}

// A fileSpending is the lease of a spend, and the file for the next record.
type fileSpending struct {
	fileLease
	file     *File
	next     *os.File   // closed: there is none any more
	spare    []*os.File // descriptors that Settle will need
	room     int        // what next has for the record that Settle saves
	replaces string     // contentHash of the record that is announced to be replaced
	tried    bool       // Settle has written into next
}

// spares is how many files Settle has open at once: the lock for writing, and one more.
const spares = 2

// announce writes the announcement.
func (s *fileSpending) announce(ctx context.Context, rec *Record, reserve bool) (version uint64, err error) {
	f := s.file
	version = NextVersion(rec.Version)
	err = f.change(ctx, s.name, func(path string) error {
		old, err := f.current(s.name, rec.Version)
		if err != nil {
			return err
		}
		if old, err = f.nameNext(path, old); err != nil {
			return advise(err)
		}
		if reserve && f.disk.isMount(path) {
			return advise(&fs.PathError{Op: "rename", Path: path, Err: syscall.EBUSY})
		}
		s.replaces = contentHash(old)
		data, room, err := encodeAnnouncement(withLock(withName(rec, s.name), lockID(path+leaseSuffix)), version, s.replaces)
		if err != nil {
			return err
		}
		s.room = room
		return advise(s.make(path+nextSuffix, data, reserve))
	})
	return version, err
}

// nameNext gives the record its name that an earlier spend has left beside the one with the
// content old. It returns the content of the record's file.
func (f *File) nameNext(path string, old []byte) ([]byte, error) {
	next, err := f.disk.readNext(path)
	if err != nil {
		return nil, err
	}
	if !next.follows(old) || next.begun {
		return old, nil
	}
	if err := f.disk.rename(path+nextSuffix, path); err != nil {
		return nil, err
	}
	if err := f.disk.syncDir(f.dir); err != nil {
		return nil, err
	}
	return readPrivate(path)
}

// current returns the content of the record's file, if the session has the given version.
func (f *File) current(name string, version uint64) ([]byte, error) {
	stored, content, err := f.readBoth(name)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, ErrConflict
	case err != nil:
		return nil, err
	case stored.Version != version:
		return nil, ErrConflict
	}
	return content, nil
}

// make makes the file with the given content.
func (s *fileSpending) make(path string, data []byte, reserve bool) error {
	if err := retryBusy(func() error { return s.file.disk.remove(path) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	next, err := s.file.disk.create(path)
	if err != nil {
		return err
	}
	s.next = next
	err = s.file.disk.write(next, data)
	if err == nil && reserve {
		err = s.file.disk.sync(next)
	}
	for reserve && err == nil && len(s.spare) < spares {
		var f *os.File
		if f, _, err = ownfile.Open(path); err == nil {
			s.spare = append(s.spare, f)
		}
	}
	if err != nil {
		s.closeFiles()
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// Settle implements [Spending].
func (s *fileSpending) Settle(ctx context.Context, rec *Record) (uint64, error) {
	if err := check(ctx, "save", s.name); err != nil {
		return 0, err
	}
	if rec == nil {
		return 0, failed("save", s.name, errNoRecord)
	}
	s.closeSpare()
	s.tried = false
	settle := s.replace
	if !s.isThere() {
		settle = s.set
	}
	version, err := settle(ctx, rec)
	switch {
	case err == nil:
		_ = s.Unlock() // what was saved stands
		return version, nil
	case !s.tried && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrTooLong):
		err = s.keep(rec, err)
	}
	return 0, failed("save", s.name, err)
}

// isThere reports whether the file is open, and still the one of that name.
func (s *fileSpending) isThere() bool {
	mine, _ := s.next.Stat()
	theirs, err := os.Lstat(s.next.Name())
	return err == nil && os.SameFile(mine, theirs)
}

// set settles without the file.
func (s *fileSpending) set(ctx context.Context, rec *Record) (uint64, error) {
	version, err := s.file.Set(ctx, s.name, rec)
	if failure, ok := errors.AsType[*sessionError](err); ok {
		err = failure.err // Settle says which session
	}
	return version, err
}

// replace settles by means of the file.
func (s *fileSpending) replace(ctx context.Context, rec *Record) (uint64, error) {
	version := NextVersion(rec.Version)
	err := s.file.change(ctx, s.name, func(path string) error {
		old, err := s.file.current(s.name, rec.Version)
		if err != nil {
			return err
		}
		data, err := encodeNext(withName(rec, s.name), version, contentHash(old))
		if err != nil {
			return err
		}
		if len(data) > s.room {
			return advise(s.saveBeside(path, data))
		}
		return advise(s.save(path, data))
	})
	return version, err
}

// save makes data the record. The announcement behind it is cut off when it is synced: to
// shorten the file needs no room.
func (s *fileSpending) save(path string, data []byte) error {
	f := s.file
	s.tried = true
	if err := f.disk.write(s.next, data); err != nil {
		return err
	}
	if err := f.disk.sync(s.next); err != nil {
		return err
	}
	_ = s.next.Truncate(int64(len(data))) // readers know where it ends
	if err := s.giveName(path); err != nil {
		// Readers find it all the same, so it has to outlive a power cut.
		return errors.Join(err, f.disk.syncDir(f.dir))
	}
	forgetMoved(path)
	return f.disk.syncDir(f.dir)
}

// saveBeside makes data, for which there is no room in the file, the record. If the disk has
// none either, the announcement stays, and a record with less in it can be saved.
func (s *fileSpending) saveBeside(path string, data []byte) error {
	if err := s.file.disk.replace(path, data); err != nil {
		return fmt.Errorf("%w for the room that was reserved: %w", ErrTooLong, err)
	}
	forgetMoved(path)
	_ = s.file.disk.remove(s.next.Name()) // it follows no record any more
	return nil
}

// keep writes the record into the file because its own could not be got at, for the reason of
// err: the directory was moved away or closed, or another program holds the lock. It counts when
// the directory is back, unless another record was saved there meanwhile. keep returns err, and
// what else went wrong.
func (s *fileSpending) keep(rec *Record, err error) error {
	info, gone := s.next.Stat()
	if gone != nil || !ownfile.Named(info) {
		return err
	}
	data, failed := encodeNext(withName(rec, s.name), NextVersion(rec.Version), s.replaces)
	switch {
	case failed != nil:
	case len(data) > s.room:
		failed = fmt.Errorf("%w for the room that was reserved", ErrTooLong)
	default:
		if failed = s.file.disk.write(s.next, data); failed == nil {
			failed = s.file.disk.sync(s.next)
		}
	}
	return errors.Join(err, advise(failed))
}

// giveName renames the file to the record's.
func (s *fileSpending) giveName(path string) error {
	beforeRename(s.closeFiles)
	return s.file.disk.rename(path+nextSuffix, path)
}

func (s *fileSpending) closeFiles() {
	s.closeSpare()
	_ = s.next.Close() // nothing is written to it any more
}

func (s *fileSpending) closeSpare() {
	for _, f := range s.spare {
		_ = f.Close() // or again
	}
}

// Unlock implements [Lease]. An announcement stays: what came of it is not known.
func (s *fileSpending) Unlock() error {
	s.closeFiles()
	return s.fileLease.Unlock()
}
