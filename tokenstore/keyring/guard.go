package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// theGuard stands before the user's keyring. There is one in a process, because
// there is one of what it guards: go-keyring keeps one connection to the bus, and
// a call that is stuck in it holds up all others.
var theGuard = newGuard(system{})

// A guard makes calls of a ring one at a time, each in a goroutine that the
// caller can leave. So at most one goroutine is ever stuck.
type guard struct {
	ring ring
	turn chan struct{} // holds one element while a call runs

	mu     sync.Mutex // guards what follows
	busy   bool       // a call runs
	asking bool       // it waits for a person
	after  []func()   // to be called when it has returned
}

func newGuard(r ring) *guard { return &guard{ring: r, turn: make(chan struct{}, 1)} }

// A result is what a call returned.
type result[T any] struct {
	value T
	err   error
}

// run waits for its turn and calls op, which gets a context that ends after limit.
// If that is over, or ctx ends, it returns; op goes on, and further calls have to
// wait for it. A panic of op becomes an error.
func run[T any](ctx context.Context, g *guard, limit time.Duration, asking bool, op func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	select {
	case g.turn <- struct{}{}:
	case <-bounded.Done():
		cancel()
		var none T
		return none, g.late(ctx, limit)
	}
	g.begin(asking)
	done := make(chan result[T], 1)
	go func() {
		defer g.end()
		done <- protect(bounded, op)
	}()
	defer cancel()
	select {
	case r := <-done:
		if bounded.Err() != nil && errors.Is(r.err, bounded.Err()) {
			r.err = g.late(ctx, limit)
		}
		return r.value, r.err
	case <-bounded.Done():
		var none T
		return none, g.late(ctx, limit)
	}
}

func protect[T any](ctx context.Context, op func(context.Context) (T, error)) (r result[T]) {
	defer func() {
		if p := recover(); p != nil {
			// go-keyring does when the bus dies under a prompt. Only the type: the
			// value is not ours to print.
			r.err = fmt.Errorf("the connection to the OS keyring broke (%T)", p)
		}
	}()
	r.value, r.err = op(ctx)
	return r
}

func (g *guard) begin(asking bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy, g.asking = true, asking
}

func (g *guard) end() {
	g.mu.Lock()
	after := g.after
	g.busy, g.asking, g.after = false, false, nil
	g.mu.Unlock()
	for _, f := range after {
		f()
	}
	<-g.turn
}

// afterwards calls f as soon as no call runs, which may be at once.
func (g *guard) afterwards(f func()) {
	g.mu.Lock()
	if g.busy {
		g.after = append(g.after, f)
		f = func() {}
	}
	g.mu.Unlock()
	f()
}

// isAsking reports whether the call that runs waits for a person.
func (g *guard) isAsking() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asking
}

// late says why a call did not return in time.
func (g *guard) late(ctx context.Context, limit time.Duration) error {
	var err error
	switch {
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ctx.Err()
	case g.isAsking():
		err = fmt.Errorf("%w (it has asked for its password, and no answer came)", ErrKeyringLocked)
	default:
		err = fmt.Errorf("%w (no answer within %v)", ErrTimeout, limit)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", err, ctx.Err())
	}
	return err
}
