package terminal

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"

	"github.com/evertoken/evertoken/internal/outside"
)

// Ask writes a question to out, and returns the line that the person types at the terminal
// in. A secret is not shown while it is typed. When ctx ends, the terminal is as it was, and
// the error is the context's cause; the read that waits for the person cannot be stopped, and
// ends with the program.
func Ask(ctx context.Context, in *os.File, out io.Writer, question string, secret bool) (string, error) {
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	type line struct {
		text string
		err  error
	}
	typed := make(chan line, 1)
	_, _ = fmt.Fprint(out, outside.Text(question))
	go func() {
		if secret {
			text, err := term.ReadPassword(fd)
			typed <- line{string(text), err}
			return
		}
		text, err := readLine(in)
		typed <- line{text, err}
	}()
	if secret {
		awaitChange(fd, before) // or else what is restored below could be undone after it
	}
	select {
	case got := <-typed:
		if secret {
			_, _ = fmt.Fprintln(out) // the person's own was not shown
		}
		return got.text, got.err
	case <-ctx.Done():
		_ = term.Restore(fd, before)
		_, _ = fmt.Fprintln(out)
		return "", context.Cause(ctx)
	}
}

// awaitChange waits until a terminal has another state than before, as it soon will, unless
// it had that already.
func awaitChange(fd int, before *term.State) {
	const most = 10_000 // a moment
	for range most {
		if now, err := term.GetState(fd); err != nil || *now != *before {
			return
		}
		runtime.Gosched()
	}
}

// readLine reads a line and not a byte more: what is typed ahead is for the next question.
func readLine(in io.Reader) (string, error) {
	var text strings.Builder
	one := make([]byte, 1)
	for {
		n, err := in.Read(one)
		switch {
		case n == 1 && one[0] == '\n':
			return strings.TrimSuffix(text.String(), "\r"), nil
		case n == 1:
			text.WriteByte(one[0])
		case err == io.EOF && text.Len() > 0:
			return text.String(), nil
		case err != nil:
			return "", err
		}
	}
}
