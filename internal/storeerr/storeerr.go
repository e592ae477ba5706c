// Package storeerr words the errors of stores outside package tokenstore: what was
// being done, to which session, and what came in between.
package storeerr

import (
	"context"
	"errors"
	"strconv"

	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/tokenstore"
)

// ErrNoRecord means that a store was told to save nil.
var ErrNoRecord = errors.New("no record was given")

// A failure says what a package was doing when err happened.
type failure struct {
	pkg, action string
	err         error
}

// Failed says of err that it happened while package pkg did action. A nil err stays
// nil, and the result wraps err.
func Failed(pkg, action string, err error) error {
	if err == nil {
		return nil
	}
	return &failure{pkg, action, err}
}

func (f *failure) Error() string {
	return f.pkg + ": " + f.action + ": " + outside.Show(f.err.Error())
}

func (f *failure) Unwrap() error { return f.err }

// About names the session in an action.
func About(action, name string) string { return action + " session " + strconv.Quote(name) }

// Check refuses names that cannot be used, and calls whose context has ended.
func Check(ctx context.Context, pkg, action, name string) error {
	if err := tokenstore.CheckName(name); err != nil {
		return err
	}
	return Failed(pkg, About(action, name), ctx.Err())
}
