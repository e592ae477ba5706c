package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A faulty store is a Memory, some of whose methods can be replaced.
type faulty struct {
	tokenstore.Memory
	get     func(f *faulty, ctx context.Context, name string) (*tokenstore.Record, error)
	set     func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error)
	del     func(f *faulty, ctx context.Context, name string, version uint64) error
	lock    func(f *faulty, ctx context.Context, name string) (tokenstore.Lease, error)
	names   func(f *faulty, ctx context.Context) ([]string, error)
	records func(f *faulty, ctx context.Context) ([]string, error)
	cleanup func(f *faulty, ctx context.Context) (int, error)

	mu      sync.Mutex
	kept    map[string]*tokenstore.Record
	holders map[string]tokenstore.Lease
}

func (f *faulty) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	if f.get != nil {
		return f.get(f, ctx, name)
	}
	return f.Memory.Get(ctx, name)
}

func (f *faulty) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if f.set != nil {
		return f.set(f, ctx, name, rec)
	}
	return f.Memory.Set(ctx, name, rec)
}

func (f *faulty) Delete(ctx context.Context, name string, version uint64) error {
	if f.del != nil {
		return f.del(f, ctx, name, version)
	}
	return f.Memory.Delete(ctx, name, version)
}

func (f *faulty) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	if f.lock != nil {
		return f.lock(f, ctx, name)
	}
	return f.Memory.Lock(ctx, name)
}

func (f *faulty) Names(ctx context.Context) ([]string, error) {
	if f.names != nil {
		return f.names(f, ctx)
	}
	return f.Memory.Names(ctx)
}

func (f *faulty) Records(ctx context.Context) ([]string, error) {
	if f.records != nil {
		return f.records(f, ctx)
	}
	return f.Memory.Records(ctx)
}

func (f *faulty) Cleanup(ctx context.Context) (int, error) {
	if f.cleanup != nil {
		return f.cleanup(f, ctx)
	}
	return f.Memory.Cleanup(ctx)
}

// keep remembers rec itself, so that a later get can hand it out.
func (f *faulty) keep(name string, rec *tokenstore.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept == nil {
		f.kept = make(map[string]*tokenstore.Record)
	}
	f.kept[name] = rec
}

func (f *faulty) keptAs(name string) *tokenstore.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept[name]
}

// sharing reopens a store as itself, which is right for a store in memory as
// long as nothing else is wrong with it.
func sharing(_ *testing.T, s tokenstore.Store) tokenstore.Store { return s }

// fault returns a broken store that fails the given tests.
func fault(f func() *faulty, fails ...string) broken {
	return broken{store: func() tokenstore.Store { return f() }, reopen: sharing, fails: fails}
}

// mangled returns a store whose Set saves mangle's idea of a record.
func mangled(mangle func(*tokenstore.Record), fails ...string) broken {
	return fault(func() *faulty {
		return &faulty{set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
			rec = rec.Clone()
			mangle(rec)
			return f.Memory.Set(ctx, name, rec)
		}}
	}, fails...)
}

// renamed returns a store that takes names for the same that rename does.
func renamed(rename func(string) string, fails ...string) broken {
	return fault(func() *faulty {
		return &faulty{
			get: func(f *faulty, ctx context.Context, name string) (*tokenstore.Record, error) {
				return f.Memory.Get(ctx, rename(name))
			},
			set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
				return f.Memory.Set(ctx, rename(name), rec)
			},
			del: func(f *faulty, ctx context.Context, name string, version uint64) error {
				return f.Memory.Delete(ctx, rename(name), version)
			},
		}
	}, fails...)
}

// overwriting reads the stored version and saves over it, whatever it is.
func overwriting(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	for {
		rec = rec.Clone()
		rec.Version = 0
		if old, err := f.Memory.Get(ctx, name); err == nil {
			rec.Version = old.Version
		}
		if v, err := f.Memory.Set(ctx, name, rec); !errors.Is(err, tokenstore.ErrConflict) {
			return v, err
		}
	}
}

type freeLease struct{ tokenstore.Lease }

func (freeLease) Unlock() error { return nil }
func (freeLease) Err() error    { return nil }

// sloppyLease unlocks whatever lock of its name is held.
type sloppyLease struct {
	tokenstore.Lease
	store *faulty
	name  string
}

func storeInvention() *oauth.TokenPair { return &oauth.TokenPair{AccessToken: "invented"} }

// sloppyLock forgets who holds a lock: Unlock releases it for whoever does.
func sloppyLock(f *faulty, ctx context.Context, name string) (tokenstore.Lease, error) {
	l, err := f.Memory.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.holders == nil {
		f.holders = make(map[string]tokenstore.Lease)
	}
	f.holders[name] = l
	return sloppyLease{l, f, name}, nil
}

func (l sloppyLease) Unlock() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	return l.store.holders[l.name].Unlock()
}

// fromOne begins every record at the same version.
type fromOne struct {
	base uint64

	mu      sync.Mutex
	records map[string]*tokenstore.Record
}

func (s *fromOne) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	if err := tokenstore.CheckName(name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if rec := s.records[name]; rec != nil {
		return rec.Clone(), ctx.Err()
	}
	return nil, fmt.Errorf("%w", tokenstore.ErrNotFound)
}

func (s *fromOne) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	stored, err := s.Get(ctx, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil || tokenstore.CheckName(name) != nil:
		return 0, err
	case stored == nil && rec.Version != 0, stored != nil && stored.Version != rec.Version:
		return 0, tokenstore.ErrConflict
	case s.records == nil:
		s.records = make(map[string]*tokenstore.Record)
	}
	c := rec.Clone()
	c.Version = max(s.base, rec.Version) + 1
	s.records[name] = c
	return c.Version, nil
}

func (s *fromOne) Delete(ctx context.Context, name string, version uint64) error {
	stored, err := s.Get(ctx, name)
	switch {
	case err != nil:
		return err
	case stored.Version != version:
		return tokenstore.ErrConflict
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, name)
	return nil
}

// hangs is a store whose locks are waited for without regard to the context.
type hangs struct{ tokenstore.Memory }

func (h *hangs) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	if err := tokenstore.CheckName(name); err != nil {
		return nil, err
	}
	return h.Memory.Lock(context.WithoutCancel(ctx), name)
}
