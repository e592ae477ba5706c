package tokenstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// A spend has a file of its own, <base>.json.next. BeginSpend writes the announced
// record into it, at the size that the next record may have; Settle writes that record
// over it, syncs it, and renames it to the record's file. It stays open in between. So a
// renewal writes two files' worth and syncs two things, the file and its name; and once
// the refresh token is sent, no disk that has filled up, no limit of inodes or open files,
// and no directory that was closed to this user can keep the answer from being saved.
//
// What is in the file counts only as long as the record that it replaces is the one in
// the record's file, and only if it is whole: it is written in place, and may be read or
// cut off in the middle. A file that does not count is rubbish, and the next spend
// removes it.
//
// Where the file cannot take the record's name, because that is a mount or the directory
// was closed meanwhile, it stays and counts: every process reads the new record, and the
// next spend begins by giving it its name.

// Fields that only the files of a session have.
const (
	replacesField = "spend_replaces" // what the record's file held, by contentHash
	begunField    = "spend_begun"    // the file announces a spend
	checkField    = "spend_check"    // contentHash of what comes before; the last field
)

// contentHash names the content of a file.
func contentHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// A nextRecord is what was found beside a record.
type nextRecord struct {
	data     []byte
	replaces string
	begun    bool
}

// encodeNext returns the content of a file that is to follow one with content old.
func encodeNext(rec *Record, version uint64, old []byte, begun bool) ([]byte, error) {
	data, err := encodeFile(rec, version)
	if err != nil {
		return nil, err
	}
	data = data[:len(data)-1] // the brace
	if begun {
		data = fmt.Appendf(data, `,"%s":true`, begunField)
	}
	data = fmt.Appendf(data, `,"%s":"%s"`, replacesField, contentHash(old))
	return fmt.Appendf(data, `,"%s":"%s"}`+"\n", checkField, contentHash(data)), nil
}

// readNext returns what is beside the record at path, or nil if there is nothing whole.
func readNext(path string) *nextRecord {
	path += nextSuffix
	if _, err := os.Lstat(path); err != nil {
		return nil // as nearly always
	}
	data, err := readPrivate(path)
	if err != nil {
		return nil
	}
	end := bytes.LastIndex(data, []byte(`,"`+checkField+`":"`))
	var fields struct {
		Replaces string `json:"spend_replaces"`
		Begun    bool   `json:"spend_begun"`
		Check    string `json:"spend_check"`
	}
	if end < 0 || json.Unmarshal(data, &fields) != nil || fields.Check != contentHash(data[:end]) {
		return nil
	}
	return &nextRecord{data, fields.Replaces, fields.Begun}
}

// follows reports whether n counts beside a record's file with the given content.
func (n *nextRecord) follows(content []byte) bool {
	return n != nil && n.replaces == contentHash(content)
}

// roomFor returns how large to make the file of a spend whose announcement has the given
// size. The next record has tokens of about the same length and one ancestor more.
func roomFor(size int) int {
	const block = 4 << 10
	return (size + size/2 + 1<<10 + block - 1) / block * block
}

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
// know whether the disk can be synced at all, there is reserve. The new pair is another matter: it is synced, and so is its name, before any
// caller sees it.
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
	s := &fileSpending{fileLease: fileLease{lock: lock, name: name}, file: f}
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
	file  *File
	next  *os.File   // closed: there is none any more
	spare []*os.File // descriptors that Settle will need
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
		if next := readNext(path); next.follows(old) && !next.begun {
			// An earlier spend could not give its record its name.
			if err := f.disk.rename(path+nextSuffix, path); err != nil {
				return advise(err)
			}
			if err := f.disk.syncDir(f.dir); err != nil {
				return advise(err)
			}
			if old, err = readPrivate(path); err != nil {
				return advise(err)
			}
		}
		if reserve && f.disk.isMount(path) {
			return advise(&fs.PathError{Op: "rename", Path: path, Err: syscall.EBUSY})
		}
		data, err := encodeNext(withLock(withName(rec, s.name), lockID(path+leaseSuffix)), version, old, true)
		if err != nil {
			return err
		}
		return advise(s.make(path+nextSuffix, data, reserve))
	})
	return version, err
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

// make makes the file, at full size.
func (s *fileSpending) make(path string, data []byte, reserve bool) error {
	if err := retryBusy(func() error { return s.file.disk.remove(path) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	next, err := s.file.disk.create(path)
	if err != nil {
		return err
	}
	room := bytes.Repeat([]byte{' '}, roomFor(len(data)))
	copy(room, data)
	s.next = next
	err = s.file.disk.write(next, room)
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
	if !s.isThere() {
		return s.setAndUnlock(ctx, rec)
	}
	f := s.file
	version := NextVersion(rec.Version)
	err := f.change(ctx, s.name, func(path string) error {
		old, err := f.current(s.name, rec.Version)
		if err != nil {
			return err
		}
		data, err := encodeNext(withName(rec, s.name), version, old, false)
		if err != nil {
			return err
		}
		return advise(s.save(path, data))
	})
	if err != nil {
		return 0, failed("save", s.name, err)
	}
	_ = s.Unlock() // what was saved stands
	return version, nil
}

// isThere reports whether the file is open, and still the one of that name.
func (s *fileSpending) isThere() bool {
	mine, _ := s.next.Stat()
	theirs, err := os.Lstat(s.next.Name())
	return err == nil && os.SameFile(mine, theirs)
}

// setAndUnlock settles without the file.
func (s *fileSpending) setAndUnlock(ctx context.Context, rec *Record) (uint64, error) {
	version, err := s.file.Set(ctx, s.name, rec)
	if err == nil {
		_ = s.Unlock()
	}
	return version, err
}

// save makes data the record. What is behind data in the file goes last: to
// shorten it needs no room.
func (s *fileSpending) save(path string, data []byte) error {
	f := s.file
	info, err := s.next.Stat()
	if err != nil {
		return err
	}
	rest := max(int(info.Size())-len(data), 0)
	room := append(data[:len(data):len(data)], bytes.Repeat([]byte{' '}, rest)...)
	room[len(room)-1] = '\n'
	if err := f.disk.write(s.next, room); err != nil {
		return err
	}
	_ = s.next.Truncate(int64(len(data))) // a longer file does no harm
	if err := f.disk.sync(s.next); err != nil {
		return err
	}
	if err := s.giveName(path); err != nil {
		// Readers find it all the same, so it has to outlive a power cut.
		return errors.Join(err, f.disk.syncDir(f.dir))
	}
	forgetMoved(path)
	return f.disk.syncDir(f.dir)
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
