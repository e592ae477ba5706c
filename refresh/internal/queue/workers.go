package queue

import (
	"context"
	"time"
)

// Workers bound how much is done at a time. Nil Workers bound nothing.
type Workers chan struct{}

// Acquire waits for a free worker, and reports whether there was one before ctx ended.
// The caller releases it.
func (w Workers) Acquire(ctx context.Context) bool {
	if w == nil {
		return true
	}
	select {
	case w <- struct{}{}:
		return true
	default: // a caller that need not wait does not pay for ctx's channel
	}
	select {
	case w <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// Release gives an acquired worker back.
func (w Workers) Release() {
	if w != nil {
		<-w
	}
}

// Lend calls wait for a caller that has acquired a worker. If that takes longer than
// a moment, the worker is free for others meanwhile: waiting does not count as work.
func (w Workers) Lend(wait func()) {
	const moment = 100 * time.Millisecond
	if w == nil {
		wait()
		return
	}
	timer := time.AfterFunc(moment, w.Release)
	wait()
	if !timer.Stop() {
		w.Acquire(context.Background())
	}
}
