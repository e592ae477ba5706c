package tokenstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Names implements [Lister]. It lists a session whose record is damaged or too
// new too, unless its name is so long that only the record tells it.
func (f *File) Names(ctx context.Context) ([]string, error) {
	names, err := f.Records(ctx)
	return slices.DeleteFunc(names, IsServerRecord), err
}

// Records implements [RecordLister].
func (f *File) Records(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("tokenstore: list sessions: %w", err)
	}
	if err := f.checkDir(); err != nil {
		return nil, fmt.Errorf("tokenstore: list sessions: %w", err)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("tokenstore: list sessions: %w", f.orAway(advise(err)))
	}
	if err := f.here(); err != nil && len(entries) == 0 {
		return nil, fmt.Errorf("tokenstore: list sessions: %w", err)
	}
	var names []string
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if name, ok := f.nameOf(base); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Pages implements [Pager]. It reads several files at a time, since a disk may be far away.
func (f *File) Pages(ctx context.Context, size int) iter.Seq2[[]Entry, error] {
	return func(yield func([]Entry, error) bool) {
		names, err := f.Names(ctx)
		for page := range slices.Chunk(names, max(size, 1)) {
			entries := f.entries(ctx, page)
			if err = ctx.Err(); err != nil {
				err = fmt.Errorf("tokenstore: list sessions: %w", err)
				break
			}
			if len(entries) > 0 && !yield(entries, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// filesAtATime is how many files of a page are read at a time.
const filesAtATime = 64

// entries returns those of the named sessions that are there.
func (f *File) entries(ctx context.Context, names []string) []Entry {
	entries := make([]Entry, len(names))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(filesAtATime, len(names)) {
		readers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(names); i = next.Add(1) - 1 {
				entries[i] = f.entry(ctx, names[i])
			}
		})
	}
	readers.Wait()
	return slices.DeleteFunc(entries, func(e Entry) bool { return e.Name == "" })
}

// entry returns a session, or none if it is not there. What is written between the two
// looks has another stamp.
func (f *File) entry(ctx context.Context, name string) Entry {
	stamp, err := f.Stamp(ctx, name)
	var rec *Record
	if err == nil {
		rec, err = f.read(name)
	}
	if errors.Is(err, ErrNotFound) {
		return Entry{}
	}
	return Entry{Name: name, Record: rec, Stamp: stamp}
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
	if json.Unmarshal(recordIn(data), &fields) != nil {
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
	return &fileLease{lock: lock, name: name, disk: &f.disk}, nil
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
	if i < 0 {
		return "", false
	}
	record, number := file[:i+len(recordSuffix)], file[i+len(recordSuffix)+len(tempSuffix):]
	_, readable := decodeName(file[:i])
	return record, (readable || isHashed(file)) && number != "" && strings.Trim(number, "0123456789") == ""
}
