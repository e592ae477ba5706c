package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/curlline"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/refresh"
)

// curlCmd runs curl with the session's token.
type curlCmd struct {
	allowFlag
	waitFlag
	URL     string   `arg:"" passthrough:"partial" help:"Where to send the request: https, or http on this machine."`
	Options []string `arg:"" optional:"" sep:"none" help:"What to tell curl, as in its manual. Example: -X POST --json '{\"name\": \"value\"}'"`
}

// Help is shown below the command's flags.
func (curlCmd) Help() string {
	return `curl reads the token from a pipe: it is in no command line and in no environment. How the API wants it is told at the login (see "evertoken help login"). Where it may go is decided as by "evertoken get".

The URL comes first, and flags of evertoken's before it. Options that would print the token, or send it elsewhere, are refused: -v, --trace, -L, -x, -k, -K, --next and others. So are those that evertoken does not know. curl's own settings (.curlrc) are not read, and redirects are not followed.

An expired token is renewed before the request, and a rejected one is not: "evertoken get" does that, or "evertoken refresh".

Exit code: that of curl once it runs, such as 7 if the API cannot be reached, and 22 with -f if it answers 400 or more. Its 3 is told as 2 (wrong usage), its 4 as 1.

` + example("curl https://api.example.com/things -d name=value", "curl https://api.example.com/things/1 -X DELETE -f")
}

// Run sends one request by curl. The token is renewed before it if need be.
func (c *curlCmd) Run(ctx context.Context, a *app) error {
	u, err := secureURL(c.URL)
	if err != nil {
		return err
	}
	line, err := curlline.Read(c.Options)
	if err != nil {
		return exit.New(exit.Usage, err.Error(), `see "evertoken help curl"`)
	}
	program, err := exec.LookPath("curl")
	if err != nil {
		return exit.New(exit.Config, "there is no curl here", `install it, or use "evertoken get"`)
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	if err := c.allow(ctx, a, s, "curl", u); err != nil {
		return err
	}
	config, err := c.config(ctx, a, s, line, u)
	if err != nil {
		return err
	}
	return a.curl(ctx, exec.Command(program, line.Args(u)...), config)
}

// config returns what curl is to read from a pipe: the headers that carry the token.
func (c *curlCmd) config(ctx context.Context, a *app, s *session, line *curlline.Line, u *url.URL) (string, error) {
	var config string
	err := s.with(ctx, c.patience(), func(ctx context.Context, m *refresh.Manager) error {
		req, err := http.NewRequestWithContext(ctx, line.Method(), u.String(), nil)
		if err != nil {
			return exit.Misuse(errors.New("the URL cannot be used"))
		}
		var carrying http.Header
		resp, err := m.Transport(readHeader(func(h http.Header) { carrying = h.Clone() })).RoundTrip(req)
		if err != nil {
			return failedAPI(a, err)
		}
		_ = resp.Body.Close()
		if err := line.Check(carrying); err != nil {
			return exit.New(exit.Usage, err.Error(), `see "evertoken help curl"`)
		}
		config = curlline.Config(carrying)
		return nil
	})
	return config, err
}

// readHeader is a RoundTripper that sends nothing: it hands on the header that a request
// would have.
type readHeader func(http.Header)

func (f readHeader) RoundTrip(req *http.Request) (*http.Response, error) {
	f(req.Header)
	return &http.Response{StatusCode: http.StatusNoContent, Header: make(http.Header), Body: http.NoBody, Request: req}, nil
}

// curl runs curl. What it prints is for a program as it is, and for a terminal without
// what that would obey.
func (a *app) curl(ctx context.Context, cmd *exec.Cmd, config string) error {
	said := outside.NewWriter(a.stderr) // which may quote a certificate's names
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, said
	cmd.Env = curlEnvironment(os.Environ())
	end := said.Close
	if terminal.Is(a.stdout) {
		shown := outside.NewWriter(a.stdout)
		cmd.Stdout, end = shown, func() error { return cmp.Or(shown.Close(), said.Close()) }
	}
	hand, err := handConfig(cmd, config)
	if err != nil {
		return err
	}
	forbidChildrensDumps()
	err = cmp.Or(cmd.Start(), hand())
	if cmd.Process != nil {
		err = cmp.Or(waitFor(ctx, cmd), err)
	}
	return curlEnded(ctx, cmp.Or(err, end()))
}

// curlEnvironment returns the environment without what has curl write files from which the
// token could be read: keys of TLS, and logs of what QUIC sends.
func curlEnvironment(environ []string) []string {
	return slices.DeleteFunc(environ, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.EqualFold(name, "SSLKEYLOGFILE") || strings.EqualFold(name, "QLOGDIR")
	})
}

// handConfig makes a command read config: from a pipe of its own, so that stdin stays free for a body,
// or where programs cannot name one, from stdin. What it returns is to be called when the command has started,
// or could not be.
func handConfig(cmd *exec.Cmd, config string) (hand func() error, err error) {
	name := "-"
	if curlline.NamesPipes(runtime.GOOS) {
		name = "/dev/fd/3" // the first of cmd.ExtraFiles
	}
	cmd.Args = slices.Insert(cmd.Args, 2, "--config", name) // behind --disable
	if name == "-" {
		cmd.Stdin = strings.NewReader(config)
		return func() error { return nil }, nil
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{read}
	return func() error {
		_ = read.Close()
		_, err := io.WriteString(write, config) // less than a pipe holds
		if errors.Is(err, syscall.EPIPE) {
			err = nil // curl has ended already, and says why
		}
		return cmp.Or(err, write.Close())
	}, nil
}

// waitFor waits until a command ends, and ends it with ctx.
func waitFor(ctx context.Context, cmd *exec.Cmd) error {
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ctx.Done():
			if cmd.Process.Signal(os.Interrupt) != nil { // as on Windows
				_ = cmd.Process.Kill()
			}
			select {
			case <-time.After(2 * time.Second):
				_ = cmd.Process.Kill()
			case <-ended:
			}
		case <-ended:
		}
	}()
	return cmd.Wait()
}

// curlEnded turns the end of curl into an exit code.
func curlEnded(ctx context.Context, err error) error {
	ended, is := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		return nil
	case !is:
		return exit.New(exit.Failed, "curl could not be run: "+cause(err), "try it by itself")
	}
	if status, is := ended.Sys().(syscall.WaitStatus); is && status.Signaled() {
		return exit.Silent(exit.Signal + int(status.Signal()))
	}
	switch code := ended.ExitCode(); code {
	case 3: // a URL that it cannot read
		return exit.Silent(exit.Usage)
	case 4: // something that it was built without
		return exit.Silent(exit.Failed)
	default:
		return exit.Silent(code)
	}
}
