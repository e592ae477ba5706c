package wire

import (
	"errors"
	"time"
)

// A Failure says what became of a request. It has the fields of oauth.Error, which
// documents them, so that the one converts to the other: this package cannot name that
// type, and people who branch on errors find it whole in package oauth.
type Failure struct {
	Op      string
	Kind    error
	Code    string
	Status  int
	RetryAt time.Time
	Sent    bool
	Page    bool
	Hint    string
	Field   string
	Err     error
}

// Misconfigured returns the failure of a request that cannot be made at all.
func Misconfigured(op string, err error) *Failure {
	fail := &Failure{Op: op, Kind: ErrMisconfigured, Err: err}
	if f, ok := errors.AsType[*FieldError](err); ok {
		fail.Field = f.Field
	}
	return fail
}

// A FieldError says what is wrong with a field of a configuration, in a text that
// names it.
type FieldError struct {
	Field string // such as TokenURL
	Err   error
}

func (e *FieldError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *FieldError) Unwrap() error { return e.Err }
