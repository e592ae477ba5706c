package tokenstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// A queue hands out locks by key to the goroutines of a process, in the order
// in which they asked. Its zero value is ready.
//
// Waiting happens on a channel, never on the mutex: a waiter can leave when its
// context ends, and testing/synctest sees it as blocked.
type queue struct {
	mu   sync.Mutex       // never held while waiting
	held map[string]*line // by held key
}

// A line is what a held key remembers. It is guarded by the queue's mu.
type line struct {
	waiters []chan struct{} // first come, first served; closed when it is their turn
	turns   int             // how often the key was handed on without being free between
}

// lock takes the lock of key. turns tells how often, before this time, the key
// went from one goroutine to the next without becoming free. If ctx ends first,
// the error wraps ErrLocked and the context's error.
func (q *queue) lock(ctx context.Context, key string) (turns int, err error) {
	if ctx.Err() != nil {
		return 0, lockError(ctx)
	}
	q.mu.Lock()
	l := q.held[key]
	if l == nil {
		q.takeLocked(key)
		q.mu.Unlock()
		return 0, nil
	}
	turn := make(chan struct{})
	l.waiters = append(l.waiters, turn)
	q.mu.Unlock()

	select {
	case <-turn:
		q.mu.Lock()
		defer q.mu.Unlock()
		return l.turns, nil
	case <-ctx.Done():
		q.leave(key, turn)
		return 0, lockError(ctx)
	}
}

// tryLock takes the lock of key if it is free.
func (q *queue) tryLock(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held[key] != nil {
		return false
	}
	q.takeLocked(key)
	return true
}

func (q *queue) takeLocked(key string) {
	if q.held == nil {
		q.held = make(map[string]*line)
	}
	q.held[key] = new(line)
}

// unlock hands the lock of key to the first waiter, or frees it.
func (q *queue) unlock(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unlockLocked(key)
}

func (q *queue) unlockLocked(key string) {
	l := q.held[key]
	if len(l.waiters) == 0 {
		delete(q.held, key)
		return
	}
	next := l.waiters[0]
	l.waiters = l.waiters[1:]
	l.turns++
	close(next)
}

// leave gives up a place in the queue. The turn may have come in the very
// moment the context ended; then it is passed on.
func (q *queue) leave(key string, turn chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.held[key]
	if i := slices.Index(l.waiters, turn); i >= 0 {
		l.waiters = slices.Delete(l.waiters, i, i+1)
		return
	}
	q.unlockLocked(key)
}

// lockError says that a lock was not to be had while ctx lasted.
func lockError(ctx context.Context) error {
	return fmt.Errorf("%w: gave up waiting: %w", ErrLocked, ctx.Err())
}
