package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// A stuckDB answers each question for the names after one with the same names. It does so
// four times, and locks nothing.
type stuckDB struct {
	*fakeDB
	asked *int
}

func (d stuckDB) Connect(context.Context) (driver.Conn, error) { return d, nil }

func (d stuckDB) QueryContext(_ context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	if !strings.Contains(statement, "LIMIT") { // the time
		return &stuckRows{columns: 1, left: 1, value: func(int) driver.Value { return int64(1) }}, nil
	}
	if *d.asked++; *d.asked > 4 {
		return nil, errors.New("it is asked for ever")
	}
	limit := int(args[len(args)-1].Value.(int64))
	name := func(left int) driver.Value { return fmt.Sprintf("session/%04d", limit-left) }
	return &stuckRows{columns: 1 + 2*strings.Count(statement, ", CAST(version AS text), "), left: limit, value: name}, nil
}

// A stuckRows is so many rows of the same value in each column.
type stuckRows struct {
	columns, left int
	value         func(left int) driver.Value
}

func (r *stuckRows) Columns() []string { return make([]string, r.columns) }
func (r *stuckRows) Close() error      { return nil }

func (r *stuckRows) Next(into []driver.Value) error {
	if r.left == 0 {
		return io.EOF
	}
	for i := range into {
		into[i] = r.value(r.left)
	}
	r.left--
	return nil
}

func TestADatabaseThatRepeatsItselfEndsWhatItLists(t *testing.T) {
	asked := 0
	nothing := &fakeDB{func(context.Context, string, any) (int64, error) { return 0, nil }}
	db := sql.OpenDB(stuckDB{nothing, &asked})
	defer db.Close()
	s, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for _, err := range s.Pages(t.Context(), 3) {
		if pages++; err != nil {
			t.Error(err)
		}
	}
	if pages != 1 || asked != 2 {
		t.Errorf("%d pages of %d questions; want 1 of 2", pages, asked)
	}
	asked = 0
	if n, err := s.Cleanup(t.Context()); n != 0 || err != nil || asked != 2 {
		t.Errorf("Cleanup: %d, %v, after %d questions; want 2", n, err, asked)
	}
}
