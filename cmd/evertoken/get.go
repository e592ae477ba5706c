package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/internal/retryafter"
	"github.com/evertoken/evertoken/internal/thishost"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// getCmd fetches a URL with the session's token.
type getCmd struct {
	URL     string `arg:"" help:"What to fetch: https, or http on this machine."`
	Include bool   `short:"i" help:"Print the status and the headers of the answer before its body."`
	allowFlag
	waitFlag
}

// Help is shown below the command's flags.
func (getCmd) Help() string {
	return `The token goes to the APIs that the login named (--api), and to the server that it comes from. For any other a person at a terminal is asked once, and the answer is kept until the session ends; without one the command fails with exit code 5. A redirect elsewhere is followed without the token.

The body goes to stdout whatever the status. Exit code: 0 for 2xx; 3 if the API refuses the token (401); 4 if it does and the server cannot be asked for another, and for 408, 425, 429 and 5xx; 1 for the rest.

` + example("get https://api.example.com/me", "get -i https://api.example.com/me")
}

// Run sends one GET. The token is renewed before it if need be, and once after
// it if the API rejects it.
func (c *getCmd) Run(ctx context.Context, a *app) error {
	u, err := secureURL(c.URL)
	if err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	if err := c.allow(ctx, a, s, "get", u); err != nil {
		return err
	}
	return c.send(ctx, a, s)
}

func (c *getCmd) send(ctx context.Context, a *app, s *session) error {
	return s.with(ctx, c.patience(), func(ctx context.Context, m *refresh.Manager) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
		if err != nil {
			return exit.Misuse(errors.New("the URL cannot be used"))
		}
		resp, err := m.Client().Do(req)
		if err != nil {
			return failedAPI(a, err)
		}
		defer resp.Body.Close()
		if err := c.show(a, resp); err != nil {
			return err
		}
		return c.verdict(a, resp, m.GetRefreshStatus().State)
	})
}

// secureURL reads a URL, and refuses those on whose way others could read the token.
func secureURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Host == "":
		return nil, exit.Misuse(errors.New("give a whole URL, such as https://api.example.com/me"))
	case u.User != nil:
		return nil, exit.Misuse(errors.New("the URL must not hold a password"))
	case u.Scheme == "https", u.Scheme == "http" && thishost.Direct(u.Hostname()):
		return u, nil
	}
	return nil, exit.Misuse(errors.New("tokens are sent over https only (plain http only to this machine: 127.0.0.1, [::1] or localhost)"))
}

// show writes the answer: as it is for a program, and on a terminal without what that would
// obey.
func (c *getCmd) show(a *app, resp *http.Response) error {
	out, end := a.stdout, func() error { return nil }
	if terminal.Is(a.stdout) {
		w := outside.NewWriter(a.stdout)
		out, end = w, w.Close
	}
	return c.write(out, end, resp)
}

func (c *getCmd) write(out io.Writer, end func() error, resp *http.Response) error {
	if c.Include {
		if _, err := fmt.Fprintf(out, "%s %s\n", resp.Proto, resp.Status); err != nil {
			return err
		}
		if err := resp.Header.Write(out); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
	}
	_, err := io.Copy(out, resp.Body)
	if err == nil {
		err = end()
	}
	if explain.IsAny(err, syscall.EPIPE, syscall.ENOSPC, context.Canceled) {
		return err
	}
	if err != nil {
		return exit.New(exit.Temporary, "the answer broke off: "+cause(err), "try again in a moment")
	}
	return nil
}

// failedAPI explains a request without an answer: there was no token, or the API
// could not be reached.
func failedAPI(a *app, err error) error {
	for _, kind := range []error{oauth.ErrLoginRequired, oauth.ErrMisconfigured, oauth.ErrTransient, refresh.ErrUnsaved, context.Canceled} {
		if errors.Is(err, kind) {
			return a.explain(explain.Bare(err))
		}
	}
	return exit.New(exit.Temporary, "the API could not be reached: "+cause(err), "check the address and the network, then try again")
}

func cause(err error) string { return explain.Bare(err).Error() }

// verdict turns the status into an exit code. state is the session's, after a
// rejected token was tried to renew.
func (c *getCmd) verdict(a *app, resp *http.Response, state refresh.State) error {
	what := "the API answered " + resp.Status
	switch code := resp.StatusCode; {
	case code >= 200 && code <= 299:
		return nil
	case code == http.StatusUnauthorized && (state == refresh.StateLoginRequired || state == refresh.StateLoggedOut):
		return exit.New(exit.Login, what+", and the session cannot be renewed any more", a.guide().LoginAdvice())
	case code == http.StatusUnauthorized && state == refresh.StateSuspected:
		return exit.New(exit.Login, what+", and the server keeps refusing to renew the session without saying why", "a login probably helps: "+a.guide().LoginAdvice())
	case code == http.StatusUnauthorized && state == refresh.StateRetrying:
		return exit.New(exit.Temporary, what+", and the token could not be renewed yet", "try again in a moment")
	case code == http.StatusUnauthorized && a.guide().Backend:
		return exit.New(exit.Login, what, "the API does not accept this session's tokens: check "+a.command("status")+", or log in with how it wants them: --token-header, --token-scheme or --token-cookie")
	case code == http.StatusUnauthorized:
		return exit.New(exit.Login, what, "the API does not accept this session's tokens: check "+a.command("status")+", or log in with other scopes: "+a.loginCommand(false, "--scope SCOPE"))
	case code == http.StatusForbidden && a.guide().Backend:
		return exit.New(exit.Failed, what, "the session is fine, but may not do this")
	case code == http.StatusForbidden:
		return exit.New(exit.Failed, what, "the session is fine, but may not do this; it may need other scopes")
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		return exit.New(exit.Temporary, what, "try again"+retryAfter(resp))
	}
	return exit.New(exit.Failed, what, "check the URL")
}

// retryAfter repeats the API's wish in seconds, if it has one.
func retryAfter(resp *http.Response) string {
	wait, _ := retryafter.Wait(resp.Header, time.Now())
	if wait < time.Second {
		return " in a moment"
	}
	return fmt.Sprintf(" in %ds", int(math.Ceil(wait.Seconds())))
}
