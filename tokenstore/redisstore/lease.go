package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/tokenstore"
)

func now() moment.Instant { return moment.Of(time.Now()) }

// drift is the part of a lease that is left unused, because the clocks of two
// machines run at different speeds: one percent, a hundred times what quartz does.
const drift = 100

// A lease is a lock in Redis. It is ours until its time is over, counted from before
// the request was sent that took or renewed it: Redis began to count later.
type lease struct {
	store       *Store
	name, owner string
	local       tokenstore.Lease // nil for a lock that no caller waits for
	stop        context.CancelFunc
	stopped     chan struct{} // closed when it is no longer renewed
	once        sync.Once     // Unlock

	mu    sync.Mutex     // guards what follows
	asked moment.Instant // before the request that it counts from
	err   error          // why it is over, for good
}

// newLease returns a lease that was asked for at the given moment, and renews it
// until it ends.
func (s *Store) newLease(name, owner string, asked moment.Instant) *lease {
	ctx, cancel := context.WithCancel(context.Background())
	l := &lease{store: s, name: name, owner: owner, stop: cancel, stopped: make(chan struct{}), asked: asked}
	go l.keep(ctx)
	return l
}

// Err implements [tokenstore.Lease]. Once it has said that the lease is lost, it goes
// on to say so.
func (l *lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && now().Reached(l.asked.Add(lasts(l.store.lease))) {
		l.loseLocked(fmt.Errorf("%w: %w", tokenstore.ErrLeaseLost, errOver))
	}
	return failed(about("lock", l.name), l.err)
}

// lasts returns how much of a lease its holder counts on.
func lasts(lease time.Duration) time.Duration { return lease - lease/drift }

// Unlock implements [tokenstore.Lease]. If the lock was lost, it says so; it never
// releases that of another holder.
func (l *lease) Unlock() (err error) {
	l.once.Do(func() { err = l.unlock() })
	return failed(about("unlock", l.name), err)
}

func (l *lease) unlock() error {
	l.lose(errUnlocked) // a renewal that is under way finds no lock of its owner, and makes none
	held, err := l.store.release(l.name, l.owner)
	err = errors.Join(err, l.end())
	if err == nil && !held {
		return errTaken
	}
	return err
}

// end ends a lease that is no longer in Redis, and returns when it is no longer renewed.
func (l *lease) end() error {
	l.lose(errUnlocked)
	<-l.stopped
	if l.local != nil {
		return l.local.Unlock()
	}
	return nil
}

func (l *lease) lose(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loseLocked(err)
}

func (l *lease) loseLocked(err error) {
	if l.err == nil {
		l.err = err
	}
	l.stop()
}

// keep renews the lease when a third of it is over. If Redis cannot be asked, it
// tries again more often, until the lease is over.
func (l *lease) keep(ctx context.Context) {
	defer close(l.stopped)
	third := l.store.lease / 3
	for wait := third; sleep.For(ctx, wait) == nil && l.Err() == nil; {
		asked := now()
		held, err := l.renew(ctx)
		switch {
		case err != nil:
			wait = third / 6
		case !held:
			l.lose(errTaken)
		default:
			wait = third
			l.mu.Lock()
			l.asked = asked
			l.mu.Unlock()
		}
	}
}

// renew asks once, for as long as leaves time to ask again.
func (l *lease) renew(ctx context.Context) (held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.store.lease/6)
	defer cancel()
	s := l.store
	return s.runYesNo(ctx, renewScript, []string{s.lockKey(l.name)}, l.owner, s.lease.Milliseconds())
}
