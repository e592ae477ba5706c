package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrSealed means that a session in a [Sealed] store cannot be opened: its key
	// is not at hand, or what is stored was changed. It was left as it is.
	ErrSealed = errors.New("tokenstore: session cannot be opened")
	// ErrNotSealed, which is an ErrSealed too, means that a session lies in the
	// store in the clear. [Sealed.SealPlain] takes it over.
	ErrNotSealed = fmt.Errorf("%w: it is not sealed", ErrSealed)
)

// Sealed is a store that keeps its records encrypted in another one: AES-256-GCM
// under keys that the other store never sees. A reader of the other store, or of
// a backup, learns the names of the sessions, their versions, the [Key.ID]
// of their key, about how long their records are, and when they change.
//
// A writer to the other store can delete sessions or bring back an old state of
// one, and cannot make up a session, change one, or pass one off as another:
// that fails with [ErrSealed], and destroys nothing.
//
// For that reason a session in the clear is refused too ([ErrNotSealed]);
// otherwise a writer could plant one, and have the program work in the writer's
// account. A program that has used the other store directly switches to
// Sealed with one call of [Sealed.SealPlain].
//
// If the keys are lost, so are the sessions. To log in again under the same name,
// delete the session from the other store.
//
// Sealed implements [Store], [Locker], [Checker] and [Lister], and [Pager], [Stamper], [Watcher]
// and [Timekeeper]; all methods are safe for concurrent use. Comparing versions,
// durability and locks are the other store's. Where that one is no Locker, locks hold
// among the goroutines that use this Sealed; what else it does not implement fails
// with an error that wraps [errors.ErrUnsupported]. An error of the [KeyFunc] is
// wrapped, and never matches an error of this package.
type Sealed struct {
	store  Store
	keys   keySource
	leases queue // used if store is no Locker
}

var (
	_ Store   = (*Sealed)(nil)
	_ Locker  = (*Sealed)(nil)
	_ Checker = (*Sealed)(nil)
	_ Lister  = (*Sealed)(nil)
)

// NewSealed returns a store that keeps its records in store, sealed with the keys
// that keys returns. Both are required. It calls neither.
func NewSealed(store Store, keys KeyFunc) *Sealed {
	return &Sealed{store: store, keys: keySource{fetch: keys}}
}

// Get implements [Store]. A session that cannot be opened fails with [ErrSealed],
// or with [ErrNewerFormat] if a newer version of this package has sealed it.
func (s *Sealed) Get(ctx context.Context, name string) (*Record, error) {
	if err := check(ctx, "read", name); err != nil {
		return nil, err
	}
	stored, err := s.store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	rec, err := s.open(ctx, name, stored)
	return rec, failed("read", name, err)
}

// Set implements [Store]. It seals with the first key.
func (s *Sealed) Set(ctx context.Context, name string, rec *Record) (uint64, error) {
	if err := check(ctx, "save", name); err != nil {
		return 0, err
	}
	if rec == nil {
		return 0, failed("save", name, errNoRecord)
	}
	key, err := s.keys.first(ctx)
	if err != nil {
		return 0, failed("save", name, err)
	}
	stored, err := seal(key, name, rec)
	if err != nil {
		return 0, failed("save", name, err)
	}
	return s.store.Set(ctx, name, stored)
}

// Delete implements [Store]. It needs no key.
func (s *Sealed) Delete(ctx context.Context, name string, version uint64) error {
	if err := check(ctx, "delete", name); err != nil {
		return err
	}
	return s.store.Delete(ctx, name, version)
}

// Lock implements [Locker].
func (s *Sealed) Lock(ctx context.Context, name string) (Lease, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if l, ok := s.store.(Locker); ok {
		return l.Lock(ctx, name)
	}
	if _, err := s.leases.lock(ctx, name); err != nil {
		return nil, failed("lock", name, err)
	}
	return &memoryLease{queue: &s.leases, name: name}, nil
}

// Check implements [Checker]: there must be a key to seal with. If the other store is
// no Checker, that is all that is found out.
func (s *Sealed) Check(ctx context.Context, name string) error {
	if err := check(ctx, "save", name); err != nil {
		return err
	}
	if _, err := s.keys.first(ctx); err != nil {
		return failed("save", name, err)
	}
	if c, ok := s.store.(Checker); ok {
		return c.Check(ctx, name)
	}
	return nil
}

// open returns the record that is sealed in stored.
func (s *Sealed) open(ctx context.Context, name string, stored *Record) (*Record, error) {
	e, err := sealedIn(stored)
	if err != nil {
		return nil, err
	}
	key, err := s.keys.withID(ctx, e.Key)
	if err != nil {
		return nil, err
	}
	rec, err := e.open(key, name)
	if err != nil {
		return nil, err
	}
	rec.Version = stored.Version
	return rec, nil
}

// String says what kind of store is beneath, and nothing of what is in it.
func (s *Sealed) String() string { return fmt.Sprintf("tokenstore.Sealed{%T}", s.store) }

// Format implements fmt.Formatter: every verb prints what String returns.
func (s *Sealed) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }
