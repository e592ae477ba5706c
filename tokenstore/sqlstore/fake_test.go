package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// A fakeDB is a database that answers each statement by a function, so that time can
// run in a bubble. What real ones do is the business of the module drivertest.
type fakeDB struct {
	exec func(ctx context.Context, statement string, owner any) (changed int64, err error)
}

func (f *fakeDB) Connect(context.Context) (driver.Conn, error) { return f, nil }
func (f *fakeDB) Driver() driver.Driver                        { return nil }
func (f *fakeDB) Prepare(string) (driver.Stmt, error)          { return nil, errors.New("not prepared") }
func (f *fakeDB) Begin() (driver.Tx, error)                    { return nil, errors.New("no transactions") }
func (f *fakeDB) Close() error                                 { return nil }

func (f *fakeDB) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	var owner any
	if len(args) > 1 {
		owner = args[1].Value
	}
	n, err := f.exec(ctx, strings.Fields(statement)[0], owner)
	return driver.RowsAffected(n), err
}

// store returns a store in f.
func (f *fakeDB) store(t *testing.T, cfg sqlstore.Config) *sqlstore.Store {
	t.Helper()
	db := sql.OpenDB(f)
	t.Cleanup(func() { _ = db.Close() })
	s, err := sqlstore.New(db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Of a lock's statements these are the first words.
const (
	acquire = "INSERT"
	renew   = "UPDATE"
	release = "DELETE"
)
