package tokenstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names implements [Lister]. It lists a session whose record is damaged or too
// new too, unless its name is so long that only the record tells it.
func (f *File) Names(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("tokenstore: list sessions: %w", err)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tokenstore: list sessions: %w", advise(err))
	}
	var names []string
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if name, ok := f.nameOf(base); ok && !IsServerRecord(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// nameOf returns the name of the session with the given base name. It reports
// false for files that are not ours.
func (f *File) nameOf(base string) (string, bool) {
	if !isHashed(base) {
		return decodeName(base)
	}
	data, err := readPrivate(filepath.Join(f.dir, base+recordSuffix))
	if err != nil {
		return "", false
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return "", false
	}
	name := field[string](fields[nameField])
	return name, CheckName(name) == nil && encodeName(name) == base
}

// Count implements [Lister].
func (f *File) Count(ctx context.Context) (int, error) {
	names, err := f.Names(ctx)
	return len(names), err
}

// Cleanup implements [Lister]. It also removes temporary files left behind by
// killed programs.
func (f *File) Cleanup(ctx context.Context) (int, error) {
	names, err := f.Names(ctx)
	if err != nil {
		return 0, err
	}
	f.sweep()
	return cleanup(ctx, f, names, f.tryLease)
}

func (f *File) tryLease(name string) (Lease, error) {
	lock, err := f.leases.tryLock(f.path(name) + leaseSuffix)
	if lock == nil {
		return nil, err
	}
	return &fileLease{lock: lock, name: name}, nil
}

// sweep removes the temporary files of writers that were killed. A writer holds
// its session's write lock from before it creates its file until after the
// rename, so a temporary file found while no process holds that lock is an orphan,
// whatever its age. Listing the directory at every save would be too slow with
// many sessions; opening the store and Cleanup list it anyway.
//
// Errors are dropped: a directory that cannot be cleaned may still be read.
func (f *File) sweep() {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if record, ok := tempOf(e.Name()); ok {
			f.sweepOne(filepath.Join(f.dir, record), filepath.Join(f.dir, e.Name()))
		}
	}
}

func (f *File) sweepOne(record, temp string) {
	if _, err := os.Lstat(record + writeSuffix); err != nil {
		return // a writer of ours would have made the lock file first
	}
	lock, err := f.writes.tryLock(record + writeSuffix)
	if err != nil || lock == nil {
		return // its writer is alive, or we may not write here
	}
	_ = os.Remove(temp)
	_ = lock.unlock()
}

// tempOf returns the name of the record file that a temporary file was to
// become. It reports false for files that are not ours: records end in ".json", so none
// ends in a digit, even if its session is called "a.json.tmp-1".
func tempOf(file string) (string, bool) {
	i := strings.LastIndex(file, recordSuffix+tempSuffix)
	if i <= 0 {
		return "", false
	}
	record, number := file[:i+len(recordSuffix)], file[i+len(recordSuffix)+len(tempSuffix):]
	_, readable := decodeName(file[:i])
	return record, (readable || isHashed(file)) && number != "" && strings.Trim(number, "0123456789") == ""
}
