package refresh

import (
	"context"
	"sync"
	"time"
)

// A storeCall is the context of one call of a Store: parent's, within a time limit.
// It costs a timer only if the Store waits for its end; a Store in memory, or a
// file that nobody else has locked, does not. End it with finish.
type storeCall struct {
	parent context.Context
	also   context.Context // ends the call too; may be nil
	end    time.Time

	mu     sync.Mutex // guards the fields below
	timed  context.Context
	cancel context.CancelFunc
	over   bool
}

func newStoreCall(parent, also context.Context, limit time.Duration) *storeCall {
	return &storeCall{parent: parent, also: also, end: time.Now().Add(limit)}
}

// finish releases what the call holds. Who still has the context finds it canceled.
func (c *storeCall) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over = true; c.cancel != nil {
		c.cancel()
	}
}

// context returns a context of the usual kind that ends when c does.
func (c *storeCall) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed != nil {
		return c.timed
	}
	timed, cancel := context.WithDeadline(c.parent, c.end)
	c.timed, c.cancel = timed, cancel
	if c.also != nil {
		unhook := context.AfterFunc(c.also, cancel)
		c.cancel = func() { unhook(); cancel() }
		if c.also.Err() != nil {
			cancel() // now, and not on a goroutine that may come late
		}
	}
	if c.over {
		c.cancel()
	}
	return c.timed
}

// Done implements context.Context.
func (c *storeCall) Done() <-chan struct{} { return c.context().Done() }

// Err implements context.Context.
func (c *storeCall) Err() error {
	if c.unbothered() {
		return nil
	}
	return c.context().Err()
}

// unbothered reports whether the call goes on, for all that can be told without a
// timer.
func (c *storeCall) unbothered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timed == nil && !c.over && c.parent.Err() == nil && (c.also == nil || c.also.Err() == nil) && time.Now().Before(c.end)
}

// Deadline implements context.Context.
func (c *storeCall) Deadline() (time.Time, bool) {
	if end, bounded := c.parent.Deadline(); bounded && end.Before(c.end) {
		return end, true
	}
	return c.end, true
}

// Value implements context.Context. Package context asks for its own parts here,
// which those have who made a context of this one: then it is the usual one.
func (c *storeCall) Value(key any) any {
	c.mu.Lock()
	timed := c.timed
	c.mu.Unlock()
	if timed != nil {
		return timed.Value(key)
	}
	return c.parent.Value(key)
}
