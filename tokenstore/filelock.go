package tokenstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/evertoken/evertoken/internal/ownfile"
	"github.com/evertoken/evertoken/internal/sleep"
)

// Each session has two lock files. The lease (.lock) is the lock of Locker: its
// holder may spend the refresh token, which takes as long as the server takes.
// The write lock (.write) is held by Set and Delete while they compare versions
// and replace the file, a few milliseconds. They are two, because the holder of
// the lease calls Set: with one lock it would wait for itself. They cannot
// deadlock: no process takes a lease while holding a write lock.
//
// Lock files are never deleted. Another process may have opened one and be
// about to lock it; it would hold the lock of a file that no other process sees.

// A polling process tries again after a delay between these two. Short enough
// not to be noticed beside a token request, and random, so that processes that
// started together do not go on colliding.
const (
	minPoll = time.Millisecond
	maxPoll = 20 * time.Millisecond
	// stampPoll is how often a process that waits for a lock looks whether its wait is
	// over because the record has changed. That costs two system calls, and the lock three
	// that keep out others for a moment.
	stampPoll = 2 * time.Millisecond
)

// maxTurns is how often the goroutines of one process pass a lock among
// themselves before other processes, which can only poll, get a chance.
const maxTurns = 8

// fileLocks takes locks on files, in the order of asking among the goroutines
// of a process. Its zero value is ready.
type fileLocks struct{ queue queue }

// lock takes the lock of the file at path, waiting for it until ctx ends. If stop is
// not nil, it is asked while the lock is held by another process, and its error ends the
// waiting.
func (l *fileLocks) lock(ctx context.Context, path string, stop func() error) (*fileLock, error) {
	turns, err := l.queue.lock(ctx, path)
	if err != nil {
		return nil, err
	}
	f, err := pollLock(ctx, path, turns, stop)
	if err != nil {
		l.queue.unlock(path)
		return nil, err
	}
	return &fileLock{flock: f, queue: &l.queue}, nil
}

// tryLock takes the lock of the file at path, or returns nil if it is held.
func (l *fileLocks) tryLock(path string) (*fileLock, error) {
	if !l.queue.tryLock(path) {
		return nil, nil
	}
	f, err := tryFlock(path)
	if f == nil {
		l.queue.unlock(path)
		return nil, err
	}
	return &fileLock{flock: f, queue: &l.queue}, nil
}

func pollLock(ctx context.Context, path string, turns int, stop func() error) (*flock.Flock, error) {
	if turns%maxTurns == maxTurns-1 {
		// Longer than any delay between polls: every waiting process tries once.
		if sleep.For(ctx, maxPoll+minPoll) != nil {
			return nil, lockError(ctx)
		}
	}
	for {
		f, err := tryFlock(path)
		if f != nil || err != nil {
			return f, err
		}
		for wait := minPoll + rand.N(maxPoll-minPoll); wait > 0; {
			step := wait
			if stop != nil {
				if err := stop(); err != nil {
					return nil, err
				}
				step = min(wait, stampPoll)
			}
			if sleep.For(ctx, step) != nil {
				return nil, lockError(ctx)
			}
			wait -= step
		}
	}
}

// tryFlock locks the file at path with a lock object of its own, because one
// object takes a lock that it has again. It returns nil if another holder
// has the lock.
func tryFlock(path string) (*flock.Flock, error) {
	if err := ownfile.PrepareLock(path, otherLock(path)); err != nil {
		return nil, lockInTheWay(err)
	}
	f := flock.New(path, flock.SetPermissions(0o600), flock.SetFlag(ownfile.LockFlags()))
	var ok bool
	err := retryBusy(func() (err error) {
		ok, err = f.TryLock()
		return err
	})
	if err != nil {
		return nil, advise(err)
	}
	if !ok {
		return nil, nil
	}
	if err := checkLocked(path, f); err != nil {
		return nil, errors.Join(lockInTheWay(err), f.Unlock())
	}
	return f, nil
}

// checkLocked returns why what f has locked is not to be a lock: between a look at what
// is there and the lock it may have become another file.
func checkLocked(path string, f *flock.Flock) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return ownfile.CheckLock(path, otherLock(path), info)
}

// otherLock returns the path of a session's other lock, which the process that takes the one
// at path may hold.
func otherLock(path string) string {
	if record, is := strings.CutSuffix(path, writeSuffix); is {
		return record + leaseSuffix
	}
	return strings.TrimSuffix(path, leaseSuffix) + writeSuffix
}

// lockInTheWay is advise for what lies in place of a lock file, which the next lock makes
// anew.
func lockInTheWay(err error) error {
	if own, ok := errors.AsType[*ownfile.Error](err); ok {
		return &PlaceError{Err: own, Advice: moveAway}
	}
	return advise(err)
}

// guards reports whether the file that f has locked is the one at its path,
// the one that others would lock.
func guards(f *flock.Flock) bool {
	mine, _ := f.Stat()
	theirs, err := os.Lstat(f.Path())
	return err == nil && os.SameFile(mine, theirs)
}

// A fileLock is a lock on a file, held until its first unlock.
type fileLock struct {
	flock *flock.Flock
	queue *queue
	once  sync.Once
}

func (l *fileLock) unlock() error {
	var err error
	l.once.Do(func() {
		err = l.flock.Unlock()
		l.queue.unlock(l.flock.Path())
	})
	return err
}

// A fileLease is the lock of a session, for Locker.
type fileLease struct {
	lock *fileLock
	name string
	disk *disk
}

// Err implements [Lease]. The lock also counts as lost when the lock file was
// removed or replaced, since another process can then take a new one.
func (l *fileLease) Err() error {
	switch f := l.lock.flock; {
	case !f.Locked():
		return failed("lock", l.name, fmt.Errorf("%w: it was unlocked", ErrLeaseLost))
	case !guards(f):
		return failed("lock", l.name, fmt.Errorf("%w: %s was removed", ErrLeaseLost, filepath.Base(f.Path())))
	}
	return nil
}

// EndsWithProcess implements [ProcessLease]. A spend that was announced under another lock
// file, as in a directory of which this is a copy, does not end with this lock.
func (l *fileLease) EndsWithProcess() bool {
	path := l.lock.flock.Path()
	mark := l.disk.announcedUnder(strings.TrimSuffix(path, leaseSuffix))
	return mark == "" || mark == lockID(path)
}

// Unlock implements [Lease].
func (l *fileLease) Unlock() error { return failed("unlock", l.name, l.lock.unlock()) }

// A directory may be replaced by a copy of itself while a process waits for the answer to a
// spend: by a program that syncs homes, or from a backup. Then the lock of the copy is
// free, although that process still holds its own, and may save what it gets. So the
// announcement of a spend names the lock file that it was made under. Who finds another
// one gives the process time, as at stores whose leases can be lost.

// lockField is what only the files of a session have, like replacesField: the lockID of the
// lock file that a spend was announced under.
const lockField = "spend_lock"

// lockID names the lock file at path. A copy has another inode, or was born later; a device
// would tell less, since many have another number after a restart. It is empty if the system tells
// nothing.
func lockID(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return "none"
	}
	inode, born := ownfile.ID(info), int64(0)
	if at := birth(path, info); !at.IsZero() {
		born = at.UnixNano()
	}
	if cmp.Or(int64(inode), born) == 0 {
		return ""
	}
	return fmt.Sprintf("%x:%x", inode, born)
}

// withLock returns rec as announced under a lock.
func withLock(rec *Record, lock string) *Record {
	if lock == "" {
		return rec
	}
	c := *rec
	c.Unknown = maps.Clone(rec.Unknown)
	if c.Unknown == nil {
		c.Unknown = make(map[string]json.RawMessage)
	}
	c.Unknown[lockField], _ = json.Marshal(lock) // a string always can be
	return &c
}

// announcedUnder returns the lock that the session at path was announced under, or "" if that is
// not known.
func (d *disk) announcedUnder(path string) string {
	next, err := d.readNext(path) // first, as in readBoth
	if err != nil {
		return ""
	}
	content, err := readPrivate(path)
	if err != nil {
		return ""
	}
	if next.follows(content) {
		content = next.data
	} else {
		content = recordIn(content)
	}
	var fields struct {
		Lock string `json:"spend_lock"`
	}
	_ = json.Unmarshal(content, &fields) // a damaged record is not spent
	return fields.Lock
}

// keepLock returns the content of a record's file that replaces one with an announcement, for
// a change that leaves that as it is. Of a sealed record it cannot be seen whether
// it does; one too many has the next announcement replace it.
func (d *disk) keepLock(path string, rec *Record, version uint64, data []byte) ([]byte, error) {
	if rec.Pending == nil && !isSealed(rec) {
		return data, nil
	}
	lock := d.announcedUnder(path)
	if lock == "" {
		return data, nil
	}
	return encodeFile(withLock(rec, lock), version)
}
