package tokenstore

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"

	"github.com/evertoken/evertoken/internal/ownfile"
)

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
