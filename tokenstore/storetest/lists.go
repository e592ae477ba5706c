package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

var listTests = []test{
	{
		"EmptyStore",
		"an empty store has no names",
		func(c *check) { c.wantNames() },
	},
	{
		"NamesAreSorted",
		"Names returns the names of all sessions as they were given, sorted, and Count their number",
		func(c *check) {
			c.lister()
			for i := range oddNames {
				c.set(oddNames[len(oddNames)-1-i], record("1"))
			}
			c.wantNames(oddNames...)
		},
	},
	{
		"WordsAboutServersAreNotListed",
		"Names and Count leave out what is kept about servers (tokenstore.ServerRecord), which Get returns",
		func(c *check) {
			c.lister()
			about := tokenstore.ServerRecord("https://login.example.com")
			c.set("a", record("1"))
			c.set(about, &tokenstore.Record{NotBefore: time.Now().Add(time.Hour)})
			c.wantNames("a")
			if c.get(about).NotBefore.IsZero() {
				c.Errorf("the record about a server has lost its NotBefore")
			}
		},
	},
	{
		"DeletedSessionsAreNotListed",
		"Names does not list a session after Delete",
		func(c *check) {
			c.lister()
			version := c.set("a", record("1"))
			c.set("b", record("2"))
			if err := c.store.Delete(c.ctx, "a", version); err != nil {
				c.Fatalf("Delete: %v", err)
			}
			c.wantNames("b")
		},
	},
	{
		"CleanupRemovesWhatNothingCanRenew",
		"Cleanup removes the sessions that nothing can renew any more (Record.Spent), no others, and returns how many",
		func(c *check) {
			l := c.lister()
			c.set("alive", record("1"))
			c.set("renewable", &tokenstore.Record{Tokens: &oauth.TokenPair{
				AccessToken: "a", RefreshToken: "r", ExpiresAt: time.Now().Add(-time.Hour),
			}})
			c.set("spent", spent())
			c.set("Spent/too", spent())
			if n, err := l.Cleanup(c.ctx); n != 2 || err != nil {
				c.Errorf("Cleanup returned %d, %v; want 2", n, err)
			}
			c.wantNames("alive", "renewable")
		},
	},
	{
		"CleanupLeavesLockedSessionsAlone",
		"Cleanup leaves a session alone whose lock is held",
		func(c *check) {
			l, locker := c.lister(), c.locker()
			c.set("spent", spent())
			lease := c.lock(locker, "spent")
			if n, err := l.Cleanup(c.ctx); n != 0 || err != nil {
				c.Errorf("Cleanup while the lock is held returned %d, %v; want 0", n, err)
			}
			c.wantNames("spent")
			c.unlock(lease)
			if n, err := l.Cleanup(c.ctx); n != 1 || err != nil {
				c.Errorf("Cleanup after Unlock returned %d, %v; want 1", n, err)
			}
			c.unlock(c.lock(locker, "spent")) // Cleanup released it
		},
	},
}

var recordListTests = []test{
	{
		"RecordsAreAllThereIs",
		"Records returns the names of all records, sorted: those of the sessions, and those of what is kept about servers (tokenstore.ServerRecord)",
		func(c *check) {
			c.wantRecords()
			about := tokenstore.ServerRecord("https://login.example.com")
			version := c.set(about, &tokenstore.Record{NotBefore: time.Now().Add(time.Hour)})
			c.wantRecords(about)
			for i := range oddNames {
				c.set(oddNames[len(oddNames)-1-i], record("1"))
			}
			c.wantRecords(append([]string{about}, oddNames...)...)
			if err := c.store.Delete(c.ctx, about, version); err != nil {
				c.Fatalf("Delete: %v", err)
			}
			c.wantRecords(oddNames...)
		},
	},
}

// wantRecords requires that the store lists records of the given names.
func (c *check) wantRecords(want ...string) {
	c.Helper()
	want = slices.Sorted(slices.Values(want))
	got, err := c.store.(tokenstore.RecordLister).Records(c.ctx)
	if err != nil || !slices.Equal(got, want) {
		c.Errorf("Records returned %q, %v; want %q", got, err, want)
	}
}

// offersRecords reports whether a store lists all of its records. One that wraps another does
// only if that one does.
func offersRecords(store tokenstore.Store) bool {
	l, ok := store.(tokenstore.RecordLister)
	if !ok {
		return false
	}
	_, err := l.Records(context.Background())
	return !errors.Is(err, errors.ErrUnsupported)
}

// spent returns a record that nothing can renew: it has expired, and there is
// no refresh token.
func spent() *tokenstore.Record {
	return &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(-time.Hour)}}
}

func (c *check) lister() tokenstore.Lister {
	c.Helper()
	return c.store.(tokenstore.Lister)
}

// wantNames requires that the store lists the given names.
func (c *check) wantNames(want ...string) {
	c.Helper()
	l := c.lister()
	want = slices.Sorted(slices.Values(want))
	got, err := l.Names(c.ctx)
	if err != nil || !slices.Equal(got, want) {
		c.Errorf("Names returned %q, %v; want %q", got, err, want)
	}
	if n, err := l.Count(c.ctx); n != len(want) || err != nil {
		c.Errorf("Count returned %d, %v; want %d", n, err, len(want))
	}
}
