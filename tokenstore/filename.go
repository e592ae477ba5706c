package tokenstore

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// Names of files in a store's directory. All belong to one session and begin
// with its base name.
const (
	recordSuffix  = ".json"     // <base>.json: the record
	leaseSuffix   = ".lock"     // <base>.json.lock: the lock of Locker
	writeSuffix   = ".write"    // <base>.json.write: held while the record is replaced
	tempSuffix    = ".tmp-"     // <base>.json.tmp-<digits>: a record being written
	nextSuffix    = ".next"     // <base>.json.next: what an announced spend has come to
	noteSuffix    = ".moved"    // <base>.json.moved: names the record that was moved aside
	damagedSuffix = ".damaged-" // <base>.json.damaged-<time>-<random>: moved aside
)

// maxBase bounds the part of a file name that stands for the session. With the
// longest suffix, that of a damaged file, it stays below the 143 bytes that
// eCryptfs leaves of the usual 255.
const maxBase = 96

// hashMark begins the base name of a session whose name is too long. No encoded
// name contains it, because a percent sign in them is followed by hex digits.
const hashMark = "%-"

// encodeName returns the base name of the files of the session called name.
//
// Small letters, digits and @ _ - . stand for themselves, so that easy names
// stay readable; every other byte becomes %xx. Capital letters are encoded too,
// because "Alice" and "alice" are one file on macOS and Windows; and all bytes
// beyond ASCII, because "é" has two spellings that macOS takes for the same. A
// dot at the beginning would hide the file or lead to the parent directory, and
// Windows opens a device for con, nul, com1 and so on, also when an extension
// follows: there the first byte is encoded. A name that gets too long is
// represented by its SHA-256; the name itself is then kept in the record's file.
func encodeName(name string) string {
	var b strings.Builder
	deviceFirst := isDevice(name)
	for i := range len(name) {
		c := name[i]
		if plain(c) && (i > 0 || (c != '.' && !deviceFirst)) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteString(hex.EncodeToString([]byte{c}))
		}
	}
	if b.Len() > maxBase {
		sum := sha256.Sum256([]byte(name))
		return hashMark + hex.EncodeToString(sum[:])
	}
	return b.String()
}

// decodeName returns the session name that encodeName turned into base. It
// reports false for what encodeName never returns, and for hashed names.
func decodeName(base string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(base); i++ {
		if base[i] != '%' {
			b.WriteByte(base[i])
			continue
		}
		if len(base) < i+3 {
			return "", false
		}
		c, err := strconv.ParseUint(base[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	name := b.String()
	return name, CheckName(name) == nil && encodeName(name) == base
}

func isHashed(base string) bool { return strings.HasPrefix(base, hashMark) }

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("@_-.", c) >= 0
}

// isDevice reports whether Windows would open a device instead of a file with
// the given small-letter name and any extension.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	switch stem {
	case "con", "prn", "aux", "nul", "conin$", "conout$":
		return true
	}
	return len(stem) == 4 && (strings.HasPrefix(stem, "com") || strings.HasPrefix(stem, "lpt")) &&
		'0' <= stem[3] && stem[3] <= '9'
}
