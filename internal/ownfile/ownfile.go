// Package ownfile opens the files that belong to us: sessions, their locks and notes,
// profiles, secrets. What lies at their paths may be something else, put there by a
// mistake or by another user: a named pipe, at which opening waits for ever, a symbolic
// link to a file of another user's program, a device, a file that fills the memory. Such
// things are refused with an [Error], and neither read, nor changed, nor followed.
//
// All files of ours are opened by this package; internal/api has a test for that.
//
// # Links
//
// A symbolic link in place of a file of ours is refused, because replacing the file would
// replace the link and leave its target behind. Links among the directories above it are
// followed, since people have their homes and their settings elsewhere; whose they are is
// for [CheckDir] and [CheckParents]. A file that a person names, such as one with a secret,
// may be a link: [ReadSecret] follows it.
//
// On Windows, reparse points of all kinds count as links, and directories protect files by
// the permissions that these inherit.
package ownfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Limit is how many bytes a file of ours has at most: 1 MiB, as the answer of a token
// endpoint, of which a record is made.
const Limit = 1 << 20

// ErrTooLarge means that a file is larger than any of ours.
var ErrTooLarge = errors.New("it is larger than any file of ours")

// An Error means that what lies at a path is not to be used as it is.
type Error struct {
	What   string // what is wrong, with the path
	Advice string // what a person can do about it
}

func (e *Error) Error() string { return e.What }

// MoveAway is the advice of an [Error] about what is not a file, or a file with a second name.
const MoveAway = "move it away"

// refuse returns the error for what is not a regular file; nil for one that is.
func refuse(path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return &Error{What: path + " is a symbolic link", Advice: "put the file itself there"}
	case !mode.IsRegular():
		return &Error{What: path + " is not a file", Advice: MoveAway}
	}
	return nil
}

// open opens the file at path, which may be created by flag. It looks before, because
// opening a device may have consequences, and at what it has opened, because that may be
// another thing by then.
func open(path string, flag int) (*os.File, fs.FileInfo, error) {
	if info, err := os.Lstat(path); err == nil {
		if err := refuse(path, info); err != nil {
			return nil, nil, err
		}
	}
	return openAnyway(path, flag)
}

// openAnyway is open without the look before.
func openAnyway(path string, flag int) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, flag|unfollowed, 0o600)
	if err != nil {
		if info, gone := os.Lstat(path); gone == nil {
			if refused := refuse(path, info); refused != nil {
				err = refused
			}
		}
		return nil, nil, err
	}
	return regular(f, path)
}

// regular returns f, which was opened at path, and what the system says of it. It closes
// what is not a regular file.
func regular(f *os.File, path string) (*os.File, fs.FileInfo, error) {
	info, err := f.Stat()
	if err == nil {
		err = refuse(path, info)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// Open opens the file at path for reading, and returns what the system says of it.
func Open(path string) (*os.File, fs.FileInfo, error) { return open(path, os.O_RDONLY) }

// Read returns what the file at path holds. One of more than limit bytes is [ErrTooLarge],
// and read no further than that.
func Read(path string, limit int64) ([]byte, error) {
	f, info, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f, info, limit)
}

// ReadPrivate is Read with [Limit]. It closes the file to other users if it was open to
// them, unless it has a second name: it may be a file of another program.
func ReadPrivate(path string) ([]byte, error) {
	f, info, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if isOpenToOthers(info) && names(info) == 1 {
		_ = f.Chmod(0o600) // as well as this user may; the next save does it anyway
	}
	return read(f, info, Limit)
}

// isOpenToOthers reports whether a file's mode lets other users read it or write to it.
func isOpenToOthers(info fs.FileInfo) bool { return hasModes && info.Mode().Perm()&0o077 != 0 }

func read(f *os.File, info fs.FileInfo, limit int64) ([]byte, error) {
	if info.Size() > limit {
		return nil, tooLarge(f.Name(), limit)
	}
	// With room for one byte more, so that what has just been written to shows.
	data := make([]byte, 0, min(info.Size(), limit)+1)
	for len(data) < cap(data) {
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if errors.Is(err, io.EOF) {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
		if len(data) == cap(data) && int64(len(data)) <= limit {
			data = append(data, 0)[:len(data)] // it has grown
		}
	}
	return nil, tooLarge(f.Name(), limit)
}

func tooLarge(path string, limit int64) error {
	return fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, path, limit)
}

// Create makes a new file at path, for reading and writing by this user only. Whatever is
// there already is an error.
func Create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// Append opens the file at path for writing at its end, and makes it if it is not there.
// One that has a second name is refused: it may be a file of another program.
func Append(path string) (*os.File, fs.FileInfo, error) {
	f, info, err := open(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return nil, nil, err
	}
	if err := refuseSecondName(path, info); err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// Named reports whether an open file, of which info is, still has a name.
func Named(info fs.FileInfo) bool { return names(info) > 0 }

// refuseSecondName returns the error for a file that has another name, by which another program
// may know it.
func refuseSecondName(path string, info fs.FileInfo) error {
	if names(info) > 1 {
		return &Error{What: path + " has a second name (a hard link)", Advice: MoveAway}
	}
	return nil
}

// LockFlags are the flags to open a lock file with, which is made if it is not there.
// [PrepareLock] comes before that, and [CheckLock] after it.
func LockFlags() int { return lockAccess | os.O_CREATE | unfollowed }

// CheckLock returns why what was opened as a lock at path is not to be one, from what the
// system says of it: it is not a regular file, or is the lock at other by a second name, so that
// a process which has that would wait for itself. Other second names do no harm, as of a copy whose files
// are links.
func CheckLock(path, other string, info fs.FileInfo) error {
	if err := refuse(path, info); err != nil || names(info) < 2 {
		return err
	}
	if theirs, err := os.Lstat(other); err == nil && os.SameFile(info, theirs) {
		return refuseSecondName(path, info)
	}
	return nil
}

// PrepareLock is CheckLock of what is at path before it is opened, if anything is. It
// closes the file to other users if it was open to them, as one of a checkout or an unpacked
// archive may be: a user who may open a file can lock it, and keep the lock. One with a second name may
// be another program's, and keeps its mode.
func PrepareLock(path, other string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // opening it will say what is wrong
	}
	if err := CheckLock(path, other, info); err != nil || !isOpenToOthers(info) {
		return err
	}
	f, info, err := openAnyway(path, lockAccess)
	if err != nil {
		return nil // as before
	}
	defer f.Close()
	if names(info) == 1 {
		_ = f.Chmod(0o600) // as well as this user may
	}
	return nil
}

// OpenDir opens a directory, to sync it.
func OpenDir(path string) (*os.File, error) { return os.Open(path) }

// AnotherDirectory ends what is advised about a directory. A program may add how to name one.
const AnotherDirectory = "use another directory"

// StrictModes is the environment variable that has the value "no" where owners and modes say
// nothing, as in a container whose volumes belong to any user, and where who can write there
// is trusted: then they are not looked at. The person who runs the program decides that.
const StrictModes = "EVERTOKEN_STRICT_MODES"

// strict reports whether owners and modes are looked at.
func strict() bool { return hasModes && os.Getenv(StrictModes) != "no" }

const lenient = "set " + StrictModes + "=no if all who can are trusted, as in a container"

// root is the user who may do everything.
const root = 0

// CheckDir returns an [Error] if another user could replace what is in the directory that
// info is of: it belongs to another user, or others may write to it.
func CheckDir(dir string, info fs.FileInfo) error {
	if !strict() {
		return nil
	}
	if err := checkOwner(dir, info); err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return &Error{
			What:   fmt.Sprintf("other users may write to %s (mode %04o) and could replace sessions", dir, mode),
			Advice: "run chmod go-w on it, " + lenient + ", or " + AnotherDirectory,
		}
	}
	return nil
}

// CheckPlace returns what CheckDir and [CheckParents] do of dir. A directory that is not there
// is not a danger.
func CheckPlace(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return nil
	}
	if err := CheckDir(dir, info); err != nil {
		return err
	}
	return CheckParents(dir)
}

// CheckParents returns an [Error] if another user could put another directory in place of
// dir, which need not exist: a directory above it, or above a link on the way to it,
// belongs to another user or may be written by others. It goes by the rules of OpenSSH's
// StrictModes:
//
//   - Directories above the user's home are not looked at: a user who may change those has
//     everything that this user has.
//   - In a directory with the sticky bit, such as /tmp, only a file's owner may replace it.
//   - The user's own group, which has no other member, may write; so may that of root. Not where
//     an access control list names others.
//
// [StrictModes] takes all of that back.
func CheckParents(dir string) error {
	if !strict() {
		return nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if link, err := os.Lstat(dir); err == nil && link.Mode()&fs.ModeSymlink != 0 {
		if err := checkOwner(dir, link); err != nil {
			return err
		}
	}
	if err := checkWay(filepath.Dir(dir), isHome); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return nil // it is not there yet; what is there was looked at
	}
	return checkWay(real, isHome)
}

// checkWay checks the directory at path and those above it, as far as they exist, up to one
// that ends says to be the last.
func checkWay(path string, ends func(path string) bool) error {
	for {
		if err := checkParent(path); err != nil {
			return err
		}
		up := filepath.Dir(path)
		if up == path || ends(path) {
			return nil
		}
		path = up
	}
}

// isHome reports whether path is the user's home, which may be a link.
func isHome(path string) bool {
	home := homeDir()
	if home == "" || path == home {
		return home != ""
	}
	real, err := filepath.EvalSymlinks(home)
	return err == nil && path == real
}

func checkParent(path string) error {
	if link, err := os.Lstat(path); err == nil && link.Mode()&fs.ModeSymlink != 0 {
		if err := checkOwner(path, link); err != nil {
			return err
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil // it is not there, or may not be looked at: using it will tell
	}
	if err := checkOwner(path, info); err != nil {
		return err
	}
	mode := info.Mode()
	switch {
	case mode&fs.ModeSticky != 0:
		return nil
	case mode.Perm()&0o002 != 0, mode.Perm()&0o020 != 0 && (!isOwnGroup(info) || hasList(path)):
		return &Error{
			What:   fmt.Sprintf("other users may write to %s (mode %04o) and could replace what is below it", path, mode.Perm()),
			Advice: "run chmod go-w on it, " + lenient + ", or " + AnotherDirectory,
		}
	}
	return nil
}

func checkOwner(path string, info fs.FileInfo) error {
	owner, known := ownerOf(info)
	if !known || trusts(owner) {
		return nil
	}
	return &Error{
		What:   fmt.Sprintf("%s belongs to another user (%d, and this is %d)", path, owner, userID()),
		Advice: "run the program as its owner, " + lenient + ", or " + AnotherDirectory,
	}
}

// trusts reports whether an owner may do as it likes with what is ours: root, this user, and
// who owns the root directory, as which root appears in a container without privileges.
func trusts(owner int) bool {
	if owner == root || owner == userID() {
		return true
	}
	info, err := os.Stat(string(filepath.Separator))
	if err != nil {
		return false
	}
	first, known := ownerOf(info)
	return known && owner == first
}

// isOwnGroup reports whether the group that info is of is the user's own, which is called
// as the user and has no other member, or root's.
func isOwnGroup(info fs.FileInfo) bool {
	group, known := groupOf(info)
	if !known {
		return false
	}
	if group == root {
		return true
	}
	if group != groupID() {
		return false
	}
	name, members, found := lookUpGroup(group)
	if !found {
		return group == userID() // as those of users that a directory service knows
	}
	return isPrivate(userName(), name, members)
}

// isPrivate reports whether a group with this name and these members is the user's alone.
func isPrivate(user, name, members string) bool {
	return name == user && (members == "" || members == user)
}

// lookUpGroup returns the name of a group, and its members other than by their own entry.
func lookUpGroup(group int) (name, members string, found bool) {
	text, err := ReadLinked("/etc/group", Limit)
	if err != nil {
		return "", "", false
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) == 4 && fields[2] == fmt.Sprint(group) {
			return fields[0], fields[3], true
		}
	}
	return "", "", false
}

// hasModes tells that the modes of files say who may do what.
const hasModes = runtime.GOOS != "windows" && runtime.GOOS != "plan9" && runtime.GOOS != "js" && runtime.GOOS != "wasip1"
