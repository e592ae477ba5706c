package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/sleep"
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
func (s *Store) waitForLock(ctx context.Context, name string) (l *lease, err error) {
	err = poll(ctx, func() (got bool, err error) {
		l, err = s.tryLock(ctx, name)
		return l != nil, err
	})
	return l, err
}

// poll calls try until that gets the lock or fails, or ctx ends.
func poll(ctx context.Context, try func() (got bool, err error)) error {
	busy := false
	for delay := minPoll; ; delay = min(2*delay, maxPoll) {
		got, err := try()
		switch {
		case got:
			return nil
		case err != nil && busy && ctx.Err() != nil:
			return lockError(ctx) // it was busy a moment ago
		case err != nil:
			return err
		}
		busy = true
		if sleep.For(ctx, delay/2+mathrand.N(delay/2)) != nil {
			return lockError(ctx)
		}
	}
}

// tryLock takes the lock, or returns nil if another holder has it.
func (s *Store) tryLock(ctx context.Context, name string) (*lease, error) {
	owner, asked := rand.Text(), now()
	got, err := s.take(ctx, acquireScript, []string{s.lockKey(name)}, name, owner, owner, s.lease.Milliseconds())
	if err != nil || got != int64(1) {
		return nil, err
	}
	return s.newLease(name, owner, asked), nil
}

// take runs a script that takes the lock.
func (s *Store) take(ctx context.Context, script *redis.Script, keys []string, name, owner string, args ...any) (any, error) {
	got, err := call(ctx, func(ctx context.Context) (any, error) {
		got, err := script.Run(ctx, s.client, keys, args...).Result()
		if ctx.Err() != nil {
			_, _ = s.release(name, owner) // the caller has left
		}
		return got, err
	})
	if err != nil && err != redis.Nil {
		// It may be ours all the same, and would be for the whole lease.
		go func() { _, _ = s.release(name, owner) }()
	}
	return got, err
}

// BeginSpend implements [tokenstore.Spender], in one round trip. Redis has room or
// has not: with reserve, it does the same.
func (s *Store) BeginSpend(ctx context.Context, via tokenstore.Store, name string, rec *tokenstore.Record, _ bool) (tokenstore.Spending, uint64, error) {
	const action = "begin a spend of"
	if err := check(ctx, action, name); err != nil {
		return nil, 0, err
	}
	switch {
	case via != tokenstore.Store(s):
		return nil, 0, failed(about(action, name), errors.ErrUnsupported)
	case rec == nil:
		return nil, 0, failed(about(action, name), errNoRecord)
	}
	args, err := s.saveArgs(name, rec)
	if err != nil {
		return nil, 0, failed(about(action, name), err)
	}
	local, err := s.local.Lock(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	var (
		l       *lease
		version uint64
		keys    = append(s.sessionKeys(name), s.lockKey(name))
	)
	err = poll(ctx, func() (bool, error) {
		owner, asked := rand.Text(), now()
		got, err := s.take(ctx, beginScript, keys, name, owner, append(args[:len(args):len(args)], owner, s.lease.Milliseconds())...)
		if got == int64(0) {
			return false, err
		}
		if version, err = s.saved(name)(got, err); err != nil {
			return false, err
		}
		l = s.newLease(name, owner, asked)
		return true, nil
	})
	if err != nil {
		_ = local.Unlock() // never fails
		return nil, 0, failed(about(action, name), err)
	}
	l.local = local
	return spending{l}, version, nil
}

// A spending is the lease of a spend.
type spending struct{ *lease }

// Settle implements [tokenstore.Spending], in one round trip.
func (l spending) Settle(ctx context.Context, rec *tokenstore.Record) (uint64, error) {
	const action = "save"
	s := l.store
	if err := check(ctx, action, l.name); err != nil {
		return 0, err
	}
	if rec == nil {
		return 0, failed(about(action, l.name), errNoRecord)
	}
	args, err := s.saveArgs(l.name, rec)
	if err != nil {
		return 0, failed(about(action, l.name), err)
	}
	version, err := s.saved(l.name)(s.run(ctx, settleScript, append(s.sessionKeys(l.name), s.lockKey(l.name)), append(args, l.owner)...))
	if err != nil {
		return 0, failed(about(action, l.name), err)
	}
	l.once.Do(func() { _ = l.end() })
	return version, nil
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

var (
	errUnlocked = fmt.Errorf("%w: it was unlocked", tokenstore.ErrLeaseLost)
	errTaken    = fmt.Errorf("%w: it ended in Redis, and another holder may have had it since", tokenstore.ErrLeaseLost)
	errOver     = errors.New("it could not be renewed in time")
)
