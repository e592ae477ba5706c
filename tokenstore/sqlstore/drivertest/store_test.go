package drivertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

func TestStoreKeepsThePromisesOfAStore(t *testing.T) {
	for name, start := range databases {
		t.Run(name, func(t *testing.T) { runSuite(t, start(t)) })
	}
}

func runSuite(t *testing.T, newPlace func(testing.TB) place) {
	places := make(map[tokenstore.Store]place)
	storetest.Run(t, func(t *testing.T) tokenstore.Store {
		p := newPlace(t)
		migrate(t, p)
		s := p.store(t)
		places[s] = p
		return s
	}, storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store {
		return places[s].store(t)
	}))
}

func TestSealedStoreKeepsThePromisesOfAStore(t *testing.T) {
	for name, start := range databases {
		t.Run(name, func(t *testing.T) {
			newPlace, keys := start(t), tokenstore.Keys(tokenstore.NewKey())
			places := make(map[tokenstore.Store]place)
			storetest.Run(t, func(t *testing.T) tokenstore.Store {
				p := newPlace(t)
				migrate(t, p)
				s := tokenstore.NewSealed(p.store(t), keys)
				places[s] = p
				return s
			}, storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store {
				return tokenstore.NewSealed(places[s].store(t), keys)
			}))
		})
	}
}

func TestProcessesMigrateAtOnce(t *testing.T) {
	for name, start := range databases {
		t.Run(name, func(t *testing.T) {
			newPlace := start(t)
			migrateAtOnce(t, newPlace(t))
			older := newPlace(t)
			older.exec(t, `CREATE TABLE "%s_schema" (version integer NOT NULL)`)
			older.exec(t, `INSERT INTO "%s_schema" VALUES (0)`)
			migrateAtOnce(t, older)
		})
	}
}

func migrateAtOnce(t *testing.T, p place) {
	t.Helper()
	var all []*process
	for range 8 {
		all = append(all, startHelper(t, "migrate", p, ""))
	}
	for _, helper := range all { // all are up before one begins
		helper.wants(t, "ready")
	}
	for _, helper := range all {
		helper.say("go")
	}
	for _, helper := range all {
		helper.wants(t, "done")
	}
	if n := p.number(t, `SELECT count(*) FROM "%s_schema"`); n != 1 {
		t.Errorf("%d versions of the schema; want 1", n)
	}
	mustSet(t, p.store(t), "default", &tokenstore.Record{Tokens: newPair("a")})
}

func TestMigrateLeavesAloneWhatIsThere(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := p.store(t)
		mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("a")})
		migrate(t, p)
		mustGet(t, s, "default")

		p.exec(t, `UPDATE "%s_schema" SET version = 99`)
		migrate(t, p)
		mustGet(t, s, "default")
		if n := p.number(t, `SELECT version FROM "%s_schema"`); n != 99 {
			t.Errorf("Migrate took a newer schema back to version %d", n)
		}
	})
}

func TestMissingTablesAreNoOutage(t *testing.T) {
	for name, start := range databases {
		t.Run(name, func(t *testing.T) {
			_, err := start(t)(t).store(t).Get(t.Context(), "default")
			if err == nil || errors.Is(err, tokenstore.ErrUnavailable) || errors.Is(err, tokenstore.ErrNotFound) || !strings.Contains(err.Error(), "call Migrate") {
				t.Errorf("%v; want that the tables are not there", err)
			}
		})
	}
}

func TestPagesAreInOrderAndComplete(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := p.store(t)
		want := []string{"", "A", "B", "Z", "_", "a", "a b", "b", "straße", "z", "\u00e9", "日本", "🙂"}[1:]
		for _, name := range want {
			mustSet(t, s, name, &tokenstore.Record{Tokens: newPair("a")})
		}
		slices.Sort(want)
		for _, pager := range []tokenstore.Pager{s, tokenstore.NewSealed(s, nil)} {
			var got []string
			for after := ""; ; after = got[len(got)-1] {
				page, err := pager.NamesAfter(t.Context(), after, 4)
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, page...); len(page) < 4 {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %q; want %q", got, want)
			}
			if page, err := pager.NamesAfter(t.Context(), "", 0); len(page) != 0 || err != nil {
				t.Errorf("a page of no names: %q, %v", page, err)
			}
		}
	})
}

func TestStampChangesWithTheRecord(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s, other := p.store(t), tokenstore.NewSealed(p.store(t), nil)
		if _, err := s.Stamp(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("Stamp of no session: %v", err)
		}
		seen := make(map[uint64]bool)
		stamped := func() {
			t.Helper()
			a, err := s.Stamp(t.Context(), "default")
			b, err2 := other.Stamp(t.Context(), "default")
			if err = errors.Join(err, err2); err != nil || a != b || seen[a] {
				t.Errorf("Stamp: %d and %d, %v; want one that was not seen before", a, b, err)
			}
			seen[a] = true
		}
		rec := &tokenstore.Record{Tokens: newPair("a")}
		for range 3 {
			rec.Version = mustSet(t, s, "default", rec)
			stamped()
		}
		if err := s.Delete(t.Context(), "default", rec.Version); err != nil {
			t.Fatal(err)
		}
		rec.Version = 0
		mustSet(t, s, "default", rec)
		stamped()
	})
}

// More sessions than Cleanup looks at in one go, among them some that are locked.
func TestCleanupFindsTheSpentOnes(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s, other := p.store(t), p.store(t)
		spent := &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(-time.Hour)}}
		for i := range 600 {
			mustSet(t, s, fmt.Sprintf("spent/%04d", i), spent)
		}
		mustSet(t, s, "alive", &tokenstore.Record{Tokens: newPair("a")})
		mustSet(t, s, "for ever", &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a"}})
		held := []tokenstore.Lease{mustLock(t, s, "spent/0003"), mustLock(t, other, "spent/0599")}
		if n, err := other.Cleanup(t.Context()); n != 598 || err != nil {
			t.Errorf("Cleanup: %d, %v; want 598", n, err)
		}
		for _, lease := range held {
			if err := errors.Join(lease.Err(), lease.Unlock()); err != nil {
				t.Error(err)
			}
		}
		left, err := s.Names(t.Context())
		if want := []string{"alive", "for ever", "spent/0003", "spent/0599"}; !slices.Equal(left, want) || err != nil {
			t.Errorf("it leaves %q, %v; want %q", left, err, want)
		}
		p.exec(t, `INSERT INTO "%s_leases" (name, owner, until) VALUES ('a', 'somebody who was killed', 1)`)
		if n, err := s.Cleanup(t.Context()); n != 2 || err != nil {
			t.Errorf("Cleanup after Unlock: %d, %v; want 2", n, err)
		}
		if n := p.number(t, `SELECT count(*) FROM "%s_leases"`); n != 0 {
			t.Errorf("%d leases are left", n)
		}
	})
}

// A session that the index calls spent, and its record does not, stays.
func TestCleanupBelievesTheRecord(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := p.store(t)
		mustSet(t, s, "alive", &tokenstore.Record{Tokens: newPair("a")})
		mustSet(t, s, "damaged", &tokenstore.Record{Tokens: newPair("a")})
		p.exec(t, `UPDATE "%s" SET record = 'garbage' WHERE name = 'damaged'`)
		p.exec(t, `UPDATE "%s" SET spent_at = 1`)
		if n, err := s.Cleanup(t.Context()); n != 0 || err != nil {
			t.Errorf("Cleanup: %d, %v; want 0", n, err)
		}
	})
}

func TestDamagedRecordIsKeptAsideUntilDeleted(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := p.store(t)
		rec := &tokenstore.Record{Tokens: newPair("a")}
		old := mustSet(t, s, "default", rec)
		p.exec(t, `UPDATE "%s" SET record = 'garbage'`)
		for range 2 {
			if _, err := s.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrDamaged) {
				t.Errorf("Get: %v; want %v", err, tokenstore.ErrDamaged)
			}
		}
		if version := mustSet(t, s, "default", rec); version <= old {
			t.Errorf("version %d follows %d", version, old)
		}
		if _, err := s.Set(t.Context(), "default", rec); !errors.Is(err, tokenstore.ErrConflict) {
			t.Errorf("Set over a good record: %v", err)
		}
		mustGet(t, s, "default")
		if n := p.number(t, `SELECT count(*) FROM "%s" WHERE damaged = 'garbage' OR CAST(damaged AS text) = 'garbage'`); n != 1 {
			t.Error("what was damaged is gone")
		}
		p.exec(t, `UPDATE "%s" SET record = 'garbage again'`)
		if err := s.Delete(t.Context(), "default", old); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("Delete of a damaged session: %v", err)
		}
		if n, err := s.Count(t.Context()); n != 0 || err != nil {
			t.Errorf("Count: %d, %v; want 0", n, err)
		}
	})
}

func TestRecordOfANewerFormatIsLeftAlone(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := p.store(t)
		rec := &tokenstore.Record{Tokens: newPair("a")}
		mustSet(t, s, "default", rec)
		p.exec(t, `UPDATE "%s" SET record = '{"format":99}', spent_at = 1`)
		if _, err := s.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNewerFormat) {
			t.Errorf("Get: %v", err)
		}
		if _, err := s.Set(t.Context(), "default", rec); !errors.Is(err, tokenstore.ErrConflict) {
			t.Errorf("Set: %v", err)
		}
		if err := s.Delete(t.Context(), "default", 1); !errors.Is(err, tokenstore.ErrConflict) {
			t.Errorf("Delete: %v", err)
		}
		if n, err := s.Cleanup(t.Context()); n != 0 || err != nil {
			t.Errorf("Cleanup: %d, %v", n, err)
		}
	})
}
