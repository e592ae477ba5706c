package tokenstore

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// A PlaceError means that the place where a [File] keeps its sessions does not let
// it read, lock or save them. What was saved before is unchanged.
type PlaceError struct {
	// Err is what is wrong, without the advice.
	Err error
	// Advice is what a person can do about it, as a command: "free some space".
	Advice string
	// Passes tells that the trouble may end by itself, as that of a full disk does. All
	// else stays until a person follows the advice.
	Passes bool
}

func (e *PlaceError) Error() string { return e.Err.Error() + " (" + e.Advice + ")" }

func (e *PlaceError) Unwrap() error { return e.Err }

// advise adds to an error of the file system what the user can do about it.
func advise(err error) error {
	if own, ok := errors.AsType[*ownfile.Error](err); ok {
		return &PlaceError{Err: own, Advice: own.Advice}
	}
	switch place := (*PlaceError)(nil); {
	case err == nil, errors.As(err, &place):
		return err
	case isNoLocks(err):
		return &PlaceError{Err: fmt.Errorf("%w: %w", ErrNoLocks, err), Advice: localDisk}
	case isDiskFull(err):
		return &PlaceError{Err: err, Advice: "free some space; what was saved before is unchanged", Passes: true}
	case errors.Is(err, syscall.EIO):
		return &PlaceError{Err: err, Advice: checkDisk, Passes: true}
	case errors.Is(err, syscall.EROFS):
		return &PlaceError{Err: err, Advice: "choose a directory that can be written to"}
	case errors.Is(err, fs.ErrPermission):
		return &PlaceError{Err: err, Advice: "check that this user owns the directory and the files in it"}
	case isMountPoint(err):
		return &PlaceError{Err: err, Advice: "if the file is a mount, mount the directory that holds it instead"}
	case isAny(err, syscall.EMFILE, syscall.ENFILE):
		return &PlaceError{Err: err, Advice: "close other programs, or raise the limit of open files (ulimit -n)", Passes: true}
	case isAny(err, syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP, syscall.ENXIO):
		return &PlaceError{Err: err, Advice: moveAway}
	case isAny(err, syscall.EINVAL, syscall.EXDEV, syscall.ENOSYS, syscall.ENOTSUP, syscall.EOPNOTSUPP):
		return &PlaceError{Err: err, Advice: localDisk} // this file system cannot do what we need
	case isErrno(err) && !errors.Is(err, fs.ErrNotExist):
		return &PlaceError{Err: err, Advice: checkDisk, Passes: true} // such as ESTALE of a network's
	}
	return err
}

// What several kinds of trouble have as advice.
const (
	localDisk = "choose a directory on a local disk"
	moveAway  = "move it away"
	checkDisk = "try again; if it stays so, check the disk"
)

func isAny(err error, numbers ...syscall.Errno) bool {
	return slices.ContainsFunc(numbers, func(n syscall.Errno) bool { return errors.Is(err, n) })
}

// isErrno reports whether the operating system has refused something.
func isErrno(err error) bool {
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}
