package wire

import (
	"errors"
	"fmt"
	"time"
)

// A Failure says what became of a request. It has the fields of oauth.Error, which
// documents them, so that the one converts to the other: this package cannot name that
// type, and callers that branch on errors find it whole in package oauth.
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
	if f, ok := errors.AsType[*FieldError](err); ok {
		return &Failure{Op: op, Kind: ErrMisconfigured, Field: f.Field, Err: f.Problem}
	}
	return &Failure{Op: op, Kind: ErrMisconfigured, Err: err}
}

// A FieldError says what is wrong with a field of a configuration.
type FieldError struct {
	Field   string // such as TokenURL
	Problem error  // what stands behind the field's name: "is empty"
}

// Wrong returns a FieldError. The text goes on where the field's name ends.
func Wrong(field, format string, args ...any) error {
	return &FieldError{field, fmt.Errorf(format, args...)}
}

func (e *FieldError) Error() string { return "Config." + e.Field + " " + e.Problem.Error() }

// Unwrap returns the problem.
func (e *FieldError) Unwrap() error { return e.Problem }
