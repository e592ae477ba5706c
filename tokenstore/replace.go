package tokenstore

import (
	"errors"
	"os"
	"path/filepath"
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
	tmp, err := writeBeside(path, data)
	if err != nil {
		return err
	}
	if err := renameFile(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}

// writeBeside writes data to a new temporary file for path and returns its name.
func writeBeside(path string, data []byte) (string, error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+tempSuffix+"*")
	if err != nil {
		return "", err
	}
	if err := writeAndClose(tmp, data); err != nil {
		return "", errors.Join(err, os.Remove(tmp.Name()))
	}
	return tmp.Name(), nil
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
