//go:build !windows

package tokenstore

import (
	"errors"
	"os"
	"slices"
	"syscall"

	"github.com/evertoken/evertoken/internal/ownfile"
)

func renameFile(from, to string) error { return os.Rename(from, to) }

// beforeRename does nothing: here a file can be renamed while it is open.
func beforeRename(func()) {}

// retryBusy calls f once: here files that others have open can be read,
// replaced and removed.
func retryBusy(f func() error) error { return f() }

// isBusy reports whether a file cannot be removed because a process has it open.
func isBusy(error) bool { return false }

// syncDir makes the names in dir durable. Some network and FUSE file systems
// cannot sync a directory, and say so; there is no more to be had from them.
func syncDir(dir string) error { return syncOpened(ownfile.OpenDir(dir)) }

// syncOpened syncs what was opened, if it was, and closes it.
func syncOpened(d interface {
	Sync() error
	Close() error
}, err error) error {
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// isNoLocks reports whether flock itself has failed. Its errors are bare numbers,
// while those of all other calls come with the name of the file. Network file
// systems without a lock service say ENOLCK or EBADF, others that they do not know
// the call.
func isNoLocks(err error) bool {
	errno, bare := err.(syscall.Errno) // not errors.As, since wrapped ones are of other calls
	return bare && slices.Contains(noLocks, errno)
}

var noLocks = []syscall.Errno{
	syscall.ENOLCK, syscall.EBADF, syscall.ENOSYS, syscall.EINVAL, syscall.ENOTSUP, syscall.EOPNOTSUPP,
}

// isMountPoint reports whether a file could not be replaced because it is a mount
// of its own, as containers get single files.
func isMountPoint(err error) bool { return errors.Is(err, syscall.EBUSY) }

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
