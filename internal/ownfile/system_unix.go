//go:build unix

package ownfile

import (
	"io/fs"
	"os"
	"os/user"
	"runtime"
	"sync"
	"syscall"
)

const (
	// unwaiting keeps opening a named pipe from waiting for a process at its other end.
	unwaiting = syscall.O_NONBLOCK
	// unfollowed does that, and keeps a link from being followed.
	unfollowed = unwaiting | syscall.O_NOFOLLOW
)

// lockAccess is how a lock file is opened: for reading, so that one can be locked that may
// only be read. Some systems lock only what may be written.
var lockAccess = func() int {
	switch runtime.GOOS {
	case "aix", "solaris", "illumos":
		return os.O_RDWR
	}
	return os.O_RDONLY
}()

func userID() int  { return os.Geteuid() }
func groupID() int { return os.Getegid() }

// account is the user, as the system knows it.
var account = sync.OnceValue(func() *user.User {
	u, err := user.Current()
	if err != nil {
		return &user.User{}
	}
	return u
})

func userName() string { return account().Username }

// homeDir returns the user's home by the system's user database.
func homeDir() string { return account().HomeDir }

func ownerOf(info fs.FileInfo) (int, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

func groupOf(info fs.FileInfo) (int, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Gid), true
}

// names returns how many names a file has.
func names(info fs.FileInfo) int {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return int(st.Nlink)
}

// ID returns what tells a file from another one with the same name; 0 if nothing does.
func ID(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}
