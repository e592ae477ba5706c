//go:build real && linux

package drivertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
)

// A writer that has no lock changes the record in the instant in which a spend begins: the
// statement finds the version that it wants, and waits for the row. The spend must not
// begin, and nothing may be locked.
func TestF19_ASpendThatIsOvertakenLeavesNoLock(t *testing.T) {
	p := startPostgres(t).newPlace(t)
	migrate(t, p)
	s, db := p.store(t), p.db(t)
	rec := &tokenstore.Record{Tokens: newPair("a")}
	rec.Version = mustSet(t, s, "default", rec)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(fmt.Sprintf(`UPDATE "%s" SET version = version + 1`, p.Table)); err != nil {
		t.Fatal(err)
	}
	begun := make(chan error, 1)
	go func() {
		_, _, err := s.BeginSpend(t.Context(), s, "default", rec, false)
		begun <- err
	}()
	await(t, "the spend waits for the row", func() bool {
		var waiting int
		err := db.QueryRow(`SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(&waiting)
		return err == nil && waiting > 0
	})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-begun; !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("BeginSpend: %v; want %v", err, tokenstore.ErrConflict)
	}
	if n := p.number(t, `SELECT count(*) FROM "%s_leases"`); n != 0 {
		t.Errorf("%d locks are left", n)
	}
	if got := mustGet(t, s, "default"); got.Version != rec.Version+1 {
		t.Errorf("version %d; want the other writer's %d", got.Version, rec.Version+1)
	}
}

// Where the default isolation is stricter than PostgreSQL's own, a statement that waits for a row
// which another one changes is rolled back. That is no outage, in which a program may spend
// without the lock: locks are waited for, and writes find the other writer's version.
func TestARollbackByIsolationIsNoOutage(t *testing.T) {
	server := startPostgres(t)
	for _, level := range []string{"repeatable%20read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			p := server.newPlace(t)
			p.Address += "&default_transaction_isolation=" + level
			migrateAtOnce(t, p)
			s, db := p.store(t), p.db(t)
			rec := mustGet(t, s, "default")
			// meanwhile calls while another transaction changes a row, which call waits for.
			meanwhile := func(change string, call func() error) error {
				t.Helper()
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(fmt.Sprintf(change, p.Table)); err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- call() }()
				await(t, "the call waits for the row", func() bool {
					var waiting int
					err := db.QueryRow(`SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(&waiting)
					return err == nil && waiting > 0
				})
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				return <-done
			}
			p.exec(t, `INSERT INTO "%s_leases" (name, owner, until) VALUES ('default', 'gone', 0)`)
			lock := func() error {
				lease, err := s.Lock(t.Context(), "default")
				if err != nil {
					return err
				}
				return errors.Join(lease.Err(), lease.Unlock())
			}
			if err := meanwhile(`UPDATE "%s_leases" SET until = 1`, lock); err != nil {
				t.Errorf("Lock: %v", err)
			}
			const overtake = `UPDATE "%s" SET version = version + 1`
			set := func() error { _, err := s.Set(t.Context(), "default", rec); return err }
			if err := meanwhile(overtake, set); !errors.Is(err, tokenstore.ErrConflict) || errors.Is(err, tokenstore.ErrUnavailable) {
				t.Errorf("Set: %v; want %v", err, tokenstore.ErrConflict)
			}
			rec.Version++
			begin := func() error { _, _, err := s.BeginSpend(t.Context(), s, "default", rec, false); return err }
			if err := meanwhile(overtake, begin); !errors.Is(err, tokenstore.ErrConflict) || errors.Is(err, tokenstore.ErrUnavailable) {
				t.Errorf("BeginSpend: %v; want %v", err, tokenstore.ErrConflict)
			}
			rec.Version++
			spending, version, err := s.BeginSpend(t.Context(), s, "default", rec, false)
			if err != nil {
				t.Fatal(err)
			}
			rec.Version = version
			settle := func() error { _, err := spending.Settle(t.Context(), rec); return err }
			if err := meanwhile(`UPDATE "%s" SET spent_at = NULL`, settle); err != nil {
				t.Errorf("Settle: %v", err)
			}
		})
	}
}

// Only migrations of the same tables exclude each other.
func TestMigrationsOfOtherTablesAreNotWaitedFor(t *testing.T) {
	server := startPostgres(t)
	keyOf := func(table string) (key any) {
		t.Helper()
		p := server.newPlace(t)
		p.Table = table
		s, _, f := p.flaky(t)
		f.begin(0, noFault)
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, sent := range f.statements() {
			if strings.Contains(sent.statement, "pg_advisory_xact_lock") {
				key = sent.args[0].Value
			}
		}
		return key
	}
	a, b := keyOf("a"), keyOf("b")
	if a == nil || a == b || a != keyOf("a") {
		t.Errorf("two tables are migrated under %v and %v; want one key for each", a, b)
	}
}
