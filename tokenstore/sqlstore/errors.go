package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/tokenstore"
)

var errNoRecord = storeerr.ErrNoRecord

// failed adds what was being done to err. A nil err stays nil.
func failed(action string, err error) error { return storeerr.Failed("sqlstore", action, err) }

// about names the session in an action.
func about(action, name string) string { return storeerr.About(action, name) }

// check refuses names that cannot be used, and calls whose context has ended.
func check(ctx context.Context, action, name string) error {
	return storeerr.Check(ctx, "sqlstore", action, name)
}

// judge says what an error of a call with ctx means: either the database could not
// be asked, which is ErrUnavailable, or it was, and did not like the question.
func judge(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		// Drivers report it in words of their own.
		return fmt.Errorf("%w: %w", tokenstore.ErrUnavailable, ctx.Err())
	case missingTable(err):
		return fmt.Errorf("%w (call Migrate to make the tables)", err)
	case answered(err):
		return err
	}
	return fmt.Errorf("%w: %w", tokenstore.ErrUnavailable, err)
}

// PostgreSQL drivers tell the SQLSTATE, and SQLite drivers the result code.
type (
	sqlStater interface{ SQLState() string }
	coder     interface{ Code() int }
)

// awayStates are the classes of SQLSTATE that are about the server and not about the
// question: connection, transaction state (a standby is read-only), rollback that may
// be tried again, resources, object in use, operator intervention, system error.
var awayStates = []string{"08", "25", "40", "53", "55", "57", "58"}

// awayCodes are SQLite's: busy, locked, out of memory, interrupted, I/O error, full,
// cannot open, protocol, schema changed meanwhile.
var awayCodes = []int{5, 6, 7, 9, 10, 13, 14, 15, 17}

// answered reports whether err is a database's refusal of a statement. What does not
// say so comes from the way there.
func answered(err error) bool {
	var state sqlStater
	if errors.As(err, &state) {
		s := state.SQLState()
		return len(s) == 5 && !slices.Contains(awayStates, s[:2])
	}
	var code coder
	if errors.As(err, &code) {
		return !slices.Contains(awayCodes, code.Code()&0xff) // the rest is detail
	}
	return false
}

// missingTable reports whether err is likely to mean that Migrate was not called.
// SQLite has no code of its own for it.
func missingTable(err error) bool {
	var state sqlStater
	var code coder
	return errors.As(err, &state) && state.SQLState() == "42P01" || errors.As(err, &code) && code.Code() == 1
}
