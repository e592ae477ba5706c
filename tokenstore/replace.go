package tokenstore

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// replace makes data the content of path, so that a reader or a crash at
// any moment finds either the old content or the new. It returns after the new
// content is durable. If it fails before the rename, the old content stands and
// nothing is left behind.
//
// The temporary file has a random name and is created exclusively: two writers
// that share one, as some programs let them, interleave their halves. It lies
// in the same directory, because a rename is atomic only within a file system.
// Its mode, 0600, becomes that of path, however loose that was.
func (d *disk) replace(path string, data []byte) error {
	tmp, err := d.writeBeside(path, data)
	if err != nil {
		return err
	}
	if err := d.rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return d.syncDir(filepath.Dir(path))
}

// A disk has the calls by which a File writes and reads what a spend has left, for tests that count them or have them
// fail.
type disk struct {
	read    func(path string, limit int64) ([]byte, error)
	create  func(path string) (*os.File, error) // a new file, mode 0600; it must not be there yet
	write   func(f *os.File, data []byte) error // from the beginning of f
	sync    func(f *os.File) error
	rename  func(from, to string) error
	remove  func(path string) error
	syncDir func(dir string) error
	isMount func(path string) bool // whether the file is a mount of its own, which cannot be replaced
}

var theDisk = disk{
	read:   ownfile.Read,
	create: ownfile.Create,
	write: func(f *os.File, data []byte) error {
		_, err := f.WriteAt(data, 0)
		return err
	},
	sync:    (*os.File).Sync,
	rename:  renameFile,
	remove:  os.Remove,
	syncDir: syncDir,
	isMount: isMount,
}

// writeBeside writes data to a new temporary file for path and returns its name.
func (d *disk) writeBeside(path string, data []byte) (string, error) {
	tmp, err := d.create(path + tempSuffix + strconv.FormatUint(rand.Uint64(), 10))
	if err != nil {
		return "", err
	}
	err = d.write(tmp, data)
	if err == nil {
		// Before the rename: some file systems write the new name earlier than the
		// content, and a power cut would leave an empty file.
		err = d.sync(tmp)
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return "", errors.Join(err, os.Remove(tmp.Name()))
	}
	return tmp.Name(), nil
}
