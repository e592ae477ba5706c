package storetest

import (
	"context"
	"time"
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
}
