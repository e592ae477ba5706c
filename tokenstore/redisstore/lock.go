package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// A caller that waits for a lock asks again after a delay between half of one of these and the
// whole, which doubles each time: soon enough after a renewal, which takes a token
// request, and seldom enough for a hundred processes that wait out a long one.
const (
	minPoll = 5 * time.Millisecond
	maxPoll = 100 * time.Millisecond
)

// releaseTime bounds the release of a lock. If it fails, the lock ends by itself.
const releaseTime = 5 * time.Second

// Lock implements [tokenstore.Locker]. The lease is renewed in the background until
// Unlock, so it lasts as long as the process lives and reaches Redis; how long it
// outlasts both is Config.LeaseTime.
//
// A lock that another holder has until ctx ends is [tokenstore.ErrLocked]. A Redis
// that cannot be asked is [tokenstore.ErrUnavailable], at once, and never ErrLocked.
func (s *Store) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	if err := tokenstore.CheckName(name); err != nil {
		return nil, err
	}
	local, err := s.local.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	l, err := s.waitForLock(ctx, name)
	if err != nil {
		_ = local.Unlock() // never fails
		return nil, failed(about("lock", name), err)
	}
	l.local = local
	return l, nil
}

// waitForLock asks for the lock until it gets it or ctx ends.
func (s *Store) waitForLock(ctx context.Context, name string) (*lease, error) {
	busy := false
	for delay := minPoll; ; delay = min(2*delay, maxPoll) {
		l, err := s.tryLock(ctx, name)
		switch {
		case l != nil:
			return l, nil
		case err != nil && busy && ctx.Err() != nil:
			return nil, lockError(ctx) // it was busy a moment ago
		case err != nil:
			return nil, err
		}
		busy = true
		if sleep(ctx, delay/2+mathrand.N(delay/2)) != nil {
			return nil, lockError(ctx)
		}
	}
}

// tryLock takes the lock, or returns nil if another holder has it.
func (s *Store) tryLock(ctx context.Context, name string) (*lease, error) {
	owner, asked := rand.Text(), now()
	got, err := call(ctx, func(ctx context.Context) (any, error) {
		got, err := acquireScript.Run(ctx, s.client, []string{s.lockKey(name)}, owner, s.lease.Milliseconds()).Result()
		if ctx.Err() != nil {
			_, _ = s.release(name, owner) // the caller has left
		}
		return got, err
	})
	if err != nil {
		// It may be ours all the same, and would be for the whole lease.
		go func() { _, _ = s.release(name, owner) }()
		return nil, err
	}
	if got != int64(1) {
		return nil, nil
	}
	return s.newLease(name, owner, asked), nil
}

// release releases the lock if the owner still has it, and reports whether it had.
func (s *Store) release(name, owner string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	return s.runYesNo(ctx, releaseScript, []string{s.lockKey(name)}, owner)
}

// lockError says that a lock was not to be had while ctx lasted.
func lockError(ctx context.Context) error {
	return fmt.Errorf("%w: gave up waiting: %w", tokenstore.ErrLocked, ctx.Err())
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	errUnlocked = fmt.Errorf("%w: it was unlocked", tokenstore.ErrLeaseLost)
	errTaken    = fmt.Errorf("%w: it ended in Redis, and another holder may have had it since", tokenstore.ErrLeaseLost)
	errOver     = errors.New("it could not be renewed in time")
)
