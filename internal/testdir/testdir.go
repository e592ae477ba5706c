// Package testdir makes directories for tests that also run under Wine.
package testdir

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// New is t.TempDir, except that the test also ends well under Wine. Wine 8 does
// not know the system call with which os.RemoveAll removes files on Windows, and
// t.TempDir fails the test with "Invalid function". So on Windows [Remove] comes
// before, and what it cannot remove is left for t.TempDir to report.
func New(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if runtime.GOOS == "windows" {
		t.Cleanup(func() { Remove(dir) })
	}
	return dir
}

// Remove removes dir and all that is in it, as far as it can.
func Remove(dir string) {
	var paths []string
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	for _, path := range slices.Backward(paths) { // a directory comes before what is in it
		_ = os.Remove(path)
	}
}
