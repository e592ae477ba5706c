package workload

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

const (
	// commandLimit is how long a command may take by default: it may ask a platform as a
	// request of ours would.
	commandLimit = wire.DefaultTimeout
	// pipeLimit is how long a command's own children may keep its output open after its end.
	pipeLimit = time.Second
	// maxOutput bounds a token: servers take forms of some kilobytes.
	maxOutput = 64 << 10
)

// A Command runs a program that writes the token to its standard output, such as
// buildkite-agent oidc request-token --audience …, with or without white space around it.
type Command struct {
	// Args are the program, as exec.Command finds it, and its arguments. No shell is
	// involved. Other users of the machine can read them, so they must hold no secret.
	// Required.
	Args []string
	// Timeout is after what time the program is killed. Zero or less means 30 seconds.
	Timeout time.Duration
}

// Token runs the program, which inherits the environment and directory, and gets no input.
// What it writes to its standard error is passed over. An error matches oauth.ErrMisconfigured
// if the program cannot be run or writes something else than a token, and oauth.ErrTransient
// if it fails or takes too long. The program is killed when ctx ends.
func (c Command) Token(ctx context.Context) (string, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return "", misconfigured(errors.New("Command.Args is empty"), "")
	}
	limit := c.Timeout
	if limit <= 0 {
		limit = commandLimit
	}
	running, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out output
	cmd := exec.CommandContext(running, c.Args[0], c.Args[1:]...)
	cmd.Stdout, cmd.WaitDelay = &out, pipeLimit
	if err := cmd.Run(); err != nil {
		switch {
		case ctx.Err() != nil:
			return "", passing(wire.CleanCause(ctx.Err()))
		case running.Err() != nil:
			return "", passing(fmt.Errorf("the command did not end within %v", limit))
		}
		return "", commandFailed(err)
	}
	token := strings.TrimSpace(string(out.kept))
	switch {
	case token == "":
		return "", passing(errors.New("the command wrote nothing"))
	case out.over || !wire.IsJWT(token):
		return "", misconfigured(errors.New("what the command wrote is not a JWT"), "have it write the token alone to its standard output")
	}
	return token, nil
}

// commandFailed returns the error for a program that did not run to a good end.
func commandFailed(err error) error {
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case ended:
		fail := passing(fmt.Errorf("the command failed (%s)", exit.ProcessState))
		fail.Hint = "run it by hand to see what it says"
		return fail
	case errors.Is(err, exec.ErrWaitDelay):
		return passing(errors.New("the command has left a process behind that keeps its output open"))
	}
	return misconfigured(fmt.Errorf("the command cannot be run (%w)", wire.Innermost(err)), "check the path, and that this program may run it")
}

// An output keeps what a program writes, up to maxOutput. It has no ReadFrom, by which a copy
// would pass Write over.
type output struct {
	kept []byte
	over bool // there was more
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	room := maxOutput - len(o.kept)
	o.over = o.over || len(b) > room
	o.kept = append(o.kept, b[:min(len(b), room)]...)
	return len(b), nil
}
