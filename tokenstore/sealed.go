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
	ErrSealed = errors.New("session cannot be opened")
	// ErrNotSealed, which is an ErrSealed too, means that a session lies in the
	// store in the clear. [Sealed.SealPlain] takes it over.
	ErrNotSealed = fmt.Errorf("%w: it is not sealed", ErrSealed)
)

// Scoped is a store that tells which one it is: in words that are the same for every
// process that opens it, and others for a store with other sessions of the same names.
// [File] tells its directory, redisstore its prefix, sqlstore its table. What [Sealed] has
// sealed in one opens in no other.
type Scoped interface {
	// Scope returns these words; if they are empty, the store is like any other.
	Scope() string
}

func scopeOf(s Store) string {
	if scoped, is := s.(Scoped); is {
		return scoped.Scope()
	}
	return ""
}

// Sealed is a store that keeps its records encrypted in another one: AES-256-GCM
// under keys that the other store never sees. A reader of the other store, or of
// a backup, learns the names of the sessions, their versions, the [Key.ID]
// of their key, about how long their records are, and when they change.
//
// A writer to the other store can delete sessions or bring back an old state of
// one, and cannot make up a session, change one, or pass one off as another, nor as one
// of another directory or store that has the same keys (see [Scoped]):
// that fails with [ErrSealed], and destroys nothing. A session that an earlier version of this
// package has sealed opens anywhere until it is saved again, or by [Sealed.Reseal].
//
// For that reason a session in the clear is refused too ([ErrNotSealed]);
// otherwise a writer could plant one, and have the program work in the writer's
// account. A program that has used the other store directly switches to
// Sealed with one call of [Sealed.SealPlain].
//
// If the keys are lost, so are the sessions. To log in again under the same name,
// call [Sealed.Discard].
//
// Sealed implements [Store], [Locker], [Spender], [Checker] and [Lister], and [Discarder], [RecordLister], [Pager],
// [Stamper], [Watcher] and [Timekeeper]; all methods are safe for concurrent use. Comparing versions,
// durability and locks are the other store's. Where that one is not a Locker, locks hold
// among the goroutines that use this Sealed; what else it does not implement fails
// with an error that wraps [errors.ErrUnsupported]. An error of the [KeyFunc] is
// wrapped, and never matches an error of this package.
type Sealed struct {
	store  Store
	keys   keySource
	leases queue // used if store is not a Locker
}

var (
	_ Store        = (*Sealed)(nil)
	_ Locker       = (*Sealed)(nil)
	_ Spender      = (*Sealed)(nil)
	_ Checker      = (*Sealed)(nil)
	_ Lister       = (*Sealed)(nil)
	_ Discarder    = (*Sealed)(nil)
	_ RecordLister = (*Sealed)(nil)
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
	stored, err := s.seal(ctx, name, rec)
	if err != nil {
		return 0, failed("save", name, err)
	}
	return s.store.Set(ctx, name, stored)
}

// seal returns what is to be stored instead of rec.
func (s *Sealed) seal(ctx context.Context, name string, rec *Record) (*Record, error) {
	if rec == nil {
		return nil, errNoRecord
	}
	key, err := s.keys.first(ctx)
	if err != nil {
		return nil, err
	}
	return seal(key, scopeOf(s.store), name, rec)
}

// Delete implements [Store]. It needs no key.
func (s *Sealed) Delete(ctx context.Context, name string, version uint64) error {
	if err := check(ctx, "delete", name); err != nil {
		return err
	}
	return s.store.Delete(ctx, name, version)
}

// Discard implements [Discarder]. It asks for the keys, since one that is at hand by now opens
// the record; if they cannot be had, the record stays.
func (s *Sealed) Discard(ctx context.Context, name string) error {
	if err := check(ctx, "discard", name); err != nil {
		return err
	}
	stored, err := s.store.Get(ctx, name)
	if err != nil {
		return err
	}
	switch _, err = s.open(ctx, name, stored); {
	case err == nil:
		return failed("discard", name, ErrConflict)
	case !errors.Is(err, ErrSealed):
		return failed("discard", name, err)
	}
	return s.store.Delete(ctx, name, stored.Version)
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

// BeginSpend implements [Spender], if the other store does.
func (s *Sealed) BeginSpend(ctx context.Context, via Store, name string, rec *Record, reserve bool) (Spending, uint64, error) {
	if err := check(ctx, "save", name); err != nil {
		return nil, 0, err
	}
	spender, ok := s.store.(Spender)
	if !ok || via != Store(s) {
		return nil, 0, s.unsupported("begin a spend in one step")
	}
	stored, err := s.seal(ctx, name, rec)
	if err != nil {
		return nil, 0, failed("save", name, err)
	}
	spending, version, err := spender.BeginSpend(ctx, s.store, name, stored, reserve)
	if err != nil {
		return nil, 0, err
	}
	return &sealedSpending{spending, s, name}, version, nil
}

type sealedSpending struct {
	Spending
	sealed *Sealed
	name   string
}

// Settle implements [Spending].
func (s *sealedSpending) Settle(ctx context.Context, rec *Record) (uint64, error) {
	stored, err := s.sealed.seal(ctx, s.name, rec)
	if err != nil {
		return 0, failed("save", s.name, err)
	}
	return s.Spending.Settle(ctx, stored)
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
	rec, _, err := s.openBy(ctx, name, stored)
	return rec, err
}

// openBy is open. It also returns whether the record is sealed with the first key, for this
// store alone.
func (s *Sealed) openBy(ctx context.Context, name string, stored *Record) (rec *Record, current bool, err error) {
	e, err := sealedIn(stored)
	if err != nil {
		return nil, false, err
	}
	key, err := s.keys.withID(ctx, e.Key)
	if err != nil {
		return nil, false, err
	}
	rec, bound, err := e.open(key, scopeOf(s.store), name)
	if err != nil {
		return nil, false, err
	}
	rec.Version = stored.Version
	first, err := s.keys.first(ctx)
	return rec, bound && first.ID() == e.Key, err
}

// String says what kind of store is beneath, and nothing of what is in it.
func (s *Sealed) String() string { return fmt.Sprintf("tokenstore.Sealed{%T}", s.store) }

// Format implements fmt.Formatter: every verb prints what String returns.
func (s *Sealed) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }
