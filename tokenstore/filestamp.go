package tokenstore

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io/fs"
	"os"
)

var stampSeed = maphash.MakeSeed()

// Stamp implements [Stamper] by what the system says about the file, without
// opening it. Every save makes a new file, so two of them have the same stamp only
// if they were made within one tick of the file system's clock, a few
// milliseconds, and the second got the place on disk of the one before the first.
// Stamps of different processes are not comparable.
func (f *File) Stamp(ctx context.Context, name string) (uint64, error) {
	if err := check(ctx, "read", name); err != nil {
		return 0, err
	}
	info, err := os.Lstat(f.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, failed("read", name, movedAside(f.path(name)))
	case err != nil:
		return 0, failed("read", name, advise(err))
	}
	var b [32]byte
	binary.LittleEndian.PutUint64(b[0:], uint64(info.ModTime().UnixNano()))
	binary.LittleEndian.PutUint64(b[8:], uint64(info.Size()))
	binary.LittleEndian.PutUint64(b[16:], fileID(info))
	binary.LittleEndian.PutUint64(b[24:], uint64(info.Mode()))
	return maphash.Bytes(stampSeed, b[:]), nil
}
