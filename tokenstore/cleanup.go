package tokenstore

import (
	"context"
	"errors"
	"time"
)

// cleanup removes those of the named sessions that are spent, each under its
// lock; tryLock returns nil for a session whose lock is held. What another
// writer changes or removes meanwhile, and what cannot be read, is left alone.
func cleanup(ctx context.Context, s Store, names []string, tryLock func(name string) (Lease, error)) (removed int, err error) {
	for _, name := range names {
		spent, err := isSpent(ctx, s, name) // most are not: spare them the lock
		if err != nil {
			return removed, err
		}
		if !spent {
			continue
		}
		lease, err := tryLock(name)
		if err != nil {
			return removed, failed("clean up", name, err)
		}
		if lease == nil {
			continue
		}
		gone, err := removeSpent(ctx, s, name)
		if err = errors.Join(err, lease.Unlock()); err != nil {
			return removed, err
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

func isSpent(ctx context.Context, s Store, name string) (bool, error) {
	rec, err := s.Get(ctx, name)
	if err != nil {
		return false, ignoreMoved(err)
	}
	return rec.Spent(time.Now()), nil
}

// removeSpent looks again, under the lock: the session may have been renewed
// while the lock was being taken.
func removeSpent(ctx context.Context, s Store, name string) (bool, error) {
	rec, err := s.Get(ctx, name)
	if err != nil {
		return false, ignoreMoved(err)
	}
	if !rec.Spent(time.Now()) {
		return false, nil
	}
	if err := s.Delete(ctx, name, rec.Version); err != nil {
		return false, ignoreMoved(err)
	}
	return true, nil
}

// ignoreMoved drops the errors that mean "this is not ours to clean up".
func ignoreMoved(err error) error {
	for _, fine := range []error{ErrNotFound, ErrConflict, ErrDamaged, ErrNewerFormat} {
		if errors.Is(err, fine) {
			return nil
		}
	}
	return err
}
