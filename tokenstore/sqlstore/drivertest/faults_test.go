package drivertest

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

var errBroken = errors.New("the connection broke")

// A fault is what goes wrong with a statement.
type fault int

const (
	noFault   fault = iota
	notSent         // it does not reach the database
	cutOff          // its rows end with an error
	senseless       // its first row has no value where there must be one
)

// A flaky is a database whose statements can be made to fail, and are noted.
type flaky struct {
	driver driver.Driver
	place  place

	cut atomic.Bool // whether rows were not what they are since the last call of begin

	mu   sync.Mutex // guards what follows
	sent []sent     // since the last call of begin
	nth  int        // the statement that fails, from one; 0: none
	how  fault
}

// A sent statement is one that a store has asked for.
type sent struct {
	statement string
	args      []driver.NamedValue
}

// flaky returns a store in the place, and what makes its statements fail.
func (p place) flaky(t testing.TB) (*sqlstore.Store, *sql.DB, *flaky) {
	t.Helper()
	f := &flaky{driver: p.db(t).Driver(), place: p}
	db := sql.OpenDB(f)
	t.Cleanup(func() { _ = db.Close() })
	s, err := sqlstore.New(db, p.config())
	if err != nil {
		t.Fatal(err)
	}
	return s, db, f
}

// begin has the nth statement from now on fail.
func (f *flaky) begin(nth int, how fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent, f.nth, f.how = nil, nth, how
	f.cut.Store(false)
}

// statements returns what was sent since begin.
func (f *flaky) statements() []sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sent)
}

func (f *flaky) next(statement string, args []driver.NamedValue) fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, sent{statement, args})
	if len(f.sent) != f.nth {
		return noFault
	}
	return f.how
}

func (f *flaky) Driver() driver.Driver { return f.driver }

func (f *flaky) Connect(context.Context) (driver.Conn, error) {
	conn, err := f.driver.Open(f.place.Address)
	if err != nil {
		return nil, err
	}
	return &flakyConn{conn, f}, nil
}

type flakyConn struct {
	driver.Conn
	f *flaky
}

func (c *flakyConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *flakyConn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	if c.f.next(statement, args) == notSent {
		return nil, errBroken
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, statement, args)
}

func (c *flakyConn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	how := c.f.next(statement, args)
	if how == notSent {
		return nil, errBroken
	}
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, statement, args)
	if err != nil || how == noFault {
		return rows, err
	}
	c.f.cut.Store(true)
	return &flakyRows{rows, how}, nil
}

type flakyRows struct {
	driver.Rows
	how fault
}

func (r *flakyRows) Next(values []driver.Value) error {
	if r.how == cutOff {
		return errBroken
	}
	err := r.Rows.Next(values)
	if err == nil {
		values[0] = nil
	}
	return err
}

// An operation is something that a Store can be asked for.
type operation struct {
	name    string
	prepare func(t *testing.T, p place, s *sqlstore.Store)
	call    func(ctx context.Context, s *sqlstore.Store) error
	fine    error  // what the call returns if all goes well
	least   int    // how many statements it takes
	on      string // the database; empty: SQLite, with which it costs least
}

var operations = []operation{
	{"Get", saved, func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Get(ctx, "default"); return err }, nil, 1, ""},
	{"Get of no session", nothing, func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Get(ctx, "default"); return err }, tokenstore.ErrNotFound, 1, ""},
	{"Set of a new session", nothing, create, nil, 1, ""},
	{"Set over another", saved, create, tokenstore.ErrConflict, 2, ""},
	{"Set over a damaged one", damaged, create, nil, 3, ""},
	{"Set", saved, func(ctx context.Context, s *sqlstore.Store) error {
		rec, err := s.Get(ctx, "default")
		if err == nil {
			_, err = s.Set(ctx, "default", rec)
		}
		return err
	}, nil, 2, ""},
	{"Delete", saved, func(ctx context.Context, s *sqlstore.Store) error {
		version, err := s.Stamp(ctx, "default")
		if err == nil {
			err = s.Delete(ctx, "default", version)
		}
		return err
	}, nil, 2, ""},
	{"Delete of another version", saved, remove, tokenstore.ErrConflict, 2, ""},
	{"Delete of no session", nothing, remove, tokenstore.ErrNotFound, 2, ""},
	{"Delete of a damaged one", damaged, remove, tokenstore.ErrNotFound, 3, ""},
	{"Stamp", saved, func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Stamp(ctx, "default"); return err }, nil, 1, ""},
	{"Time", nothing, func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Time(ctx); return err }, nil, 1, ""},
	{"Names", saved, func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Names(ctx); return err }, nil, 1, ""},
	{"Records", saved, func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Records(ctx); return err }, nil, 1, ""},
	{"Count", saved, func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Count(ctx); return err }, nil, 1, ""},
	{"Pages", saved, func(ctx context.Context, s *sqlstore.Store) (err error) {
		for _, failed := range s.Pages(ctx, 1) {
			err = errors.Join(err, failed)
		}
		return err
	}, nil, 2, ""},
	{"Cleanup", func(t *testing.T, _ place, s *sqlstore.Store) {
		mustSet(t, s, "default", &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(-time.Hour)}})
	}, func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Cleanup(ctx); return err }, nil, 7, ""},
	{"Lock", nothing, func(ctx context.Context, s *sqlstore.Store) error { return teststore.LockOnce(ctx, s) }, nil, 2, ""},
	{"BeginSpend and Settle", saved, func(ctx context.Context, s *sqlstore.Store) error { return teststore.SpendOnce(ctx, s) }, nil, 3, "PostgreSQL"},
	{"Migrate", func(t *testing.T, p place, _ *sqlstore.Store) {
		for _, suffix := range []string{"", "_leases", "_schema"} {
			p.exec(t, `DROP TABLE "%s`+suffix+`"`)
		}
	}, func(ctx context.Context, s *sqlstore.Store) error { return s.Migrate(ctx) }, nil, 9, ""},
}

func nothing(*testing.T, place, *sqlstore.Store) {}

func saved(t *testing.T, _ place, s *sqlstore.Store) {
	mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("a")})
}

func damaged(t *testing.T, p place, s *sqlstore.Store) {
	saved(t, p, s)
	p.exec(t, `UPDATE "%s" SET record = 'garbage'`)
}

func create(ctx context.Context, s *sqlstore.Store) error {
	_, err := s.Set(ctx, "default", &tokenstore.Record{Tokens: newPair("b")})
	return err
}

func remove(ctx context.Context, s *sqlstore.Store) error { return s.Delete(ctx, "default", 1) }

// Whichever statement of an operation fails, the caller learns that nothing is known; no
// connection and no lock is left behind, and the operation can be done again.
func TestF17_AnyStatementMayFail(t *testing.T) {
	for name, start := range databases {
		t.Run(name, func(t *testing.T) {
			newPlace := start(t)
			for _, op := range operations {
				if cmp.Or(op.on, "SQLite") != name {
					continue
				}
				t.Run(op.name, func(t *testing.T) {
					for nth := 1; op.failsAt(t, newPlace(t), nth, notSent); nth++ {
						op.failsAt(t, newPlace(t), nth, cutOff)
						op.failsAt(t, newPlace(t), nth, senseless)
					}
				})
			}
		})
	}
}

// failsAt calls an operation whose nth statement fails. If there is none, it returns false.
func (op operation) failsAt(t *testing.T, p place, nth int, how fault) bool {
	t.Helper()
	p.Address = strings.Replace(p.Address, "synchronous(FULL)", "synchronous(OFF)", 1) // no power is cut here
	p.LeaseTime = longLease                                                            // a renewal would be one statement more
	migrate(t, p)
	s, db, f := p.flaky(t)
	op.prepare(t, p, s)
	f.begin(nth, how)
	err := op.call(t.Context(), s)
	n, wrong := len(f.statements()), f.cut.Load()
	f.begin(0, noFault)
	switch {
	case n < nth:
		if n < op.least || !errors.Is(err, op.fine) {
			t.Errorf("without a fault, after %d statements: %v", n, err)
		}
	case how == notSent || how == cutOff && wrong:
		// What replaces a damaged record finds first that there is one.
		if !errors.Is(err, tokenstore.ErrConflict) && (!errors.Is(err, tokenstore.ErrUnavailable) || !errors.Is(err, errBroken)) {
			t.Errorf("statement %d fails (%d): %v; want %v and the reason", nth, how, err, tokenstore.ErrUnavailable)
		}
	}
	if n := db.Stats().InUse; n != 0 {
		t.Errorf("statement %d fails (%d): %d connections are never given back", nth, how, n)
	}
	again(t, p, s)
	return n >= nth
}

// again requires that a store works as if nothing had happened. A lock whose release
// failed ends by itself.
func again(t *testing.T, p place, s *sqlstore.Store) {
	t.Helper()
	if err := s.Migrate(t.Context()); err != nil {
		t.Errorf("Migrate afterwards: %v", err)
	}
	p.exec(t, `DELETE FROM "%s_leases"`)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lease, err := s.Lock(ctx, "default")
	if err != nil {
		t.Fatalf("Lock afterwards: %v", err)
	}
	mustSet(t, s, "another", &tokenstore.Record{Tokens: newPair("c")})
	mustGet(t, s, "another")
	if err := errors.Join(lease.Err(), lease.Unlock()); err != nil {
		t.Errorf("Unlock afterwards: %v", err)
	}
}

// Migrate changes nothing where there is nothing to do.
func TestMigrateOfWhatIsThereChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s, _, f := p.flaky(t)
		f.begin(0, noFault)
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, sent := range f.statements() {
			switch word := strings.Fields(sent.statement)[0]; word {
			case "BEGIN", "SELECT", "COMMIT":
			case "CREATE": // IF NOT EXISTS
			default:
				t.Errorf("it sends %q", word)
			}
		}
	})
}
