package tokenstore

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// Check implements [Checker] by doing what Lock and Set do. A record that is there
// is replaced by itself: nothing else tells for certain that it can be.
func (f *File) Check(ctx context.Context, name string) error {
	if err := check(ctx, "save", name); err != nil {
		return err
	}
	if err := f.checkUse(f.path(name)); err != nil {
		return failed("save", name, err)
	}
	lease, err := f.leases.tryLock(f.path(name) + leaseSuffix)
	if err != nil {
		return failed("lock", name, err)
	}
	if lease != nil { // else another process holds it, so it can be had
		defer func() { _ = lease.unlock() }()
	}
	return failed("save", name, f.change(ctx, name, func(path string) error {
		// A damaged record is not kept: a new session takes its place.
		if _, err := f.version(name); err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		return advise(f.disk.rehearse(path))
	}))
}

// recordRoom is what most records take, with long tokens and sealed ones.
const recordRoom = 16 << 10

// rehearse saves what is saved already, or nothing, to find out whether something
// else could be.
func (d *disk) rehearse(path string) error {
	data, err := readPrivate(path)
	switch {
	case err == nil:
		return d.replace(path, data)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ownfile.ErrTooLarge):
		return err
	}
	tmp, err := d.writeBeside(path, make([]byte, recordRoom))
	if err != nil {
		return err
	}
	return os.Remove(tmp)
}
