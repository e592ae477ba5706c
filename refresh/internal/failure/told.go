package failure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"

	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth"
)

// told is an error of a program's own code, of which it prints no more than is known to
// hold no secret.
type told struct {
	text string
	err  error
}

// Told returns err, which where has returned, in a form that may be printed. Of an error
// that is or wraps an *oauth.Error that one's text is shown: its author vouches for it. Of
// any other the kind, the system's error and the type are: texts can hold the server's
// answer, as those of x/oauth2 do, or a URL with its query. errors.Is and errors.As find in
// it what they find in err.
func Told(where string, err error) error {
	if err == nil {
		return nil
	}
	switch err.(type) {
	case *oauth.Error, *PanicError, *told:
		return err
	}
	return &told{outside.Show(textOf(where, err)), err}
}

func textOf(where string, err error) string {
	var fail *oauth.Error
	if errors.As(err, &fail) {
		return fail.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "refresh: %s failed", where)
	for _, kind := range []error{oauth.ErrLoginRequired, oauth.ErrMisconfigured, oauth.ErrTransient} {
		if errors.Is(err, kind) {
			b.WriteString(": " + kind.Error())
			break
		}
	}
	var errno syscall.Errno
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		b.WriteString(": no answer in time")
	case errors.Is(err, context.Canceled):
		b.WriteString(": canceled")
	case errors.As(err, &errno):
		b.WriteString(": " + errno.Error())
	default:
		fmt.Fprintf(&b, " (%T)", innermost(err))
	}
	return b.String()
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func (t *told) Error() string { return t.text }

// Unwrap returns the error itself, for programs that look into it.
func (t *told) Unwrap() error { return t.err }

// Format implements fmt.Formatter: every verb prints what Error returns.
func (t *told) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, t.text) }

// LogValue implements slog.LogValuer, so that no handler looks into the error.
func (t *told) LogValue() slog.Value { return slog.StringValue(t.text) }
