package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// Cleanup implements [tokenstore.Lister]. It reads all sessions, a few thousand in
// one round trip. Those that Redis itself has removed when their time had come are
// not counted.
func (s *Store) Cleanup(ctx context.Context) (removed int, err error) {
	now, err := s.now(ctx)
	if err != nil {
		return 0, failed("clean up", err)
	}
	for after := ""; ; {
		names, next, err := s.indexed(ctx, after, pageSize)
		if err != nil {
			return removed, failed("clean up", err)
		}
		n, err := s.cleanUp(ctx, names, now)
		removed += n
		if err != nil || next == "" {
			return removed, failed("clean up", err)
		}
		after = next
	}
}

func (s *Store) cleanUp(ctx context.Context, names []string, now time.Time) (removed int, err error) {
	here, gone, err := s.divide(ctx, names)
	for _, name := range gone {
		if _, err := s.run(ctx, forgetScript, []string{s.recordKey(name), s.indexKey(bucketOf(name))}, name); err != nil {
			return 0, err
		}
	}
	if err == nil {
		here, err = s.spent(ctx, here, now)
	}
	if err != nil {
		return 0, err
	}
	for _, name := range here {
		done, err := s.removeSpent(ctx, name, now)
		if err != nil {
			return removed, err
		}
		if done {
			removed++
		}
	}
	return removed, nil
}

// spent returns those of the sessions that nothing can renew.
func (s *Store) spent(ctx context.Context, names []string, now time.Time) ([]string, error) {
	records, err := s.hashes(ctx, names)
	if err != nil {
		return nil, err
	}
	var all []string
	for i, found := range records {
		if rec, err := found.decode(); err == nil && rec.Spent(now) {
			all = append(all, names[i])
		}
	}
	return all, nil
}

// removeSpent removes the session under its lock, if it is still spent.
func (s *Store) removeSpent(ctx context.Context, name string, now time.Time) (bool, error) {
	lease, err := s.tryLock(ctx, name)
	if lease == nil {
		return false, err
	}
	rec, err := s.Get(ctx, name)
	removed := false
	if err == nil && rec.Spent(now) {
		err = s.Delete(ctx, name, rec.Version)
		removed = err == nil
	}
	return removed, errors.Join(ignoreMoved(err), lease.Unlock())
}

// ignoreMoved drops the errors that mean "this is not ours to clean up".
func ignoreMoved(err error) error {
	for _, fine := range []error{tokenstore.ErrNotFound, tokenstore.ErrConflict, tokenstore.ErrDamaged, tokenstore.ErrNewerFormat} {
		if errors.Is(err, fine) {
			return nil
		}
	}
	return err
}
