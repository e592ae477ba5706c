//go:build !windows

package tokenstore

import (
	"errors"
	"os"
	"syscall"
)

func renameFile(from, to string) error { return os.Rename(from, to) }

// retryBusy calls f once: here files that others have open can be read,
// replaced and removed.
func retryBusy(f func() error) error { return f() }

// syncDir makes the names in dir durable. Some network and FUSE file systems
// cannot sync a directory, and say so; there is no more to be had from them.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
