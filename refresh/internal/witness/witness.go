// Package witness remembers which refresh tokens were spent, outside of the Store that
// their sessions are in.
//
// A Store goes back in time: a backup is restored, a snapshot is rolled back, a replica
// takes over that was behind. What it holds then looks like a session that is due, and its
// refresh token, sent again, ends the session at a strict server. A [Book] on the same
// machine still knows that it was spent.
//
// # What is written where
//
// A Book names spent tokens only, by fingerprint (tokenstore.Fingerprint), so that it is of
// no use to a reader: neither to guess a token with, nor to use one. It keeps a few
// thousand of them in files of 128 KB at most, readable by their user only. Nothing is
// synced: what a power cut takes away is as if it had not been noted, which costs the
// protection and no session.
//
// [Default] has two directories, and writes to both. That of caches is what backups leave
// out, so it is not restored with the Store. The runtime directory is gone with the
// session of the user at the machine, but it is not in the home at all: it outlives the
// home's being rolled back or copied. On a machine without either nothing is kept.
package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// A Book notes fingerprints of spent refresh tokens: in its directories, or in memory if
// it has none. The zero Book is one in memory, and ready. A nil Book knows nothing. It is
// safe for concurrent use, by processes too.
type Book struct {
	dirs  []string
	store string // what all fingerprints are of

	mu     sync.Mutex // guards what follows
	spent  map[string]bool
	latest []string // in the order in which they were noted, from next on
	next   int
}

// Open returns a Book in directories, which it makes when it is written to first.
func Open(dirs ...string) *Book { return &Book{dirs: dirs} }

// For returns a Book in the directories of b for what one Store of this machine holds: what
// b knows of another one does not count. The Store is named by where it is, as a copy is
// that was put back.
func (b *Book) For(store string) *Book { return &Book{dirs: b.dirs, store: store} }

// SeesAll reports whether every process that spends tokens of the Store notes it here: the
// Store is one of this machine, and there is a directory with notes.
func (b *Book) SeesAll() bool {
	if b == nil || b.store == "" {
		return false
	}
	for _, dir := range b.dirs {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

// Default returns the directories for this user on this machine; none if there are none.
func Default() (dirs []string) {
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(cache, "evertoken", "spent"))
	}
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) {
		dirs = append(dirs, filepath.Join(runtime, "evertoken", "spent"))
	}
	return dirs
}

const (
	// inMemory is how many fingerprints a Book without directories keeps.
	inMemory = 1 << 12
	// maxFile is how many bytes of fingerprints a file has at most. A session of hourly
	// renewals fills one in five months.
	maxFile = 128 << 10
	// lineSize is a fingerprint and a line feed.
	lineSize = 33
)

// Note notes that a session's refresh token with the given fingerprint is spent, and that
// its successor is saved.
func (b *Book) Note(session, fingerprint string) {
	if b == nil || len(fingerprint) != lineSize-1 || b.Spent(session, fingerprint) {
		return
	}
	fingerprint = b.inStore(fingerprint)
	switch {
	case len(b.dirs) == 0:
		b.keep(fingerprint)
	default:
		for _, dir := range b.dirs {
			add(filepath.Join(dir, fileOf(session)), fingerprint)
		}
	}
}

// Spent reports whether that was noted.
func (b *Book) Spent(session, fingerprint string) bool {
	if b == nil || len(fingerprint) != lineSize-1 {
		return false
	}
	fingerprint = b.inStore(fingerprint)
	for _, dir := range b.dirs {
		if bytes.Contains(read(filepath.Join(dir, fileOf(session))), []byte(fingerprint+"\n")) {
			return true
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent[fingerprint]
}

// inStore returns what is noted of a fingerprint: one of it and of the Store.
func (b *Book) inStore(fingerprint string) string {
	if b.store == "" {
		return fingerprint
	}
	sum := sha256.Sum256([]byte(fingerprint + b.store))
	return hex.EncodeToString(sum[:])[:lineSize-1]
}

func (b *Book) keep(fingerprint string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent == nil {
		b.spent = make(map[string]bool)
	}
	b.spent[fingerprint] = true
	if len(b.latest) < inMemory {
		b.latest = append(b.latest, fingerprint)
		return
	}
	delete(b.spent, b.latest[b.next])
	b.latest[b.next] = fingerprint
	b.next = (b.next + 1) % inMemory
}

// fileOf returns the name of the file for a session: there are 256, however many sessions
// there are. The name says nothing of where the session is kept, so that it is the same
// for a copy of the Store.
func fileOf(session string) string {
	sum := sha256.Sum256([]byte(session))
	return hex.EncodeToString(sum[:1])
}

// read returns what a file holds; nil if it cannot be read, or is not one of ours.
func read(path string) []byte {
	data, err := ownfile.Read(path, 2*maxFile)
	if err != nil {
		return nil
	}
	return data
}

// add appends a fingerprint to a file, and drops the older half of one that has become
// too large. Two processes that do so at once may lose what one of them adds. What cannot
// be written is left out: the Store is what counts.
func add(path, fingerprint string) {
	if os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	f, _, err := ownfile.Append(path)
	if err != nil {
		return
	}
	_, err = f.WriteString(fingerprint + "\n")
	info, statErr := f.Stat()
	if f.Close() != nil || err != nil || statErr != nil || info.Size() <= maxFile {
		return
	}
	data := read(path)
	data = data[len(data)/2/lineSize*lineSize:]
	temp, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return
	}
	_, err = temp.Write(data)
	if temp.Close() != nil || err != nil || os.Rename(temp.Name(), path) != nil {
		_ = os.Remove(temp.Name())
	}
}
