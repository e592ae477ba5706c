package storetest

import (
	"github.com/evertoken/evertoken/tokenstore"
)

var reopenTests = []test{
	{
		"RecordsAreShared",
		"what one process saves, another reads, field by field and with its version",
		func(c *check) {
			other := c.second()
			rec := full()
			version := c.set("Some/name", rec)
			c.store = other
			c.wantRecord("Some/name", rec, version)
		},
	},
	{
		"VersionsAreShared",
		"a process that saves over another's newer record gets ErrConflict, and so does one that deletes it",
		func(c *check) {
			other := c.second()
			rec := record("1")
			old := c.set("default", rec)
			rec.Version = old
			version, err := other.Set(c.ctx, "default", rec)
			if err != nil {
				c.Fatalf("Set by another process: %v", err)
			}
			_, err = c.store.Set(c.ctx, "default", rec)
			c.wantErr("Set of an old version", err, tokenstore.ErrConflict)
			c.wantErr("Delete of an old version", c.store.Delete(c.ctx, "default", old), tokenstore.ErrConflict)
			if err := c.store.Delete(c.ctx, "default", version); err != nil {
				c.Errorf("Delete of the current version: %v", err)
			}
			if _, err := other.Set(c.ctx, "default", rec); err == nil {
				c.Errorf("another process brought a deleted session back")
			}
		},
	},
	{
		"OneOfManyConcurrentSaversWins",
		"of several processes that replace the same version at the same time exactly one succeeds; the others get ErrConflict",
		func(c *check) { contest(c, []tokenstore.Store{c.store, c.second()}, 0) },
	},
	{
		"NoUpdateIsLost",
		"processes that read, change and save a record, and start over after ErrConflict, lose no change",
		func(c *check) { count(c, []tokenstore.Store{c.store, c.second()}) },
	},
	{
		"LockIsExclusive",
		"at most one process holds the lock of a name",
		func(c *check) {
			l := c.locker()
			other, ok := c.second().(tokenstore.Locker)
			if !ok {
				c.Fatalf("the reopened store is not a Locker, and the first one is")
			}
			lease := c.lock(l, "default")
			c.wantLocked(other, "default")
			c.unlock(lease)
			c.unlock(c.lock(other, "default"))
			exclude(c, []tokenstore.Locker{l, other})
		},
	},
}

// second returns another store over the data of the first.
func (c *check) second() tokenstore.Store {
	c.Helper()
	return c.reopen(c.T, c.store)
}
