package taint

import (
	"fmt"
	"log/slog"
	"strings"
)

// Print adds a value to what a person can read, in all the ways that people print values, or
// mistype: by every verb, within other values, and by both handlers of slog.
func (b *Book) Print(where string, values ...any) {
	b.print(where, []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"}, values)
}

// PrintError is Print for an error. Those that it wraps a program can find, but it shows them
// as its own: they may have text from strangers, and no secret.
func (b *Book) PrintError(where string, err error) {
	if err == nil {
		return
	}
	b.Print(where, err)
	b.passOnCauses(where+", a cause", err)
}

func (b *Book) passOnCauses(where string, err error) {
	var causes []error
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		causes = append(causes, e.Unwrap())
	case interface{ Unwrap() []error }:
		causes = e.Unwrap()
	}
	for _, cause := range causes {
		if cause != nil {
			b.PassedOn(where, fmt.Sprintf("%v %+v %#v", cause, cause, cause))
			b.passOnCauses(where, cause)
		}
	}
}

// PrintOpen is Print for values that have no method for it. With a verb that does not fit,
// fmt would read what is behind their pointers, and so race with its owner.
func (b *Book) PrintOpen(where string, values ...any) {
	b.print(where, []string{"%v", "%+v", "%#v"}, values)
}

func (b *Book) print(where string, verbs []string, values []any) {
	var out strings.Builder
	for _, value := range values {
		b.note(value)
		for _, verb := range verbs {
			fmt.Fprintf(&out, verb+"\n", value)
			fmt.Fprintf(&out, verb+"\n", struct{ Field any }{value})
			fmt.Fprintf(&out, verb+"\n", []any{value})
			fmt.Fprintf(&out, verb+"\n", map[string]any{"key": value})
		}
		for _, log := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(log).Info("said", "value", value)
		}
	}
	b.Shown(where, out.String())
}
