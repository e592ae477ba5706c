package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Names implements [Lister]. It needs no key, and lists sessions that cannot be
// opened too.
func (s *Sealed) Names(ctx context.Context) ([]string, error) {
	l, err := s.lister("list sessions")
	if err != nil {
		return nil, err
	}
	return l.Names(ctx)
}

// Count implements [Lister]. It needs no key.
func (s *Sealed) Count(ctx context.Context) (int, error) {
	l, err := s.lister("count sessions")
	if err != nil {
		return 0, err
	}
	return l.Count(ctx)
}

// Records implements [RecordLister], if the other store does. It needs no key, and lists
// records that cannot be opened too.
func (s *Sealed) Records(ctx context.Context) ([]string, error) {
	l, ok := s.store.(RecordLister)
	if !ok {
		return nil, s.unsupported("list all records")
	}
	return l.Records(ctx)
}

func (s *Sealed) lister(action string) (Lister, error) {
	l, ok := s.store.(Lister)
	if !ok {
		return nil, fmt.Errorf("tokenstore: %s: a %T cannot be looked through: %w", action, s.store, errors.ErrUnsupported)
	}
	return l, nil
}

// Cleanup implements [Lister]. It opens the sessions to judge them, and leaves
// alone those that cannot be opened. The Cleanup of the store beneath, which
// could not tell them apart, is not called.
func (s *Sealed) Cleanup(ctx context.Context) (int, error) {
	names, err := s.Names(ctx)
	if err != nil {
		return 0, err
	}
	return cleanup(ctx, judged{s}, names, func(name string) (Lease, error) { return s.tryLock(ctx, name) })
}

// judged is a Sealed for cleanup, which leaves alone what it does not find:
// a session that cannot be opened is not there.
type judged struct{ *Sealed }

func (j judged) Get(ctx context.Context, name string) (*Record, error) {
	rec, err := j.Sealed.Get(ctx, name)
	if errors.Is(err, ErrSealed) {
		return nil, failed("clean up", name, ErrNotFound)
	}
	return rec, err
}

// patience is how long tryLock waits, because a Locker has no way to ask without
// waiting. It is far above what a free lock takes, also over a network. A store that is
// so slow that it could not say whether the lock is free is given more time, up to
// maxPatience in one call.
const (
	patience    = 200 * time.Millisecond
	maxPatience = 32 * patience
)

// tryLock takes the lock of name, or returns nil if it is held.
func (s *Sealed) tryLock(ctx context.Context, name string) (Lease, error) {
	for wait := patience; ; wait *= 2 {
		short, cancel := context.WithTimeout(ctx, wait)
		lease, err := s.Lock(short, name)
		cutOff := short.Err() != nil
		cancel()
		switch {
		case err == nil || ctx.Err() != nil:
			return lease, err
		case errors.Is(err, ErrUnavailable) && cutOff && wait < maxPatience:
		case errors.Is(err, ErrLocked):
			return nil, nil
		default:
			return lease, err
		}
	}
}
