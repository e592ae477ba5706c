package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
)

// Memory is a store in the memory of one process: for tests, and for programs
// whose sessions may end with them. Its zero value is an empty store; do not
// copy it after first use.
//
// It keeps records as the stores that outlive a process would read them back
// after writing them: what it returns is the caller's own, times are wall-clock
// times in UTC, and a record that could not be saved elsewhere is refused here too.
//
// Memory implements [Store], [Locker], [Lister], [RecordLister], [Pager] and [Stamper]. Locks are
// granted in the order in which they were asked for. All methods are safe for concurrent use.
type Memory struct {
	mu      sync.Mutex         // guards records and newest; never held while waiting
	records map[string]*Record // as decode returned them; never modified
	newest  uint64             // greatest version handed out, so that none is used twice

	leases queue
}

var (
	_ Store        = (*Memory)(nil)
	_ Locker       = (*Memory)(nil)
	_ Lister       = (*Memory)(nil)
	_ RecordLister = (*Memory)(nil)
	_ Pager        = (*Memory)(nil)
	_ Stamper      = (*Memory)(nil)
)

// Get implements [Store].
func (m *Memory) Get(ctx context.Context, name string) (*Record, error) {
	if err := check(ctx, "read", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	r, ok := m.records[name]
	m.mu.Unlock()
	if !ok {
		return nil, failed("read", name, ErrNotFound)
	}
	return r.Clone(), nil
}

// Set implements [Store].
func (m *Memory) Set(ctx context.Context, name string, rec *Record) (uint64, error) {
	if err := check(ctx, "save", name); err != nil {
		return 0, err
	}
	if rec == nil {
		return 0, failed("save", name, errNoRecord)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.records[name]
	if old == nil && rec.Version != 0 || old != nil && old.Version != rec.Version {
		return 0, failed("save", name, ErrConflict)
	}
	version := NextVersion(rec.Version)
	if rec.Version == 0 {
		// Within one second, and in a test whose clock stands still, the random
		// part alone would leave a chance of repeating a version.
		version = max(version, m.newest+1)
	}
	stored, err := rereadAfter(old, rec, version)
	if err != nil {
		return 0, failed("save", name, err)
	}
	if m.records == nil {
		m.records = make(map[string]*Record)
	}
	m.records[name] = stored
	m.newest = max(m.newest, version)
	return version, nil
}

// rereadAfter returns what reread does. Most writes change no more than the marks of a
// record, so it takes the pair from the record before, which was reread, if it is the
// same: that is most of the work.
func rereadAfter(old, rec *Record, version uint64) (*Record, error) {
	if old == nil || old.Tokens == nil || !reflect.DeepEqual(old.Tokens, rec.Tokens) {
		return reread(rec, version)
	}
	rest := *rec
	rest.Tokens = nil
	stored, err := reread(&rest, version)
	if err != nil {
		return nil, err
	}
	stored.Tokens = old.Tokens
	return stored, nil
}

// Delete implements [Store].
func (m *Memory) Delete(ctx context.Context, name string, version uint64) error {
	if err := check(ctx, "delete", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[name]
	switch {
	case !ok:
		return failed("delete", name, ErrNotFound)
	case r.Version != version:
		return failed("delete", name, ErrConflict)
	}
	delete(m.records, name)
	return nil
}

// Lock implements [Locker]. It also works for several managers in one process,
// which is all that can share a Memory.
func (m *Memory) Lock(ctx context.Context, name string) (Lease, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if _, err := m.leases.lock(ctx, name); err != nil {
		return nil, failed("lock", name, err)
	}
	return &memoryLease{queue: &m.leases, name: name}, nil
}

// Stamp implements [Stamper].
func (m *Memory) Stamp(ctx context.Context, name string) (uint64, error) {
	if err := check(ctx, "read", name); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[name]
	if !ok {
		return 0, failed("read", name, ErrNotFound)
	}
	return r.Version, nil
}

// Names implements [Lister].
func (m *Memory) Names(ctx context.Context) ([]string, error) {
	names, err := m.Records(ctx)
	return slices.DeleteFunc(names, IsServerRecord), err
}

// Records implements [RecordLister].
func (m *Memory) Records(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("tokenstore: list sessions: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.records)), nil
}

// Pages implements [Pager].
func (m *Memory) Pages(ctx context.Context, size int) iter.Seq2[[]Entry, error] {
	return func(yield func([]Entry, error) bool) {
		names, err := m.Names(ctx)
		for page := range slices.Chunk(names, max(size, 1)) {
			if err = ctx.Err(); err != nil {
				err = fmt.Errorf("tokenstore: list sessions: %w", err)
				break
			}
			if entries := m.entries(page); len(entries) > 0 && !yield(entries, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// entries returns those of the named sessions that are there.
func (m *Memory) entries(names []string) []Entry {
	entries := make([]Entry, 0, len(names))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		if r, ok := m.records[name]; ok {
			entries = append(entries, Entry{Name: name, Record: r.Clone(), Stamp: r.Version})
		}
	}
	return entries
}

// Count implements [Lister].
func (m *Memory) Count(ctx context.Context) (int, error) {
	names, err := m.Names(ctx)
	if err != nil {
		return 0, fmt.Errorf("tokenstore: count sessions: %w", errors.Unwrap(err))
	}
	return len(names), nil
}

// Cleanup implements [Lister].
func (m *Memory) Cleanup(ctx context.Context) (int, error) {
	names, err := m.Names(ctx)
	if err != nil {
		return 0, err
	}
	return cleanup(ctx, m, names, func(name string) (Lease, error) {
		if !m.leases.tryLock(name) {
			return nil, nil
		}
		return &memoryLease{queue: &m.leases, name: name}, nil
	})
}

// String says how many sessions there are, and nothing of what is in them.
func (m *Memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("tokenstore.Memory{sessions:%d}", len(m.records))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (m *Memory) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, m.String()) }

// A memoryLease holds the lock of name in queue until its first Unlock.
type memoryLease struct {
	queue    *queue
	name     string
	released atomic.Bool
}

// Err implements [Lease].
func (l *memoryLease) Err() error {
	if l.released.Load() {
		return failed("lock", l.name, fmt.Errorf("%w: it was unlocked", ErrLeaseLost))
	}
	return nil
}

// EndsWithProcess implements [ProcessLease].
func (l *memoryLease) EndsWithProcess() bool { return true }

// Unlock implements [Lease].
func (l *memoryLease) Unlock() error {
	if l.released.CompareAndSwap(false, true) {
		l.queue.unlock(l.name)
	}
	return nil
}
