package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
)

// backendLogin logs in to a backend that does not speak OAuth, by name and password. Like
// Run it looks for everything that can fail without the person first.
func (c *loginCmd) backendLogin(ctx context.Context, a *app, old *profile.Profile) error {
	if c.Dialect != "" || c.URL != "" {
		a.backend = &backendNamed{c.Dialect, c.URL}
	}
	if err := c.positive(); err != nil {
		return err
	}
	b, err := c.backend(a, old)
	if err != nil {
		return err
	}
	p, err := c.backendProfile(a, old, b)
	if err != nil {
		return err
	}
	store, err := c.openStore(ctx, a, p)
	if err != nil {
		return err
	}
	if err := a.checkRoom(ctx, store); err != nil {
		return err
	}
	pair, err := c.logInByPassword(ctx, a, p)
	if err != nil {
		return err
	}
	following := context.WithoutCancel(ctx) // the person has done his part
	replaced, err := a.saveLogin(following, store, old, p, pair)
	if err != nil {
		return err
	}
	a.backend, a.typed = nil, nil // the profile remembers them now
	a.announce(store, p, pair, "see under which name the backend gives one, and name that in the dialect (answer.refresh_token)")
	copied := a.removeCopy(following, stores.Other(p.Kind()))
	if copied != nil && (p.Moves(old) || replaced.Tokens == nil) {
		replaced = copied
	}
	if !c.KeepOld {
		a.endOld(following, old, replaced, nil, pair)
	}
	return nil
}

// backendProfile returns what to remember of a login to b.
func (c *loginCmd) backendProfile(a *app, old *profile.Profile, b *profile.Backend) (*profile.Profile, error) {
	last := new(profile.Profile)
	if old != nil && old.Backend != nil && old.Backend.URL == b.URL {
		last = old
	}
	kind, err := c.store(a, old)
	if err != nil {
		return nil, err
	}
	p := &profile.Profile{Format: profile.Format, Backend: b, Store: kind}
	if p.Manners, err = c.over(last.Manners); err != nil {
		return nil, err
	}
	return p, c.remember(p, last)
}

// logInByPassword asks for what the login carries, and sends it.
func (c *loginCmd) logInByPassword(ctx context.Context, a *app, p *profile.Profile) (*oauth.TokenPair, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, errNoLogin)
	defer cancel()
	password, further, err := c.ask(ctx, a, p.Backend)
	if err != nil {
		return nil, c.explainBackend(a, err)
	}
	pair, err := p.Backend.Client(p.Lifetime).LoginWith(ctx, p.Backend.Username, password, further)
	if err != nil {
		return nil, c.explainBackend(a, err)
	}
	return pair, nil
}

// ask completes the user name, and returns the password and the further fields: from the
// flags, from stdin, or from the person.
func (c *loginCmd) ask(ctx context.Context, a *app, b *profile.Backend) (password string, further map[string]string, err error) {
	login := b.Dialect.Login
	basic := login.Carries(dialect.BasicCredentials)
	wantsName, wantsPassword := basic || login.Carries(dialect.Username), basic || login.Carries(dialect.Password)
	asksName := wantsName && c.Username == "" && (!c.PasswordStdin || b.Username == "")
	if asksName && c.PasswordStdin {
		return "", nil, exit.Misuse(errors.New("--password-stdin needs --username"))
	}
	asks := asksName || wantsPassword && !c.PasswordStdin
	for _, field := range c.Field {
		asks = asks || !strings.Contains(field, "=")
	}
	if err := c.unattended(a, asks); err != nil {
		return "", nil, err
	}
	if asksName {
		if b.Username, err = a.askLine(ctx, "User name", b.Username); err != nil {
			return "", nil, err
		}
	}
	if wantsName && basic && strings.Contains(b.Username, ":") {
		return "", nil, exit.Misuse(errors.New("this backend takes no user name with a colon (HTTP Basic)"))
	}
	switch {
	case c.PasswordStdin:
		password, err = passwordFrom(a.stdin)
	case wantsPassword:
		password, err = a.askSecret(ctx, "Password")
	}
	if err != nil {
		return "", nil, err
	}
	further, err = c.further(ctx, a)
	return password, further, err
}

// further returns the further fields. Those without a value are asked for.
func (c *loginCmd) further(ctx context.Context, a *app) (map[string]string, error) {
	fields := make(map[string]string)
	for _, field := range c.Field {
		name, value, given := strings.Cut(field, "=")
		if !given {
			var err error
			if value, err = a.askSecret(ctx, outside.Show(name)); err != nil {
				return nil, err
			}
		}
		fields[name] = value
	}
	return fields, nil
}

// passwordFrom reads a password, without the line's end that files and echo have.
func passwordFrom(r io.Reader) (string, error) {
	const most = 1 << 16
	data, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return "", exit.New(exit.Failed, "the password could not be read from stdin: "+err.Error(), "run it again")
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 || len(data) == most || bytes.ContainsAny(data, "\n\x00") {
		return "", exit.Misuse(errors.New("--password-stdin: stdin has to hold the password in one line, and nothing else"))
	}
	return string(data), nil
}

// askLine asks the person for a line. An empty one means what is remembered.
func (a *app) askLine(ctx context.Context, question, remembered string) (string, error) {
	if remembered != "" {
		question += " [" + outside.Show(remembered) + "]"
	}
	line, err := a.askAt(ctx, question, false)
	if err == nil && line == "" {
		line = remembered
	}
	if err == nil && line == "" {
		err = exit.Misuse(errors.New("no user name was given"))
	}
	return line, err
}

// askSecret asks the person for something that the terminal does not show.
func (a *app) askSecret(ctx context.Context, question string) (string, error) {
	return a.askAt(ctx, question, true)
}

func (a *app) askAt(ctx context.Context, question string, secret bool) (string, error) {
	in, is := a.stdin.(*os.File)
	if !is {
		return "", exit.Misuse(errors.New("stdin is not a terminal"))
	}
	line, err := terminal.Ask(ctx, in, a.stderr, question+": ", secret)
	if errors.Is(err, io.EOF) {
		return "", exit.New(exit.Login, "the login was stopped", "run the command again")
	}
	return line, err
}

// explainBackend finds the next step after a login at a backend that failed.
func (c *loginCmd) explainBackend(a *app, err error) error {
	fail, _ := errors.AsType[*oauth.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return exit.New(exit.Interrupted, "the login was stopped", "run the command again")
	case errors.Is(err, errNoLogin), explain.Network(err) != nil:
		return c.explain(a, err)
	case errors.Is(err, oauth.ErrLoginRequired):
		return exit.New(exit.Login, "the backend refuses this login"+said(fail), "check user name and password"+c.otherFields()+", then run the command again")
	case fail == nil || !errors.Is(err, oauth.ErrTransient) || !fail.RetryAt.IsZero():
		return err
	}
	switch fail.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusNotImplemented:
		return exit.New(exit.Config, "the backend knows no such login"+said(fail), "see that --url and --dialect fit this backend, then run the command again")
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity:
		return exit.New(exit.Login, "the backend refuses this login"+said(fail)+", and its dialect does not say what that means",
			"check user name and password"+c.otherFields()+", and that --url and --dialect fit this backend; then run the command again")
	}
	if fail.Status != 0 {
		return exit.New(exit.Temporary, explain.Text(err), "run the command again in a moment")
	}
	return exit.New(exit.Temporary, explain.Text(err), "check the network, then run the command again")
}

// otherFields names what else the login carries.
func (c *loginCmd) otherFields() string {
	if len(c.Field) == 0 {
		return ""
	}
	return " and what --field gives"
}

// said is how the backend refused.
func said(fail *oauth.Error) string {
	switch {
	case fail == nil:
		return ""
	case fail.Code != "":
		return fmt.Sprintf(" (%s, HTTP %d)", fail.Code, fail.Status)
	}
	return fmt.Sprintf(" (HTTP %d)", fail.Status)
}
