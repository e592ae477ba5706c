package drivertest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
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
		var got []string
		for page, err := range s.Pages(t.Context(), 4) {
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				got = append(got, e.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %q; want %q", got, want)
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
		p.LeaseTime = longLease
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

// Another program has written rows whose names are none. They are not listed, each list ends, and
// they do not stop Cleanup, also where a write notifies of the name.
func TestWhatIsNoNameIsNotListed(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		sqlite := p.Driver == "sqlite"
		p.Notify = !sqlite
		s := p.store(t)
		longest := strings.Repeat("n", 512)
		spent := &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(-time.Hour)}}
		mustSet(t, s, "spent", spent)
		for _, name := range []string{"m", longest, "z"} {
			mustSet(t, s, name, &tokenstore.Record{Tokens: newPair("a")})
		}
		names := []string{"''", "'" + longest + "n'", "'" + strings.Repeat("a", 8200) + "'"}
		if sqlite {
			names = append(names, "x'62'", "x'6d'", "x''", "CAST(x'610062' AS text)", "CAST(x'6d0062' AS text)", "CAST(x'00' AS text)", "CAST(x'ff' AS text)", "CAST(x'6dff' AS text)")
		}
		const plant = `INSERT INTO "%[1]s" (name, version, record, spent_at) SELECT `
		for _, name := range names {
			p.exec(t, plant+name+`, version, record, 1 FROM "%[1]s" WHERE name = 'spent'`)
		}
		if sqlite { // more than Cleanup looks at in one go
			p.exec(t, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 501) `+
				plant+`CAST('blob/' || i AS blob), version, record, 1 FROM n, "%[1]s" WHERE name = 'spent'`)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		want := []string{"m", longest, "spent", "z"}
		if got, err := s.Names(ctx); !slices.Equal(got, want) || err != nil {
			t.Errorf("Names: %.300q, %v; want %.20q", got, err, want)
		}
		for _, size := range []int{1, 2, 3, 100} {
			var got []string
			for page, err := range s.Pages(ctx, size) {
				if err != nil || len(page) == 0 {
					t.Errorf("pages of %d: one of %d, %v", size, len(page), err)
				}
				for _, e := range page {
					got = append(got, e.Name)
				}
				if len(got) > 1000 {
					t.Fatalf("pages of %d do not end", size)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: %.300q; want %.20q", size, got, want)
			}
		}
		if n, err := s.Cleanup(ctx); n != 1 || err != nil {
			t.Errorf("Cleanup: %d, %v; want 1", n, err)
		}
		want = slices.Delete(want, 2, 3)
		if got, err := s.Names(ctx); !slices.Equal(got, want) || err != nil {
			t.Errorf("Cleanup leaves %.300q, %v; want %.20q", got, err, want)
		}
	})
}

// A session that the index calls spent, and its record does not, stays, and Cleanup ends
// though there are more of them than it looks at in one go.
func TestCleanupBelievesTheRecord(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := p.store(t)
		mustSet(t, s, "alive", &tokenstore.Record{Tokens: newPair("a")})
		mustSet(t, s, "damaged", &tokenstore.Record{Tokens: newPair("a")})
		p.exec(t, `UPDATE "%s" SET record = 'garbage' WHERE name = 'damaged'`)
		p.exec(t, `INSERT INTO "%[1]s" (name, version, record)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 501)
			SELECT 'damaged/' || i, version, record FROM n, "%[1]s" WHERE name = 'damaged'`)
		p.exec(t, `UPDATE "%s" SET spent_at = 1`)
		if n, err := s.Cleanup(t.Context()); n != 0 || err != nil {
			t.Errorf("Cleanup: %d, %v; want 0", n, err)
		}
		if n, err := s.Count(t.Context()); n != 503 || err != nil {
			t.Errorf("%d sessions are left, %v; want 503", n, err)
		}
	})
}

func TestWhatCannotBeKeptIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, p place) { teststore.RefuseWhatCannotBeKept(t, p.store(t)) })
}

// Who reads the table with other means finds the version in the record, too.
func TestARecordHasTheVersionOfItsRow(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := p.store(t)
		rec := &tokenstore.Record{Tokens: newPair("a")}
		for range 3 {
			rec.Version = mustSet(t, s, "default", rec)
			var data []byte
			if err := p.db(t).QueryRow(fmt.Sprintf(`SELECT record FROM "%s"`, cmp.Or(p.Table, sqlstore.DefaultTable))).Scan(&data); err != nil {
				t.Fatal(err)
			}
			var stored tokenstore.Record
			if err := stored.UnmarshalJSON(data); err != nil || stored.Version != rec.Version {
				t.Errorf("version %d, %v; want %d", stored.Version, err, rec.Version)
			}
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

// A record longer than any that is saved here is damaged, although it could be read. One of
// the greatest length is not.
func TestARecordThatIsTooLongIsNotRead(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := p.store(t)
		rec := &tokenstore.Record{Tokens: newPair("a")}
		mustSet(t, s, "default", rec)
		stored := mustGet(t, s, "default")
		data, err := stored.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		pad := func(size int) {
			t.Helper()
			p.exec(t, `UPDATE "%s" SET record = $1`, append(data, bytes.Repeat([]byte(" "), size-len(data))...))
		}
		pad(tokenstore.MaxRecord)
		mustGet(t, s, "default")
		pad(tokenstore.MaxRecord + 1)
		if _, err := s.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrDamaged) {
			t.Errorf("Get: %v; want %v", err, tokenstore.ErrDamaged)
		}
		for page, err := range s.Pages(t.Context(), 10) {
			if err != nil || len(page) != 1 || page[0].Record != nil {
				t.Errorf("a page of %v, %v; want the session without its record", page, err)
			}
		}
		mustSet(t, s, "default", rec)
		mustGet(t, s, "default")

		rec.Tokens.AccessToken = strings.Repeat("a", tokenstore.MaxRecord)
		if _, err := s.Set(t.Context(), "other", rec); err == nil || !strings.Contains(err.Error(), "may have 655360") {
			t.Errorf("Set of a longer one: %v; want how long it may be", err)
		}
	})
}

// A version that another program has written, and that is none, makes the record a damaged
// one, and a login heals it.
func TestABadVersionWedgesNoSession(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		bad := []string{"-1", "0", "-9223372036854775808", "9223372036854775807", "9007199254740992"}
		if strings.HasPrefix(p.Driver, "sqlite") {
			bad = append(bad, "'abc'", "''", "1.5", "1e300", "x'00ff'", "'18446744073709551616'", "'1e3x'")
		}
		s := p.store(t)
		for _, bad := range bad {
			old := mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("a")})
			p.exec(t, `UPDATE "%s" SET version = `+bad)
			_, stampErr := s.Stamp(t.Context(), "default")
			_, getErr := s.Get(t.Context(), "default")
			if !errors.Is(stampErr, tokenstore.ErrDamaged) || !errors.Is(getErr, tokenstore.ErrDamaged) {
				t.Errorf("version %s: Stamp %v, Get %v; want ErrDamaged", bad, stampErr, getErr)
			}
			for page, err := range s.Pages(t.Context(), 10) {
				if err != nil || len(page) != 1 || page[0].Record != nil {
					t.Errorf("version %s: a page of %v, %v", bad, page, err)
				}
			}
			if n, err := s.Cleanup(t.Context()); n != 0 || err != nil {
				t.Errorf("version %s: Cleanup: %d, %v", bad, n, err)
			}
			if _, err := s.Set(t.Context(), "default", &tokenstore.Record{Version: old, Tokens: newPair("b")}); !errors.Is(err, tokenstore.ErrConflict) {
				t.Errorf("version %s: Set over it: %v", bad, err)
			}
			next := mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("b")})
			if rec := mustGet(t, s, "default"); rec.Version != next {
				t.Errorf("version %s: after a login it is %d; want %d", bad, rec.Version, next)
			}
			p.exec(t, `UPDATE "%s" SET version = `+bad)
			if err := s.Delete(t.Context(), "default", next); !errors.Is(err, tokenstore.ErrNotFound) {
				t.Errorf("version %s: Delete: %v", bad, err)
			}
			if n, err := s.Count(t.Context()); n != 0 || err != nil {
				t.Errorf("version %s: %d sessions are left, %v", bad, n, err)
			}
		}
	})
}

// The greatest version that counts as one has no greater one after it. What is saved next, by
// each way to save, can be read again: a server has taken the refresh token of before.
func TestWhatFollowsTheGreatestVersionCanBeRead(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := p.store(t)
		rec := &tokenstore.Record{Tokens: newPair("a")}
		greatest := func() {
			t.Helper()
			p.exec(t, fmt.Sprintf(`UPDATE "%%s" SET version = %d`, storeerr.MaxVersion))
			rec.Version = storeerr.MaxVersion
		}
		wantSaved := func(how string, version uint64, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", how, err)
			}
			if got, err := s.Get(t.Context(), "default"); err != nil || got.Version != version {
				t.Errorf("%s: saved as %d, and then Get: %v, %v", how, version, got, err)
			}
		}
		mustSet(t, s, "default", rec)
		greatest()
		version, err := s.Set(t.Context(), "default", rec)
		wantSaved("Set", version, err)

		greatest()
		p.exec(t, `UPDATE "%s" SET record = 'garbage'`)
		version, err = s.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("b")})
		wantSaved("Set over what is damaged", version, err)

		greatest()
		spending, version, err := s.BeginSpend(t.Context(), s, "default", rec, false)
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		wantSaved("BeginSpend", version, err)
		greatest()
		version, err = spending.Settle(t.Context(), rec)
		wantSaved("Settle", version, err)
	})
}

// A table that another program has made may have no version at all.
func TestAMissingVersionWedgesNoSession(t *testing.T) {
	p := newSQLite(t)
	migrate(t, p)
	p.exec(t, `DROP TABLE "%s"`)
	p.exec(t, `CREATE TABLE "%s" (name text NOT NULL PRIMARY KEY, version bigint, record blob, spent_at bigint, damaged blob)`)
	p.exec(t, `INSERT INTO "%s" (name) VALUES ('default')`)
	s := p.store(t)
	if _, err := s.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrDamaged) {
		t.Errorf("Get: %v", err)
	}
	mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("a")})
	mustGet(t, s, "default")
	p.exec(t, `UPDATE "%s" SET version = NULL`)
	if err := s.Delete(t.Context(), "default", 1); !errors.Is(err, tokenstore.ErrNotFound) {
		t.Errorf("Delete: %v", err)
	}
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
