package tokenstore

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// A PlaceError means that the place where a [File] keeps its sessions does not let
// it read, lock or save them. What was saved before is unchanged.
type PlaceError struct {
	// Err is what is wrong, without the advice.
	Err error
	// Advice is what a person can do about it, as a command: "free some space".
	Advice string
	// Passes tells that the trouble may end without anybody's doing, as that of a full
	// disk does. All else stays until somebody follows the advice.
	Passes bool
}

func (e *PlaceError) Error() string { return e.Err.Error() + " (" + e.Advice + ")" }

func (e *PlaceError) Unwrap() error { return e.Err }

// advise adds to an error of the file system what the user can do about it.
func advise(err error) error {
	switch {
	case err == nil:
		return nil
	case isNoLocks(err):
		return &PlaceError{Err: fmt.Errorf("%w: %w", ErrNoLocks, err), Advice: "choose a directory on a local disk"}
	case isDiskFull(err):
		return &PlaceError{Err: err, Advice: "free some space; what was saved before is unchanged", Passes: true}
	case errors.Is(err, syscall.EIO):
		return &PlaceError{Err: err, Advice: "try again; if it stays so, check the disk", Passes: true}
	case errors.Is(err, syscall.EROFS):
		return &PlaceError{Err: err, Advice: "choose a directory that can be written to"}
	case errors.Is(err, fs.ErrPermission):
		return &PlaceError{Err: err, Advice: "check that this user owns the directory and the files in it"}
	case isMountPoint(err):
		return &PlaceError{Err: err, Advice: "if the file is a mount, mount the directory that holds it instead"}
	}
	return err
}
