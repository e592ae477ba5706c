package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/evertoken/evertoken/tokenstore"
)

var versionTests = []test{
	{
		"SetReturnsTheVersionThatGetShows",
		"Set returns the version that Get returns afterwards; it is never zero",
		func(c *check) {
			version := c.set("default", record("1"))
			if got := c.get("default").Version; got != version || version == 0 {
				c.Errorf("Set returned version %d, Get shows %d", version, got)
			}
		},
	},
	{
		"VersionsGrow",
		"the version that Set returns is greater than the one it replaced",
		func(c *check) {
			rec := record("1")
			for range 5 {
				version := c.set("default", rec)
				if version <= rec.Version {
					c.Errorf("Set replaced version %d by %d", rec.Version, version)
				}
				rec.Version = version
			}
		},
	},
	{
		"VersionsFitAFloat",
		"versions stay below 2^53, beyond which JSON readers and Redis scripts lose digits",
		func(c *check) {
			if version := c.set("default", record("1")); version >= 1<<53 {
				c.Errorf("Set returned version %d", version)
			}
		},
	},
	{
		"SetOfAnAbsentRecordWithAVersion",
		"Set with the version of a record that is not there fails with ErrConflict and creates nothing",
		func(c *check) {
			rec := record("1")
			rec.Version = 1
			_, err := c.store.Set(c.ctx, "absent", rec)
			c.wantErr("Set", err, tokenstore.ErrConflict)
			c.wantAbsent("absent")
		},
	},
	{
		"SetOfANewRecordOverAnother",
		"Set with version zero fails with ErrConflict if there is a record, and leaves it alone",
		func(c *check) {
			first := record("first")
			version := c.set("default", first)
			_, err := c.store.Set(c.ctx, "default", record("second"))
			c.wantErr("Set", err, tokenstore.ErrConflict)
			c.wantRecord("default", first, version)
		},
	},
	{
		"F19_OlderPairNeverOverwritesANewerOne",
		"Set with a version that was replaced fails with ErrConflict and changes nothing",
		func(c *check) {
			stale, newer := record("stale"), record("newer")
			stale.Version = c.set("default", record("first"))
			newer.Version = stale.Version
			version := c.set("default", newer)
			for _, wrong := range []uint64{stale.Version, version + 1, version - 1, 1} {
				stale.Version = wrong
				_, err := c.store.Set(c.ctx, "default", stale)
				if wrong != version {
					c.wantErr(fmt.Sprintf("Set with version %d over version %d", wrong, version), err, tokenstore.ErrConflict)
				}
			}
			c.wantRecord("default", newer, version)
		},
	},
	{
		"DeleteComparesTheVersion",
		"Delete with another version than the stored one fails with ErrConflict and deletes nothing",
		func(c *check) {
			rec := record("1")
			version := c.set("default", rec)
			for _, wrong := range []uint64{0, 1, version + 1, version - 1} {
				err := c.store.Delete(c.ctx, "default", wrong)
				c.wantErr(fmt.Sprintf("Delete of version %d, stored %d", wrong, version), err, tokenstore.ErrConflict)
			}
			c.wantRecord("default", rec, version)
		},
	},
	{
		"DeleteRemoves",
		"after Delete there is no record",
		func(c *check) {
			version := c.set("default", record("1"))
			if err := c.store.Delete(c.ctx, "default", version); err != nil {
				c.Fatalf("Delete: %v", err)
			}
			c.wantAbsent("default")
			c.wantErr("a second Delete", c.store.Delete(c.ctx, "default", version), tokenstore.ErrNotFound)
		},
	},
	{
		"F31_StaleWriterDoesNotUndoALogout",
		"after Delete, Set with the deleted record's version fails with ErrConflict and creates nothing",
		func(c *check) {
			rec := record("1")
			rec.Version = c.set("default", rec)
			if err := c.store.Delete(c.ctx, "default", rec.Version); err != nil {
				c.Fatalf("Delete: %v", err)
			}
			_, err := c.store.Set(c.ctx, "default", rec)
			c.wantErr("Set", err, tokenstore.ErrConflict)
			c.wantAbsent("default")
		},
	},
	{
		"VersionsAreNotUsedAgainAfterDelete",
		"a session that was deleted and created again has a version it never had (NextVersion), or a slow writer from before would pass the comparison",
		func(c *check) {
			stale := record("stale")
			stale.Version = c.set("default", record("first"))
			if err := c.store.Delete(c.ctx, "default", stale.Version); err != nil {
				c.Fatalf("Delete: %v", err)
			}
			again := record("again")
			version := c.set("default", again)
			_, err := c.store.Set(c.ctx, "default", stale)
			c.wantErr("Set with a version from before Delete", err, tokenstore.ErrConflict)
			c.wantRecord("default", again, version)
		},
	},
	{
		"OneOfManyConcurrentCreatorsWins",
		"of several Sets that create the same record at the same time exactly one succeeds; the others fail with ErrConflict",
		func(c *check) { contest(c, []tokenstore.Store{c.store}, 0) },
	},
	{
		"OneOfManyConcurrentSaversWins",
		"of several Sets that replace the same version at the same time exactly one succeeds; the others fail with ErrConflict",
		func(c *check) {
			contest(c, []tokenstore.Store{c.store}, c.set("default", record("first")))
		},
	},
	{
		"NoUpdateIsLost",
		"writers that read, change and save a record, and start over after ErrConflict, lose no change",
		func(c *check) { count(c, []tokenstore.Store{c.store}) },
	},
}

// contest lets goroutines save over version through the given stores at once,
// a few times in a row, and checks that one wins each time.
func contest(c *check, stores []tokenstore.Store, version uint64) {
	const rounds, savers = 5, 8
	for round := range rounds {
		var (
			start = make(chan struct{})
			won   [savers]uint64
			errs  [savers]error
			wg    sync.WaitGroup
		)
		for i := range savers {
			wg.Go(func() {
				rec := record(strconv.Itoa(i))
				rec.Version = version
				<-start
				won[i], errs[i] = stores[i%len(stores)].Set(c.ctx, "default", rec)
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				c.Fatalf("round %d: savers %d and %d both replaced version %d", round, winner, i, version)
			case err == nil:
				winner = i
			default:
				c.wantErr("Set of a loser", err, tokenstore.ErrConflict)
			}
		}
		if winner < 0 {
			c.Fatalf("round %d: no writer could replace version %d: %v", round, version, errors.Join(errs[:]...))
		}
		if got := c.get("default"); got.Version != won[winner] || got.Tokens.AccessToken != pair(strconv.Itoa(winner)).AccessToken {
			c.Fatalf("round %d: the stored record is not the winner's", round)
		}
		version = won[winner]
	}
}

// count lets goroutines count up a number in a record, comparing versions and
// without a lock. In each round all of them read before the first one saves.
func count(c *check, stores []tokenstore.Store) {
	const rounds, writers = 5, 4
	c.set("default", &tokenstore.Record{Tokens: pair("counter"), RefreshedBy: "0"})
	for range rounds {
		var haveRead, done sync.WaitGroup
		haveRead.Add(writers)
		for i := range writers {
			done.Go(func() {
				store := stores[i%len(stores)]
				rec, err := store.Get(c.ctx, "default")
				haveRead.Done()
				haveRead.Wait()
				if err == nil {
					err = countUp(c, store, rec)
				}
				if err != nil {
					c.Errorf("counting up: %v", err)
				}
			})
		}
		done.Wait()
	}
	if got := c.get("default").RefreshedBy; got != strconv.Itoa(rounds*writers) {
		c.Errorf("%d writers counted to %s in %d rounds; want %d", writers, got, rounds, rounds*writers)
	}
}

// countUp saves rec with its number counted up, and starts over with what is
// stored when another writer was faster.
func countUp(c *check, store tokenstore.Store, rec *tokenstore.Record) error {
	for {
		n, err := strconv.Atoi(rec.RefreshedBy)
		if err != nil {
			return err
		}
		rec.RefreshedBy = strconv.Itoa(n + 1)
		if _, err = store.Set(c.ctx, "default", rec); !errors.Is(err, tokenstore.ErrConflict) {
			return err
		}
		if rec, err = store.Get(c.ctx, "default"); err != nil {
			return err
		}
	}
}
