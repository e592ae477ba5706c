package drivertest

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// A place is where sessions are. Other processes are told of it in JSON.
type place struct {
	Driver, Address string
	Table           string
	LeaseTime       time.Duration
	Notify          bool // writes notify
}

// listenIn returns a Config.Listen for a place in a database that notifies.
var listenIn func(p place) func(ctx context.Context, channel string, notify func(payload string)) error

// databases starts, by name, each kind of database for the time of a test. What it
// returns makes new places in it.
var databases = map[string]func(t testing.TB) (newPlace func(testing.TB) place){
	"SQLite": func(testing.TB) func(testing.TB) place { return newSQLite },
}

func newSQLite(t testing.TB) place {
	path := filepath.Join(t.TempDir(), "sessions.db")
	return place{Driver: "sqlite", Address: "file:" + path + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"}
}

// tables counts the tables that tests have made.
var tables atomic.Int32

// newTable returns the name of a table that no other test has.
func newTable() string { return fmt.Sprintf("Sessions_%d", tables.Add(1)) }

// onEach runs a test in each kind of database, in tables that have been made.
func onEach(t *testing.T, test func(t *testing.T, p place)) {
	for name, start := range databases {
		t.Run(name, func(t *testing.T) {
			p := start(t)(t)
			migrate(t, p)
			test(t, p)
		})
	}
}

func migrate(t testing.TB, p place) {
	t.Helper()
	if err := p.store(t).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (p place) open() (*sql.DB, error) { return sql.Open(p.Driver, p.Address) }

// db opens the database, for the time of the test.
func (p place) db(t testing.TB) *sql.DB {
	t.Helper()
	db, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (p place) config() sqlstore.Config {
	cfg := sqlstore.Config{Table: p.Table, LeaseTime: p.LeaseTime}
	if p.Driver == "sqlite" {
		cfg.Dialect = sqlstore.SQLite
	}
	if p.Notify {
		cfg.Listen = listenIn(p)
	}
	return cfg
}

// store returns a store in the place that shares nothing with others in memory. The
// edits change its configuration.
func (p place) store(t testing.TB, edits ...func(*sqlstore.Config)) *sqlstore.Store {
	t.Helper()
	cfg := p.config()
	for _, edit := range edits {
		edit(&cfg)
	}
	s, err := sqlstore.New(p.db(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// exec changes what is in the database behind the back of stores. In the statement %s
// stands for the name of the table, and may have a suffix.
func (p place) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	table := cmp.Or(p.Table, sqlstore.DefaultTable)
	if _, err := p.db(t).Exec(fmt.Sprintf(statement, table), args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// number returns what a query finds.
func (p place) number(t testing.TB, query string) int64 {
	t.Helper()
	var n int64
	if err := p.db(t).QueryRow(fmt.Sprintf(query, cmp.Or(p.Table, sqlstore.DefaultTable))).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func newPair(label string) *oauth.TokenPair {
	return &oauth.TokenPair{AccessToken: "access-" + label, RefreshToken: "refresh-" + label, ExpiresAt: time.Now().Add(time.Hour)}
}

var mustSet, mustGet, mustLock, await = teststore.Set, teststore.Get, teststore.Lock, teststore.Await

// wantLocked requires that the lock is busy, and nothing worse.
func wantLocked(t *testing.T, s tokenstore.Locker) {
	t.Helper()
	teststore.WantLocked(t, s, "default")
}

// longLease is one that does not end while a test is held up, nor is renewed.
const longLease = 5 * time.Minute

// patience is how long anything may take: far longer than the slowest machine needs.
const patience = 2 * time.Minute
