package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Move moves a session from one store to another, for programs that change where
// they keep them. If the other store has a copy too, the newer generation wins: the
// one whose refresh token descends from the other's, or else the one renewed later;
// in doubt the copy in to stays. Nothing of a record is left out.
//
// Both stores' locks are held meanwhile, where they are a [Locker], and the record
// is durable in to before it is deleted from from. A crash between leaves two
// copies, and Move can be called again. Calls in opposite directions do not wait for
// each other. If from and to are one store, Move fails and the session stays.
//
// A store is moved by moving each of its [RecordLister.Records]: the names of its sessions alone
// leave behind what package connect keeps beside them, and it logs in anew without that.
//
// The error wraps [ErrNotFound] if from does not have the session, and ErrConflict
// if a writer that takes no lock has changed it meanwhile: call Move again. A
// Manager that uses from must be stopped first, because it would take the session
// for deleted.
func Move(ctx context.Context, from, to Store, name string) error {
	if err := check(ctx, "move", name); err != nil {
		return err
	}
	leases, err := lockBoth(ctx, from, to, name)
	if err == nil {
		err = errors.Join(moveLocked(ctx, from, to, name), leases[0].Unlock(), leases[1].Unlock())
	}
	return failed("move", name, err)
}

func moveLocked(ctx context.Context, from, to Store, name string) error {
	old, err := from.Get(ctx, name)
	if err != nil {
		return err
	}
	next, version := old.Clone(), uint64(0)
	there, err := to.Get(ctx, name)
	switch {
	case err == nil:
		version = there.Version
		if !supersedes(old, there) {
			next = there
		}
	case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDamaged):
		return err
	}
	// The copy that wins is saved even if it lies there already. Its version is then
	// another one, and if both stores are one, the Delete fails.
	next.Version, next.Places, next.Witnesses = version, nil, nil // it is kept elsewhere from now on
	if _, err := to.Set(ctx, name, next); err != nil {
		return err
	}
	return from.Delete(ctx, name, old.Version)
}

// supersedes reports whether a is known to be a later state of a session than b.
func supersedes(a, b *Record) bool {
	if a.Tokens == nil || b.Tokens == nil {
		return a.Tokens != nil && b.Tokens == nil
	}
	after, before := a.Descends(b.Tokens.RefreshToken), b.Descends(a.Tokens.RefreshToken)
	if after != before {
		return after
	}
	return obtained(a).After(obtained(b))
}

// obtained returns when the record's pair came from the server, as far as it is
// known.
func obtained(r *Record) time.Time {
	if r.RefreshedAt.After(r.Tokens.IssuedAt) {
		return r.RefreshedAt
	}
	return r.Tokens.IssuedAt
}

// maxLockRounds bounds how often lockBoth gives back a lock and begins again. Who
// is not done after these ten seconds or so asks for two locks that are one.
const maxLockRounds = 32

// lockBoth takes the locks of both stores. There is no order among stores, and so
// it does not wait long for the second lock while it holds the first: another
// process may be doing the reverse. It gives the first back, and then waits for the other.
func lockBoth(ctx context.Context, a, b Store, name string) (leases [2]Lease, err error) {
	for range maxLockRounds {
		first, err := lockIfAny(ctx, a, name)
		if err != nil {
			return leases, err
		}
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond+rand.N(400*time.Millisecond))
		second, err := lockIfAny(short, b, name)
		cancel()
		if err == nil {
			return [2]Lease{first, second}, nil
		}
		err = errors.Join(err, first.Unlock())
		if !errors.Is(err, ErrLocked) || ctx.Err() != nil {
			return leases, err
		}
		a, b = b, a
	}
	return leases, fmt.Errorf("%w: the two stores hold up each other: are they one?", ErrLocked)
}

// lockIfAny takes the lock of name if the store has locks.
func lockIfAny(ctx context.Context, s Store, name string) (Lease, error) {
	if l, ok := s.(Locker); ok {
		return l.Lock(ctx, name)
	}
	return noLease{}, nil
}

// noLease is the lease of a store without locks.
type noLease struct{}

func (noLease) Err() error    { return nil }
func (noLease) Unlock() error { return nil }
