package storetest

import (
	"context"
	"errors"

	"github.com/evertoken/evertoken/tokenstore"
)

var stampTests = []test{
	{
		"AStampStaysWhileNothingChanges",
		"Stamp returns the same number as long as the record is not written",
		func(c *check) {
			c.set("default", record("1"))
			before := c.stamp("default")
			c.set("other", record("2"))
			c.get("default")
			if after := c.stamp("default"); after != before {
				c.Errorf("Stamp returned %d, and then %d", before, after)
			}
		},
	},
	{
		"AStampChangesWithTheRecord",
		"after each Set, Stamp returns a number it has not returned before",
		func(c *check) {
			rec := record("1")
			seen := make(map[uint64]bool)
			for range 5 {
				rec.Version = c.set("default", rec)
				stamp := c.stamp("default")
				if seen[stamp] {
					c.Errorf("Stamp returned %d for two records", stamp)
				}
				seen[stamp] = true
			}
		},
	},
	{
		"AStampOfAnAbsentRecord",
		"Stamp of a record that is not there, or was deleted, fails with ErrNotFound",
		func(c *check) {
			st := c.store.(tokenstore.Stamper)
			_, err := st.Stamp(c.ctx, "absent")
			c.wantErr("Stamp", err, tokenstore.ErrNotFound)
			version := c.set("default", record("1"))
			if err := c.store.Delete(c.ctx, "default", version); err != nil {
				c.Fatalf("Delete: %v", err)
			}
			_, err = st.Stamp(c.ctx, "default")
			c.wantErr("Stamp", err, tokenstore.ErrNotFound)
		},
	},
}

func (c *check) stamp(name string) uint64 {
	stamp, err := c.store.(tokenstore.Stamper).Stamp(c.ctx, name)
	if err != nil {
		c.Fatalf("Stamp: %v", err)
	}
	return stamp
}

// offersStamps reports whether a store has stamps. One that wraps another has them
// only if that one has.
func offersStamps(store tokenstore.Store) bool {
	st, ok := store.(tokenstore.Stamper)
	if !ok {
		return false
	}
	_, err := st.Stamp(context.Background(), "default")
	return !errors.Is(err, errors.ErrUnsupported)
}
