package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// shortWait is how long a test waits for a lock that it must not get.
const shortWait = 50 * time.Millisecond

var lockTests = []test{
	{
		"LockIsExclusive",
		"at most one goroutine holds the lock of a name",
		func(c *check) { exclude(c, []tokenstore.Locker{c.locker()}) },
	},
	{
		"LockWaitsUntilItsContextEnds",
		"Lock of a held lock fails when ctx ends, with an error that wraps both ErrLocked and the context's",
		func(c *check) {
			l := c.locker()
			lease := c.lock(l, "default")
			defer c.unlock(lease)
			c.wantLocked(l, "default")
		},
	},
	{
		"LockWithAnEndedContext",
		"Lock with a context that has ended takes nothing, and fails with an error that wraps both ErrLocked and the context's",
		func(c *check) {
			l := c.locker()
			ctx, cancel := context.WithCancel(c.ctx)
			cancel()
			_, err := l.Lock(ctx, "default")
			c.wantErr("Lock", err, tokenstore.ErrLocked)
			c.wantErr("Lock", err, context.Canceled)
			c.unlock(c.lock(l, "default"))
		},
	},
	{
		"UnlockLetsTheNextOneIn",
		"a caller that waits for a lock gets it when it is released",
		func(c *check) {
			l := c.locker()
			lease := c.lock(l, "default")
			got := make(chan error, 1)
			go func() {
				next, err := l.Lock(c.ctx, "default")
				if err == nil {
					err = next.Unlock()
				}
				got <- err
			}()
			c.unlock(lease)
			if err := <-got; err != nil {
				c.Errorf("Lock of a lock that was released: %v", err)
			}
		},
	},
	{
		"WhoLeavesHoldsNothing",
		"a Lock that failed leaves nothing locked",
		func(c *check) {
			l := c.locker()
			lease := c.lock(l, "default")
			c.wantLocked(l, "default")
			c.unlock(lease)
			c.unlock(c.lock(l, "default"))
		},
	},
	{
		"F18_UnlockTwice",
		"further calls of Unlock do nothing; they never release a lock that another holder has taken since",
		func(c *check) {
			l := c.locker()
			first := c.lock(l, "default")
			c.unlock(first)
			second := c.lock(l, "default")
			defer c.unlock(second)
			c.unlock(first)
			c.wantLocked(l, "default")
			if err := second.Err(); err != nil {
				c.Errorf("the lease of another holder ended: %v", err)
			}
		},
	},
	{
		"LeaseErr",
		"a lease's Err is nil while it is held, and wraps ErrLeaseLost after Unlock",
		func(c *check) {
			lease := c.lock(c.locker(), "default")
			if err := lease.Err(); err != nil {
				c.Errorf("Err of a lease that is held: %v", err)
			}
			c.unlock(lease)
			c.wantErr("Err after Unlock", lease.Err(), tokenstore.ErrLeaseLost)
		},
	},
	{
		"LocksAreApart",
		"the lock of one name does not hold up another",
		func(c *check) {
			l := c.locker()
			for _, name := range oddNames {
				defer c.unlock(c.lock(l, name))
			}
		},
	},
	{
		"LockNeedsNoRecord",
		"a lock needs no record to exist, and creates none",
		func(c *check) {
			l := c.locker()
			c.unlock(c.lock(l, "absent"))
			c.wantAbsent("absent")
			if lister, ok := c.store.(tokenstore.Lister); ok {
				if n, err := lister.Count(c.ctx); n != 0 || err != nil {
					c.Errorf("after Lock and Unlock, Count returns %d, %v; want 0", n, err)
				}
			}
		},
	},
	{
		"TheHolderCanSave",
		"a lock does not hold up Get, Set and Delete: its holder saves what it has renewed",
		func(c *check) {
			lease := c.lock(c.locker(), "default")
			defer c.unlock(lease)
			rec := record("1")
			rec.Version = c.set("default", rec)
			c.get("default")
			if err := c.store.Delete(c.ctx, "default", rec.Version); err != nil {
				c.Errorf("Delete by the holder of the lock: %v", err)
			}
		},
	},
}

func (c *check) locker() tokenstore.Locker {
	c.Helper()
	return c.store.(tokenstore.Locker)
}

func (c *check) lock(l tokenstore.Locker, name string) tokenstore.Lease {
	c.Helper()
	lease, err := l.Lock(c.ctx, name)
	if err != nil || lease == nil {
		c.Fatalf("Lock(%q) of a free lock: lease %v, error %v", name, lease, err)
	}
	return lease
}

func (c *check) unlock(lease tokenstore.Lease) {
	c.Helper()
	if err := lease.Unlock(); err != nil {
		c.Errorf("Unlock: %v", err)
	}
}

// wantLocked requires that the lock of name cannot be had. A store that could not ask
// in time whether it can has more time.
func (c *check) wantLocked(l tokenstore.Locker, name string) {
	c.Helper()
	var err error
	for wait := shortWait; c.ctx.Err() == nil; wait *= 2 {
		if err = c.tryLock(l, name, wait); !errors.Is(err, tokenstore.ErrUnavailable) {
			break
		}
	}
	c.wantErr("Lock of a held lock", err, tokenstore.ErrLocked)
	c.wantErr("Lock of a held lock", err, context.DeadlineExceeded)
}

// tryLock waits for a lock that is held, and returns why it did not get it.
func (c *check) tryLock(l tokenstore.Locker, name string, wait time.Duration) error {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, wait)
	defer cancel()
	lease, err := l.Lock(ctx, name)
	if err == nil {
		_ = lease.Unlock()
		c.Fatalf("Lock(%q) took a lock that is held", name)
	}
	return err
}

// exclude lets goroutines take the lock in turns, through the given lockers, and
// checks that no two hold it at once.
func exclude(c *check, lockers []tokenstore.Locker) {
	const goroutines, each = 8, 5
	var (
		holders atomic.Int32
		wg      sync.WaitGroup
	)
	for i := range goroutines {
		wg.Go(func() {
			for range each {
				lease, err := lockers[i%len(lockers)].Lock(c.ctx, "default")
				if err != nil {
					c.Errorf("Lock: %v", err)
					return
				}
				if n := holders.Add(1); n != 1 {
					c.Errorf("%d goroutines hold the lock", n)
				}
				// Give others time to come in: any call into the store will do.
				_, _ = c.store.Get(c.ctx, "default")
				holders.Add(-1)
				c.unlock(lease)
			}
		})
	}
	wg.Wait()
}
