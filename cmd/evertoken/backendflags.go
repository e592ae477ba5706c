package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/internal/ownfile"
	"github.com/evertoken/evertoken/internal/thishost"
	"github.com/evertoken/evertoken/oauth/dialect"
)

// backendFlags name a backend that does not speak OAuth, and who logs in there.
type backendFlags struct {
	Dialect       string   `group:"For a backend that does not speak OAuth" placeholder:"NAME|FILE" help:"How it speaks: ${dialects}, or a file in YAML or JSON that describes it (docs/dialects.md). Example: --dialect kratos --url https://api.example.com"`
	URL           string   `name:"url" group:"For a backend that does not speak OAuth" placeholder:"URL" help:"Its address, to which the dialect's paths are appended."`
	Username      string   `group:"For a backend that does not speak OAuth" placeholder:"NAME" help:"Who logs in (default: you are asked)."`
	PasswordStdin bool     `group:"For a backend that does not speak OAuth" help:"Read the password from stdin, instead of asking for it. Example: --username alice --password-stdin < password.txt"`
	Field         []string `sep:"none" group:"For a backend that does not speak OAuth" placeholder:"NAME[=VALUE]" help:"What else the login wants, such as a one-time code; repeat it for more. Without a value you are asked for it. Example: --field otp"`
	DeviceID      string   `group:"For a backend that does not speak OAuth" placeholder:"ID" help:"Which of your devices this is, if the backend keeps them apart. The profile remembers it."`
}

// speaks reports whether a login is one to a backend with a dialect: because a flag says so,
// or because the profile remembers one and no flag names another server.
func (c *loginCmd) speaks(old *profile.Profile) bool {
	if c.Dialect != "" || c.URL != "" {
		return true
	}
	return old != nil && old.Backend != nil && cmp.Or(c.Issuer, c.TokenURL, c.ClientID) == ""
}

// misplaced refuses flags that are for the other kind of server.
func (c *loginCmd) misplaced(speaks bool) error {
	oauthFlags := map[string]bool{
		"--issuer": c.Issuer != "", "--client-id": c.ClientID != "", "--client-secret-file": c.SecretFile != nil, "--client-auth": c.ClientAuth != "",
		"--scope": len(c.Scope) > 0, "--auth-param": len(c.AuthParam) > 0, "--device": c.Device, "--no-browser": c.NoBrowser,
		"--redirect-url": c.RedirectURL != "", "--auth-url": c.AuthURL != "", "--token-url": c.TokenURL != "", "--device-auth-url": c.DeviceAuthURL != "",
		"--revocation-url": c.RevocationURL != "", "--preset": c.Preset != nil, "--scope-separator": c.ScopeSeparator != nil,
		"--no-pkce": c.NoPKCE != nil, "--token-path": c.TokenPath != nil,
	}
	ours := map[string]bool{
		"--username": c.Username != "", "--password-stdin": c.PasswordStdin, "--field": len(c.Field) > 0, "--device-id": c.DeviceID != "",
	}
	if speaks {
		if flag := firstGiven(oauthFlags); flag != "" {
			return exit.Misuse(fmt.Errorf("%s is for servers that speak OAuth, and --dialect for others: give either", flag))
		}
		return nil
	}
	if flag := firstGiven(ours); flag != "" {
		return exit.Misuse(fmt.Errorf("%s is for backends that do not speak OAuth: name one with --dialect and --url", flag))
	}
	return nil
}

// firstGiven returns the first of the flags in byte order that is given, or "".
func firstGiven(flags map[string]bool) string {
	first := ""
	for flag, given := range flags {
		if given && (first == "" || flag < first) {
			first = flag
		}
	}
	return first
}

// backend returns the backend to log in to: what the flags name, and what is remembered for
// what they leave out. Another backend shares nothing with what is remembered.
func (c *loginCmd) backend(a *app, old *profile.Profile) (*profile.Backend, error) {
	b := new(profile.Backend)
	if old != nil && old.Backend != nil && cmp.Or(c.URL, old.Backend.URL) == old.Backend.URL {
		*b = *old.Backend
	}
	if c.Dialect != "" {
		var err error
		if b.Named, b.Dialect, err = c.readDialect(); err != nil {
			return nil, err
		}
	}
	b.URL = strings.TrimRight(cmp.Or(c.URL, b.URL), "/")
	b.DeviceID = cmp.Or(c.DeviceID, b.DeviceID)
	b.Username = cmp.Or(c.Username, b.Username)
	switch {
	case b.Named == "":
		return nil, exit.New(exit.Usage, "--dialect is missing", "say how the backend speaks: run "+a.loginCommand(true))
	case b.URL == "":
		return nil, exit.New(exit.Usage, "--url is missing", "name the backend's address: run "+a.loginCommand(true))
	}
	if err := checkBackendURL(b.URL); err != nil {
		return nil, err
	}
	return b, c.fits(b)
}

// fits refuses what the dialect has no place for.
func (c *loginCmd) fits(b *profile.Backend) error {
	login, known := b.Dialect.Login, b.Dialect.FurtherNames()
	if login.Path == "" {
		return exit.New(exit.Config, "this dialect says nothing of a login", "describe it in the file, under login")
	}
	if c.DeviceID != "" && !login.Carries(dialect.DeviceID) && !b.Dialect.Refresh.Carries(dialect.DeviceID) {
		return exit.Misuse(errors.New("--device-id: the backend's dialect has no field for it"))
	}
	_, readyMade := profile.ReadyMade(b.Named)
	for _, field := range c.Field {
		name, _, _ := strings.Cut(field, "=")
		switch {
		case slices.Contains(known, name):
		case readyMade:
			if err := addField(b, name); err != nil {
				return err
			}
		case len(known) == 0:
			return exit.Misuse(errors.New("--field: the login of this dialect has no further fields"))
		default:
			return exit.Misuse(fmt.Errorf("--field: the login of this dialect has no field of this name, only %s", strings.Join(known, ", ")))
		}
	}
	return nil
}

// addField gives the login of a ready-made dialect a further field, in its body: what else
// the login wants differs from backend to backend. A file says itself what that is.
func addField(b *profile.Backend, name string) error {
	fields := b.Dialect.Login.Fields
	b.Dialect.Login.Fields = append(fields[:len(fields):len(fields)], dialect.Field{Value: dialect.Further(name), Place: dialect.InBody, Name: name})
	if _, err := json.Marshal(b.Dialect); err != nil {
		return exit.Misuse(errors.New("--field: a further field of the login cannot have this name, or the login has a field of this name already"))
	}
	return nil
}

// checkBackendURL refuses addresses on whose way others could read a password, and those
// that paths cannot be appended to.
func checkBackendURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Host == "":
		return exit.Misuse(errors.New("--url: give a whole address, such as https://api.example.com"))
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return exit.Misuse(errors.New("--url: the address can have neither a password, nor a query, nor a fragment"))
	case u.Scheme == "https", u.Scheme == "http" && thishost.Direct(u.Hostname()):
		return nil
	}
	return exit.Misuse(errors.New("--url: passwords are sent over https only (plain http only to this machine: 127.0.0.1, [::1] or localhost)"))
}

// readDialect returns the dialect that --dialect names, and that name, which for a file is
// one that leads to it from everywhere.
func (c *loginCmd) readDialect() (string, dialect.Dialect, error) {
	if d, found := profile.ReadyMade(c.Dialect); found {
		return c.Dialect, d, nil
	}
	d, err := dialectIn(c.Dialect)
	if err != nil {
		return "", dialect.Dialect{}, err
	}
	name, err := filepath.Abs(c.Dialect)
	return name, d, err
}

// dialectIn reads a file.
func dialectIn(name string) (dialect.Dialect, error) {
	data, err := ownfile.ReadLinked(name, dialect.MaxDocument)
	if errors.Is(err, os.ErrNotExist) {
		return dialect.Dialect{}, exit.Misuse(fmt.Errorf("--dialect: there is no file %s, and the dialects that have a name are %s", outside.Show(name), profile.DialectNames()))
	}
	if err != nil {
		return dialect.Dialect{}, unreadable(err)
	}
	d, err := dialect.Parse(data)
	if fail, ok := errors.AsType[*dialect.ParseError](err); ok {
		return d, exit.New(exit.Config, outside.Show(name)+": "+fail.Where(), "correct the file (docs/dialects.md describes it)")
	}
	return d, err
}

func unreadable(err error) error {
	return exit.New(exit.Config, "--dialect: "+outside.Show(err.Error()), "name a file that can be read")
}

// unattended returns the error for a login that has to ask a person, where none is.
func (c *loginCmd) unattended(a *app, asks bool) error {
	if !asks || terminal.Is(a.stdin) {
		return nil
	}
	return exit.New(exit.Login, "a login needs a person, and stdin is not a terminal", "run "+a.loginCommand(false)+" in a terminal, or give the password with --username NAME --password-stdin, and every --field with its value")
}
