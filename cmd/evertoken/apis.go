package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
	"github.com/evertoken/evertoken/internal/origin"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/internal/thishost"
	"github.com/evertoken/evertoken/tokenstore"
)

// apisOf returns what --api names, each once, or what is remembered if there is no --api. An
// empty one names nothing.
func (c *loginCmd) apisOf(remembered []string) ([]string, error) {
	if c.API == nil {
		return remembered, nil
	}
	var apis []string
	for _, address := range c.API {
		if address == "" {
			continue
		}
		o, err := origin.Parse(address)
		if err != nil {
			return nil, exit.Misuse(errors.New("--api: give a whole address, such as https://api.example.com"))
		}
		if !o.IsHTTPS() && !thishost.Is(o.Host()) {
			return nil, exit.Misuse(errors.New("--api: tokens are sent over https only (plain http only to this machine)"))
		}
		if !slices.Contains(apis, o.String()) {
			apis = append(apis, o.String())
		}
	}
	return apis, nil
}

// allowFlag is for commands that send the token to an API.
type allowFlag struct {
	AllowOrigin bool `help:"Let the token go to the URL's origin (scheme, host and port), now and as long as the session lasts."`
}

// allow makes sure that the session's token may go where the URL points. A person at a
// terminal is asked once for each origin, and the answer is kept with the session. The
// advice of a refusal names the command.
func (f allowFlag) allow(ctx context.Context, a *app, s *session, command string, u *url.URL) error {
	target := origin.Of(u).String()
	if s.apis = s.profile.Origins(); slices.Contains(s.apis, target) && !f.AllowOrigin {
		return nil
	}
	rec, err := s.store.Get(ctx, a.Profile)
	if errors.Is(err, tokenstore.ErrNotFound) {
		return nil // there is no token to send, which is said soon
	}
	if err != nil {
		return err
	}
	s.apis = append(s.apis, stores.APIsOf(rec)...)
	if slices.Contains(s.apis, target) {
		return nil
	}
	if !f.AllowOrigin {
		if err := a.askForAPI(ctx, command, target, s.apis); err != nil {
			return err
		}
	}
	if err := a.keepAPI(ctx, s, target); err != nil {
		return err
	}
	s.apis = append(s.apis, target)
	return nil
}

// allowed returns the origins that the login has named or a person has allowed since.
func (s *session) allowed(rec *tokenstore.Record) []string {
	apis := append([]string{}, s.profile.APIs...) // [] in JSON, if there are none
	for _, api := range stores.APIsOf(rec) {
		if !slices.Contains(apis, api) {
			apis = append(apis, api)
		}
	}
	return apis
}

// askForAPI returns nil if the person says that the token may go to an origin.
func (a *app) askForAPI(ctx context.Context, command, target string, apis []string) error {
	refused := exit.New(exit.Config,
		fmt.Sprintf("the token of profile %q is not sent to %s, which is none of its APIs (%s)", a.Profile, target, strings.Join(apis, ", ")),
		"if it is one, run "+a.command(command, "--allow-origin", quoted(target))+" once, or name it at a login with --api "+quoted(target))
	in, is := a.stdin.(*os.File)
	if !is || !terminal.Is(in) {
		return refused
	}
	fmt.Fprintf(a.stderr, "The token of profile %q was never sent to %s.\n", a.Profile, outside.Show(target))
	answer, err := terminal.Ask(ctx, in, a.stderr, "Send it there, now and from now on? [y/N] ", false)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return refused
	}
	return nil
}

// keepAPI makes the session remember that its token may go to an origin, until it ends. It
// is kept with the tokens, sealed where they are, and not in the profile: no other user can
// write it there, and it is written at once or not at all.
func (a *app) keepAPI(ctx context.Context, s *session, target string) error {
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	lease, err := s.store.Lock(ctx, a.Profile) // a renewal under way saves its own record
	if err != nil {
		return err
	}
	defer func() { _ = lease.Unlock() }()
	return s.store.AddAPI(ctx, a.Profile, target)
}
