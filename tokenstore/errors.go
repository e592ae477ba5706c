package tokenstore

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/evertoken/evertoken/internal/outside"
)

var errNoRecord = errors.New("no record was given")

// A sessionError says what was being done to which session when err happened.
type sessionError struct {
	action, name string
	err          error
}

// failed adds action and session to err. A nil err stays nil.
func failed(action, name string, err error) error {
	if err == nil {
		return nil
	}
	return &sessionError{action, name, err}
}

// Error names the package once, although the sentinels do so too. Names of files and what
// drivers say can be other people's text.
func (e *sessionError) Error() string {
	cause := strings.TrimPrefix(e.err.Error(), "tokenstore: ")
	return "tokenstore: " + e.action + " session " + strconv.Quote(e.name) + ": " + outside.Show(cause)
}

func (e *sessionError) Unwrap() error { return e.err }

// check refuses names that cannot be used, and calls whose context has ended.
func check(ctx context.Context, action, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return failed(action, name, ctx.Err())
}
