package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

var spendTests = []test{
	{
		"SpendIsALockAndTwoSaves",
		"BeginSpend takes the lock and saves the announcement, Settle saves the record and releases the lock",
		func(c *check) {
			l, rec := c.locker(), c.announced()
			for _, reserve := range []bool{false, true} {
				s, version := c.begin(rec, reserve)
				c.wantRecord("default", rec, version)
				c.wantLocked(l, "default")
				if err := s.Err(); err != nil {
					c.Errorf("a lease that is held: %v", err)
				}
				rec.Version, rec.Pending = version, nil
				version, err := s.Settle(c.ctx, rec)
				if err != nil {
					c.Fatalf("Settle: %v", err)
				}
				c.wantRecord("default", rec, version)
				c.unlock(c.lock(l, "default"))
				if s.Err() == nil {
					c.Errorf("Err of a lease that was released: nil")
				}
				c.unlock(s) // does nothing any more
				rec.Version, rec.Pending = version, mark()
			}
		},
	},
	{
		"SpendOfAnotherVersion",
		"BeginSpend of a record that is not the stored one fails with ErrConflict, saves nothing and leaves no lock, also while another process has it",
		func(c *check) {
			rec := c.announced()
			for _, held := range []bool{false, true} {
				if held && c.reopen == nil {
					break
				}
				if held {
					lease := c.lock(c.second().(tokenstore.Locker), "default")
					defer c.unlock(lease)
				}
				for _, version := range []uint64{rec.Version + 1, rec.Version - 1} {
					stale := rec.Clone()
					stale.Version = version
					_, _, err := c.store.(tokenstore.Spender).BeginSpend(c.ctx, c.store, "default", stale, false)
					c.wantErr("BeginSpend", err, tokenstore.ErrConflict)
				}
				if got := c.get("default"); got.Version != rec.Version || got.Pending != nil {
					c.Errorf("the record was changed: %v", got)
				}
				if !held {
					c.unlock(c.lock(c.locker(), "default"))
				}
			}
		},
	},
	{
		"SpendWaitsForTheLock",
		"BeginSpend waits for the lock until ctx ends, then fails with ErrLocked and saves nothing; it fails with ErrConflict as soon as another process has changed the record",
		func(c *check) {
			rec := c.announced()
			first, version := c.begin(rec, false)
			rec.Version = version
			var err error
			for wait := shortWait; c.ctx.Err() == nil; wait *= 2 {
				ctx, cancel := context.WithTimeout(c.ctx, wait)
				_, _, err = c.store.(tokenstore.Spender).BeginSpend(ctx, c.store, "default", rec, false)
				cancel()
				if !errors.Is(err, tokenstore.ErrUnavailable) {
					break
				}
			}
			c.wantErr("BeginSpend of a locked session", err, tokenstore.ErrLocked)
			c.wantRecord("default", rec, version)
			waiter := c.store
			if c.reopen != nil {
				waiter = c.second()
			}
			told := make(chan error, 1)
			waiting := rec.Clone()
			go func() {
				_, _, err := waiter.(tokenstore.Spender).BeginSpend(c.ctx, waiter, "default", waiting, false)
				told <- err
			}()
			time.Sleep(shortWait)
			rec.Pending = nil
			if c.reopen != nil { // a save without the unlock is enough
				rec.Version = c.set("default", rec)
				c.wantErr("BeginSpend that waits", <-told, tokenstore.ErrConflict)
			}
			if _, err := first.Settle(c.ctx, rec); err != nil {
				c.Fatalf("Settle: %v", err)
			}
			if c.reopen == nil {
				c.wantErr("BeginSpend that waited", <-told, tokenstore.ErrConflict)
			}
			c.unlock(c.lock(c.locker(), "default"))
		},
	},
	{
		"SettleOfAnotherVersion",
		"Settle of a record that another writer has changed fails with ErrConflict, changes nothing and keeps the lock; it can be called again",
		func(c *check) {
			rec := c.announced()
			s, version := c.begin(rec, true)
			other := rec.Clone()
			other.Version, other.Pending, other.RefreshedBy = version, nil, "another"
			otherVersion := c.set("default", other)
			rec.Version, rec.Pending = version, nil
			_, err := s.Settle(c.ctx, rec)
			c.wantErr("Settle", err, tokenstore.ErrConflict)
			c.wantRecord("default", other, otherVersion)
			c.wantLocked(c.locker(), "default")
			rec.Version = otherVersion
			if version, err = s.Settle(c.ctx, rec); err != nil {
				c.Fatalf("Settle again: %v", err)
			}
			c.wantRecord("default", rec, version)
			c.unlock(c.lock(c.locker(), "default"))
		},
	},
	{
		"SpendWithoutSettle",
		"Unlock releases the lock of a spend, and what it has announced stays",
		func(c *check) {
			rec := c.announced()
			s, version := c.begin(rec, false)
			c.unlock(s)
			c.wantRecord("default", rec, version)
			c.unlock(c.lock(c.locker(), "default"))
		},
	},
	{
		"SpendThroughAnotherStore",
		"BeginSpend for a store that is not the receiver fails with ErrUnsupported, and does nothing",
		func(c *check) {
			rec := c.announced()
			for _, via := range []tokenstore.Store{struct{ tokenstore.Store }{c.store}, nil} {
				_, _, err := c.store.(tokenstore.Spender).BeginSpend(c.ctx, via, "default", rec, false)
				c.wantErr("BeginSpend", err, errors.ErrUnsupported)
			}
			if got := c.get("default"); got.Version != rec.Version || got.Pending != nil {
				c.Errorf("the record was changed: %v", got)
			}
			c.unlock(c.lock(c.locker(), "default"))
		},
	},
}

func mark() *tokenstore.Mark {
	return &tokenstore.Mark{Token: "fingerprint", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// announced saves a record and returns it as BeginSpend is to save it.
func (c *check) announced() *tokenstore.Record {
	c.Helper()
	rec := full()
	rec.Version, rec.Pending, rec.Dead = 0, nil, nil
	rec.Version = c.set("default", rec)
	rec.Pending = mark()
	return rec
}

func (c *check) begin(rec *tokenstore.Record, reserve bool) (tokenstore.Spending, uint64) {
	c.Helper()
	s, version, err := c.store.(tokenstore.Spender).BeginSpend(c.ctx, c.store, "default", rec, reserve)
	if err != nil || s == nil {
		c.Fatalf("BeginSpend: lease %v, error %v", s, err)
	}
	return s, version
}

// offersSpends reports whether a store is a Spender. One that wraps another is one
// only if that one is.
func offersSpends(store tokenstore.Store) bool {
	s, ok := store.(tokenstore.Spender)
	if !ok {
		return false
	}
	_, _, err := s.BeginSpend(context.Background(), store, "default", &tokenstore.Record{Version: 1}, false)
	return !errors.Is(err, errors.ErrUnsupported)
}
