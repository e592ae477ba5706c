package storetest

import (
	"context"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

var contextTests = []test{
	{
		"EndedContext",
		"a method whose context has ended fails with an error that wraps the context's, and does nothing",
		func(c *check) {
			rec := record("1")
			version := c.set("default", rec)
			next := record("next")
			next.Version = version

			cancelled, cancel := context.WithCancel(c.ctx)
			cancel()
			expired, cancel := context.WithDeadline(c.ctx, time.Unix(1, 0))
			defer cancel()
			for _, ctx := range []context.Context{cancelled, expired} {
				_, err := c.store.Get(ctx, "default")
				c.wantErr("Get", err, ctx.Err())
				_, err = c.store.Set(ctx, "default", next)
				c.wantErr("Set", err, ctx.Err())
				_, err = c.store.Set(ctx, "new", record("2"))
				c.wantErr("Set of a new record", err, ctx.Err())
				c.wantErr("Delete", c.store.Delete(ctx, "default", version), ctx.Err())
			}
			c.wantRecord("default", rec, version)
			c.wantAbsent("new")
		},
	},
	{
		"EndedContextOfWhatElseIsOffered",
		"so does a method of the optional interfaces: Stamp, BeginSpend, Settle, Names, Records, Count and Cleanup",
		func(c *check) {
			ended, cancel := context.WithCancel(c.ctx)
			cancel()
			if offersStamps(c.store) {
				c.set("stamped", record("1"))
				_, err := c.store.(tokenstore.Stamper).Stamp(ended, "stamped")
				c.wantErr("Stamp", err, context.Canceled)
			}
			if offersSpends(c.store) {
				c.endedContextOfASpend(ended)
			}
			if l, ok := c.store.(tokenstore.Lister); ok {
				c.set("spent", spent())
				_, err := l.Names(ended)
				c.wantErr("Names", err, context.Canceled)
				if offersRecords(c.store) {
					_, err = c.store.(tokenstore.RecordLister).Records(ended)
					c.wantErr("Records", err, context.Canceled)
				}
				_, err = l.Count(ended)
				c.wantErr("Count", err, context.Canceled)
				n, err := l.Cleanup(ended)
				c.wantErr("Cleanup", err, context.Canceled)
				if n != 0 {
					c.Errorf("Cleanup has removed %d sessions", n)
				}
				c.get("spent")
			}
		},
	},
}

// endedContextOfASpend calls what begins and what ends a spend with a context that has ended.
func (c *check) endedContextOfASpend(ended context.Context) {
	c.Helper()
	rec := c.announced()
	_, _, err := c.store.(tokenstore.Spender).BeginSpend(ended, c.store, "default", rec, false)
	c.wantErr("BeginSpend", err, context.Canceled)
	if got := c.get("default"); got.Version != rec.Version || got.Pending != nil {
		c.Errorf("BeginSpend changed the record: %v", got)
	}
	s, version := c.begin(rec, false) // no lock was left
	c.wantRecord("default", rec, version)
	settled := rec.Clone()
	settled.Version, settled.Pending = version, nil
	_, err = s.Settle(ended, settled)
	c.wantErr("Settle", err, context.Canceled)
	c.wantRecord("default", rec, version)
	c.wantLocked(c.locker(), "default")
	if version, err = s.Settle(c.ctx, settled); err != nil {
		c.Fatalf("Settle again: %v", err)
	}
	c.wantRecord("default", settled, version)
	c.unlock(c.lock(c.locker(), "default"))
}
