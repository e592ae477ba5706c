package failure

import "fmt"

// A PanicError is what becomes of a panic in a Refresher, a store or a callback.
// It names the value's type only, because its text could hold a secret.
type PanicError struct {
	// Where names the call that panicked.
	Where string
	// Type is the type of the value it panicked with.
	Type string
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("refresh: panic in %s (%s)", e.Where, e.Type)
}

// Guard calls f and turns a panic into a *PanicError.
func Guard(where string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Where: where, Type: fmt.Sprintf("%T", p)}
		}
	}()
	return f()
}
