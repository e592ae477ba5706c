package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/evertoken/evertoken/internal/sleep"
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
// question: connection, transaction state (a standby is read-only), rollback,
// resources, object in use, operator intervention, system error.
var awayStates = []string{"08", "25", "40", "53", "55", "57", "58"}

// rolledBackStates are the SQLSTATEs of class 40 that do not mean an outage: the database has undone the
// statement for certain, since another transaction changed the same rows meanwhile (at the
// isolation levels repeatable read and serializable), or because each waited for the other. It
// may be sent again. 40003, of the same class, leaves open what was done.
var rolledBackStates = []string{"40001", "40P01"}

// rolledBack reports whether err is one of rolledBackStates.
func rolledBack(err error) bool {
	var state sqlStater
	return errors.As(err, &state) && slices.Contains(rolledBackStates, state.SQLState())
}

// maxSends is how often a statement is sent that is rolled back each time, within some 150 ms. A
// transaction of ours is one statement, which is soon over.
const maxSends = 5

// again calls send until it is not rolled back, up to maxSends times. The error of the last is
// neither ErrUnavailable, since the database is there, nor ErrConflict: where another writer
// has saved, the next statement finds that and says so, and that alone.
func again(ctx context.Context, send func() error) error {
	for sent, delay := 1, minPoll; ; sent, delay = sent+1, 2*delay {
		err := send()
		if !rolledBack(err) || sent == maxSends || sleep.For(ctx, delay/2+rand.N(delay/2)) != nil {
			return err
		}
	}
}

// awayCodes are SQLite's: busy, locked, out of memory, interrupted, I/O error, full,
// cannot open, protocol, schema changed meanwhile.
var awayCodes = []int{5, 6, 7, 9, 10, 13, 14, 15, 17}

// isBusy reports whether err is SQLite's word for a file that another process uses.
func isBusy(err error) bool {
	var code coder
	return errors.As(err, &code) && code.Code()&0xff == 5
}

// answered reports whether err is a database's refusal of a statement. What does not
// say so comes from the way there.
func answered(err error) bool {
	var state sqlStater
	if errors.As(err, &state) {
		s := state.SQLState()
		return len(s) == 5 && !slices.Contains(awayStates, s[:2]) || slices.Contains(rolledBackStates, s)
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
