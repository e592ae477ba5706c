package witness

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/ownfile"
)

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
		if id == "" && !failed[dir] && b.ours(dir, true) {
			id = idOf(dir)
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
