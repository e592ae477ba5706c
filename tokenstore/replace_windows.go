package tokenstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// busyLimit is how long an operation is tried again while another program has
// the file open. Readers of ours have it open for microseconds; virus scanners and
// indexers, which look at every new file, for up to a second or so.
const busyLimit = 2 * time.Second

func renameFile(from, to string) error {
	return retryBusy(func() error { return os.Rename(from, to) })
}

// beforeRename closes the file by closeIt: one that is open cannot be renamed.
func beforeRename(closeIt func()) { closeIt() }

// retryBusy calls f until it does not fail because another process has the file
// open. Access denied is among the reasons: it is what Windows answers for a
// file whose removal or replacement is under way.
func retryBusy(f func() error) error {
	deadline := time.Now().Add(busyLimit)
	for {
		err := f()
		switch {
		case !isBusy(err):
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("%w (another program may have the file open: close it and try again)", err)
		}
		time.Sleep(time.Millisecond + rand.N(9*time.Millisecond))
	}
}

func isBusy(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) ||
		errors.Is(err, windows.ERROR_LOCK_VIOLATION) ||
		errors.Is(err, windows.ERROR_ACCESS_DENIED)
}

// syncDir does nothing: Windows has no such call, and NTFS logs its names.
func syncDir(string) error { return nil }

// isNoLocks reports whether a lock could not be had because the file system, one of
// the network's, has none.
func isNoLocks(err error) bool {
	return errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED)
}

// isMountPoint does nothing: here files are not mount points.
func isMountPoint(error) bool { return false }

func isDiskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
