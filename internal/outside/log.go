package outside

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// NewLogger returns a logger like l whose records hold no text from outside as it came:
// messages, strings and the texts of errors are as Show has them. Handlers differ in what
// they escape by themselves: slog's own for JSON leaves C1 and characters that turn the
// direction, and many for terminals leave everything.
func NewLogger(l *slog.Logger) *slog.Logger {
	if _, done := l.Handler().(handler); done {
		return l
	}
	return slog.New(handler{l.Handler()})
}

type handler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	shown := slog.NewRecord(r.Time, r.Level, Show(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		shown.AddAttrs(showAttr(a))
		return true
	})
	return h.Handler.Handle(ctx, shown)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(showAttrs(attrs))}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(Show(name))} }

func showAttrs(attrs []slog.Attr) []slog.Attr {
	shown := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		shown[i] = showAttr(a)
	}
	return shown
}

func showAttr(a slog.Attr) slog.Attr {
	a.Key = Show(a.Key)
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(Show(v.String()))
	case slog.KindGroup:
		a.Value = slog.GroupValue(showAttrs(v.Group())...)
	case slog.KindAny:
		a.Value = v
		if err, is := v.Any().(error); is {
			a.Value = slog.AnyValue(Error(err))
		}
	default:
		a.Value = v
	}
	return a
}

// Error returns err with its text as Show has it. errors.Is and errors.As find in it what
// they find in err.
func Error(err error) error {
	if err == nil {
		return nil
	}
	text, ok := textOf(err)
	shown := Show(text)
	if !ok || shown == text {
		return err
	}
	return &failure{shown, err}
}

// textOf returns the text of an error, and false if that panics, as with a nil pointer:
// handlers know what to make of those.
func textOf(err error) (text string, ok bool) {
	defer func() { ok = recover() == nil }()
	return err.Error(), true
}

type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }

// Unwrap returns the error itself.
func (f *failure) Unwrap() error { return f.err }

// Format implements fmt.Formatter: every verb prints what Error returns.
func (f *failure) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, f.text) }
