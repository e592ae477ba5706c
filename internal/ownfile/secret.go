package ownfile

import (
	"fmt"
	"io/fs"
	"os"
)

// ReadLinked is Read for a file of the system, which may be a link.
func ReadLinked(path string, limit int64) ([]byte, error) {
	f, info, err := openLinked(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f, info, limit)
}

func openLinked(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unwaiting, 0)
	if err != nil {
		return nil, nil, err
	}
	return regular(f, path)
}

// ReadSecret returns what a file holds that a person has named and that no other user
// is to know, such as a client's secret. It may be a symbolic link, as mounted secrets are. One
// that other users may read or write is refused; the group of one that belongs to root may
// read it, as that is how root gives a secret to a program.
func ReadSecret(path string) ([]byte, error) {
	f, info, err := openLinked(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkSecret(path, info); err != nil {
		return nil, err
	}
	return read(f, info, Limit)
}

// checkSecret returns an Error if other users may read or write the file that info is of,
// or own it.
func checkSecret(path string, info fs.FileInfo) error {
	if !strict() {
		return nil
	}
	forbidden := fs.FileMode(0o077)
	owner, known := ownerOf(info)
	if known && owner == root && userID() != root {
		forbidden = 0o037
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return &Error{
			What:   fmt.Sprintf("other users may read or write %s (mode %04o)", path, mode),
			Advice: fmt.Sprintf("run chmod %o %s, or %s", 0o600|0o040&^forbidden, path, lenient),
		}
	}
	if known && !trusts(owner) {
		return &Error{
			What:   fmt.Sprintf("%s belongs to another user (%d)", path, owner),
			Advice: "use a file of this user's",
		}
	}
	return nil
}

// ReadUnshared is ReadSecret for a file of ours, which must not be a link.
func ReadUnshared(path string) ([]byte, error) {
	f, info, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkSecret(path, info); err != nil {
		return nil, err
	}
	return read(f, info, Limit)
}
