package tokenstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// replaceFile makes data the content of path, so that a reader or a crash at
// any moment finds either the old content or the new. It returns after the new
// content is durable. If it fails before the rename, the old content stands and
// nothing is left behind.
//
// The temporary file has a random name and is created exclusively: two writers
// that share one, as some programs let them, interleave their halves. It lies
// in the same directory, because a rename is atomic only within a file system.
// Its mode, 0600, becomes that of path, however loose that was.
func replaceFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+tempSuffix+"*")
	if err != nil {
		return err
	}
	if err := writeAndClose(tmp, data); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	if err := renameFile(tmp.Name(), path); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(dir)
}

// writeAndClose syncs before the rename: some file systems write the new name
// earlier than the content, and a power cut would leave an empty file.
func writeAndClose(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// advise adds to an error of the file system what the user can do about it.
func advise(err error) error {
	switch {
	case err == nil:
		return nil
	case isDiskFull(err):
		return fmt.Errorf("%w (free some space; what was saved before is unchanged)", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w (choose a directory that can be written to)", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (check that this user owns the directory and the files in it)", err)
	}
	return err
}
