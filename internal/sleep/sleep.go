// Package sleep waits in a way that can be ended.
package sleep

import (
	"context"
	"time"
)

// For waits for d and returns nil, or the cause of ctx's end if that comes first. It does
// not wait for a d of zero or less.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
