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
// A Book names spent tokens only, by fingerprint (tokenstore.Fingerprint), and the newest of
// each login, so that it is of no use to a reader: neither to guess a token with, nor to use
// one. Its files are readable by their user only. Nothing is synced: what a power cut takes
// away is as if it had not been noted, which costs the protection and no session.
//
// The tokens that were spent last stand by the path of their Store and the name of their
// session: what a program hands over, and a record that others have written, is known by
// nothing else, and tests of programs use the same tokens over and over, in a new directory
// each time. These files have 128 KB at most.
//
// The newest pair of a login stands by the name of the login, which its record carries
// (tokenstore.Record.Login) and every copy of it has, under whatever path and name. It is one
// line, which the next renewal replaces, so that a busy machine does not forget: a copy with
// another token and a lower version is an old one, whatever its age. The version is not
// enough, since a process that has a copy writes marks into it; so the tokens just before the
// newest stand there, too. A line is dropped when it has not been renewed for maxAge, or when
// some three hundred thousand logins have been renewed since.
//
// [Default] has two directories, and writes to both. That of caches is what backups leave
// out, so it is not restored with the Store. The runtime directory is gone with the
// session of the user at the machine, but it is not in the home at all: it outlives the
// home's being rolled back or copied. On a machine without either nothing is kept. One that
// another user could replace is not used.
package witness

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// A Book notes fingerprints of spent refresh tokens: in its directories, or in memory if
// it has none. The zero Book is one in memory, and ready. A nil Book knows nothing. It is
// safe for concurrent use, by processes too.
type Book struct {
	dirs  []string
	store string // what all fingerprints are of

	mu     sync.Mutex       // guards what follows
	id     string           // see ID; empty: not known yet
	places map[string]place // the directories that were found to be ours
	failed map[string]bool  // the directories that the latest note could not be written to
	hung   map[string]bool  // the directories in which a call has not returned in time, nor since
	spent  map[string]bool
	latest []string // in the order in which they were noted, from next on
	next   int
}

// Open returns a Book in directories, which it makes when it is written to first.
func Open(dirs ...string) *Book { return &Book{dirs: dirs} }

// For returns a Book in the directories of b for what one Store of this machine holds: of
// what b knows of another one only the newest pairs of logins count. The Store is named by
// where it is, as a copy is that was put back.
func (b *Book) For(store string) *Book { return &Book{dirs: b.dirs, store: store} }

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
			b.add(dir, fileOf(session), fingerprint+"\n", maxFile, olderHalf)
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
		if bytes.Contains(b.read(dir, fileOf(session)), []byte(fingerprint+"\n")) {
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
func (b *Book) read(dir, name string) []byte {
	data, _ := within(b, dir, func() []byte {
		if !b.ours(dir, false) {
			return nil
		}
		return content(dir, name)
	})
	return data
}

// patience is how long a directory is waited for.
const patience = 10 * time.Second

// within calls f, which reads or writes in a directory, and reports whether that has returned
// in time. One on a file system that hangs is left alone until it does: what is not known or
// noted then, the Store has to tell.
func within[T any](b *Book, dir string, f func() T) (result T, ok bool) {
	b.mu.Lock()
	hangs := b.hung[dir]
	b.mu.Unlock()
	if hangs {
		return result, false
	}
	done, ended := make(chan T, 1), false // ended is guarded by b.mu
	go func() {
		done <- f()
		b.mu.Lock()
		defer b.mu.Unlock()
		ended = true
		delete(b.hung, dir)
	}()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case result = <-done:
		return result, true
	case <-limit.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !ended {
		if b.hung == nil {
			b.hung = make(map[string]bool)
		}
		b.hung[dir] = true
	}
	return result, false
}

func content(dir, name string) []byte {
	data, err := ownfile.Read(filepath.Join(dir, name), 4*maxFile)
	if err != nil {
		return nil
	}
	return data
}

// A place is a directory that was found to be ours, and when.
type place struct {
	info fs.FileInfo
	at   time.Time
}

// placeLasts is how long the directories above one are not looked at again.
const placeLasts = time.Minute

// ours reports whether a directory is there, or is made, and no other user could have put it
// there or replace it.
func (b *Book) ours(dir string, mkdir bool) bool {
	info, err := os.Stat(dir)
	if err != nil {
		if !mkdir || ownfile.CheckParents(dir) != nil || os.MkdirAll(dir, 0o700) != nil {
			return false
		}
		if info, err = os.Stat(dir); err != nil {
			return false
		}
	}
	now := time.Now()
	b.mu.Lock()
	found, known := b.places[dir]
	b.mu.Unlock()
	if known && os.SameFile(found.info, info) && found.info.Mode() == info.Mode() && now.Sub(found.at).Abs() < placeLasts {
		return true
	}
	if ownfile.CheckPlace(dir) != nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.places == nil {
		b.places = make(map[string]place)
	}
	b.places[dir] = place{info, now}
	return true
}

// add appends a line to a file. Whenever another size of that file is full, it is made
// shorter. Two processes that do so at once may lose what one of them adds. What cannot be
// written is left out: the Store is what counts; but the directory is not said to have all
// then.
func (b *Book) add(dir, name, line string, size int64, shorten func([]byte) []byte) {
	err, ok := within(b, dir, func() error {
		if !b.ours(dir, true) {
			return errNotOurs
		}
		return appendTo(dir, name, line, size, shorten)
	})
	if !ok {
		err = errHangs
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed == nil {
		b.failed = make(map[string]bool)
	}
	if b.failed[dir] = err != nil; err != nil {
		b.id = ""
	}
}

var (
	errNotOurs = errors.New("another user could replace the directory")
	errHangs   = errors.New("the directory does not answer")
)

func appendTo(dir, name, line string, size int64, shorten func([]byte) []byte) error {
	f, info, err := ownfile.Append(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	before := info.Size()
	_, err = f.WriteString(line)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if before/size == (before+int64(len(line)))/size {
		return nil
	}
	temp, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return nil // the line stands there
	}
	_, err = temp.Write(shorten(content(dir, name)))
	if temp.Close() != nil || err != nil || os.Rename(temp.Name(), filepath.Join(dir, name)) != nil {
		_ = os.Remove(temp.Name())
	}
	return nil
}

// olderHalf drops the older half of a file of fingerprints.
func olderHalf(data []byte) []byte { return data[len(data)/2/lineSize*lineSize:] }

// A Pair is what is noted of a login's newest pair.
type Pair struct {
	Token   string   // fingerprint of its refresh token
	Version uint64   // of its record; zero says nothing of the order
	Before  []string // fingerprints of the tokens before, the latest last
}

const (
	// maxAge is how long the newest pair of a login is kept that is not renewed: for longer
	// than servers keep one that is not used.
	maxAge = 400 * 24 * time.Hour
	// fullNewest is at how many bytes, and at each multiple, a file of newest pairs is made
	// shorter, and maxNewest how many are kept then: some thousand lines.
	fullNewest = 64 << 10
	maxNewest  = 3 * fullNewest
	// keptBefore is how many tokens before the newest are noted with it: those that a process
	// with a copy may have sent when the newest was saved, and then writes a mark about.
	keptBefore = 4
)

// Keeps reports whether the newest pairs of logins are noted at all: in directories.
func (b *Book) Keeps() bool { return b != nil && len(b.dirs) > 0 }

// Replace notes a login's newest pair, which has just been saved.
func (b *Book) Replace(login string, p Pair) {
	if !b.Keeps() || len(p.Token) != lineSize-1 {
		return
	}
	line := fmt.Sprint(keyOf(login), " ", p.Version, " ", time.Now().Unix(), " ", p.Token)
	for _, before := range p.Before[max(0, len(p.Before)-keptBefore):] {
		if _, err := hex.DecodeString(before); err == nil { // a file has it, that others may have written
			line += " " + before
		}
	}
	for _, dir := range b.dirs {
		b.add(dir, newestOf(login), line+"\n", fullNewest, latest)
	}
}

// Add notes a login's newest pair that another process has saved, unless what is noted may be
// newer.
func (b *Book) Add(login string, p Pair) {
	for _, noted := range b.newest(login) {
		if noted.Token == p.Token || !slices.Contains(p.Before, noted.Token) && p.Version <= noted.Version {
			return
		}
	}
	b.Replace(login, p)
}

// Old reports whether a pair of a login is known to be an older one than the newest.
func (b *Book) Old(login string, p Pair) bool {
	return slices.ContainsFunc(b.newest(login), func(noted Pair) bool {
		lower := 0 < p.Version && p.Version < noted.Version
		return noted.Token != p.Token && !slices.Contains(p.Before, noted.Token) &&
			(lower || slices.Contains(noted.Before, p.Token))
	})
}

// newest returns what the directories have of a login: one each at most.
func (b *Book) newest(login string) (noted []Pair) {
	if b == nil {
		return nil
	}
	key := keyOf(login)
	for _, dir := range b.dirs {
		data := b.read(dir, newestOf(login))
		at := bytes.LastIndex(data, []byte(key+" "))
		if at < 0 {
			continue
		}
		line, _, whole := strings.Cut(string(data[at:]), "\n")
		if p, _, ok := parse(line); ok && whole {
			noted = append(noted, p)
		}
	}
	return noted
}

// parse reads a line of a file of newest pairs, without its end.
func parse(line string) (p Pair, at time.Time, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || len(fields[3]) != lineSize-1 {
		return p, at, false
	}
	version, err := strconv.ParseUint(fields[1], 10, 64)
	seconds, err2 := strconv.ParseInt(fields[2], 10, 64)
	return Pair{Token: fields[3], Version: version, Before: fields[4:]}, time.Unix(seconds, 0), err == nil && err2 == nil
}

// latest returns the last line of each login that is not too old, and the last of these.
func latest(data []byte) (kept []byte) {
	lines := strings.SplitAfter(string(data), "\n")
	seen := make(map[string]bool)
	left := maxNewest
	slices.Reverse(lines)
	lines = slices.DeleteFunc(lines, func(line string) bool {
		_, at, ok := parse(line)
		key, _, _ := strings.Cut(line, " ")
		drop := !ok || !strings.HasSuffix(line, "\n") || seen[key] || time.Since(at) > maxAge || left < len(line)
		if !drop {
			seen[key] = true
			left -= len(line)
		}
		return drop
	})
	slices.Reverse(lines)
	return []byte(strings.Join(lines, ""))
}

// keyOf returns the name that a login has here, whatever is in its own.
func keyOf(login string) string {
	sum := sha256.Sum256([]byte("login " + login))
	return hex.EncodeToString(sum[:])[:lineSize-1]
}

func newestOf(login string) string { return "newest-" + keyOf(login)[:2] }

// nowhere is the ID of a Book whose notes no other process finds.
const nowhere = "nowhere"

// ID names where b is written to, as a fingerprint: its first directory that can be. A
// process that writes there sees what is noted by others that do. It is another one in a copy
// of the directory.
func (b *Book) ID() string {
	if b == nil {
		return nowhere
	}
	b.mu.Lock()
	id, failed := b.id, maps.Clone(b.failed)
	b.mu.Unlock()
	for _, dir := range b.dirs {
		if id == "" && !failed[dir] {
			id, _ = within(b, dir, func() string {
				if !b.ours(dir, true) {
					return ""
				}
				return idOf(dir)
			})
		}
	}
	if id == "" {
		return nowhere
	}
	b.mu.Lock()
	b.id = id
	b.mu.Unlock()
	return id
}

// SeesAll reports whether all of those who spend tokens of the Store note it here, by the IDs
// that they have left, and what they note can be found.
func (b *Book) SeesAll(ids []string) bool {
	if b == nil || b.store == "" || len(ids) == 0 {
		return false
	}
	id := b.ID()
	return id != nowhere && !slices.ContainsFunc(ids, func(other string) bool { return other != id })
}

// idOf returns the name of a directory, which it is given if it has none; empty if it cannot
// be written to. Of processes that name it at once, the first counts.
func idOf(dir string) string {
	path := filepath.Join(dir, "id")
	f, info, err := ownfile.Append(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info.Size() == 0 {
		_, _ = f.WriteString(rand.Text() + "\n")
	}
	data, err := ownfile.Read(path, ownfile.Limit)
	name, _, whole := strings.Cut(string(data), "\n")
	if err != nil || !whole || len(name) < len(rand.Text()) {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendln(nil, name, ownfile.ID(info)))
	return hex.EncodeToString(sum[:])[:lineSize-1]
}
