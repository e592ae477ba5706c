package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// An app is one run of the command, with everything it touches of the outside.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	common
	// What a login names, for the commands in its messages.
	server, client string
	backend        *backendNamed
	mcp            string   // the MCP server that the command is about
	mcpWords       []string // which command about it
	typed          []string // its other flags

	openKeyring func(ctx context.Context, dir string) (stores.Backend, error)
	closeLimit  time.Duration // how long the end waits for what is to be saved
}

// A backendNamed is a backend as a login names it, or a part of that.
type backendNamed struct{ dialect, url string }

// common is what all commands share of the command line.
type common struct {
	Profile string `placeholder:"NAME" help:"Which session to use, if you have several (default: $$EVERTOKEN_PROFILE, or \"default\")."`
	Dir     string `placeholder:"DIR" help:"Directory of profiles and of the files with their tokens (default: $$EVERTOKEN_DIR, or your state directory)."`
	Quiet   bool   `short:"q" xor:"noise" help:"Print errors and results only."`
	Verbose bool   `short:"v" xor:"noise" help:"Log to stderr what is decided and why. Never shows a secret."`
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) *app {
	return &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv, openKeyring: stores.OpenKeyring, closeLimit: closeLimit}
}

// choose takes over what the command line says for all commands, and what the
// environment says instead.
func (a *app) choose(line common) error {
	a.common = line
	a.Profile = cmp.Or(line.Profile, a.getenv("EVERTOKEN_PROFILE"), profile.Default)
	a.Dir = cmp.Or(absolute(line.Dir), a.getenv("EVERTOKEN_DIR"))
	// A relative one would mean another directory wherever the command is run, also one that
	// came with other people's files. --dir was typed here.
	if a.Dir != "" && !filepath.IsAbs(a.Dir) {
		return fmt.Errorf("EVERTOKEN_DIR: %q is not an absolute path: give one that begins at the root", a.Dir)
	}
	return profile.CheckName(a.Profile)
}

// absolute returns a path of the command line as one that leads there from everywhere. An empty
// one, as of a variable that is not set, stays empty; the parser's own type for paths takes it
// for the working directory.
func absolute(path string) string {
	if path == "" {
		return ""
	}
	return kong.ExpandPath(path)
}

// say tells the person something that is not the command's result.
func (a *app) say(format string, args ...any) {
	if !a.Quiet {
		a.warn(format, args...)
	}
}

// warn is say for what --quiet must not hide. Whatever it is given, a terminal shows it and
// does not obey it.
func (a *app) warn(format string, args ...any) {
	// A message that cannot be written has no other place to go.
	_, _ = io.WriteString(a.stderr, shown(strings.TrimSuffix(format, "\n"), args)+"\n")
}

// print writes a line of the command's result, as warn does: what reads it may be a pager.
func (a *app) print(format string, args ...any) error {
	_, err := io.WriteString(a.stdout, shown(format, args)+"\n")
	return err
}

// shown writes a text of ours, with arguments that others may have written: these stay on
// their line.
func shown(format string, args []any) string {
	args = slices.Clone(args)
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = outside.Show(arg)
		case error:
			args[i] = outside.Show(arg.Error())
		}
	}
	return outside.Lines(fmt.Sprintf(format, args...))
}

// logger returns where decisions are logged: nowhere, unless asked for.
func (a *app) logger() *slog.Logger {
	if !a.Verbose {
		return slog.New(slog.DiscardHandler)
	}
	return outside.NewLogger(slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// report tells the person what went wrong and what to do, and returns the exit
// code.
func (a *app) report(err error) int {
	if err == nil {
		return exit.OK
	}
	if quiet, ok := errors.AsType[exit.Silent](err); ok {
		return int(quiet)
	}
	p := a.explain(err)
	a.warn("evertoken: %s", p.Error())
	return p.Code
}

// explain finds the exit code of an error and what the person can do next. The log has
// the error's own text.
func (a *app) explain(err error) *exit.Problem {
	if _, ok := errors.AsType[*exit.Problem](err); !ok {
		a.logger().Debug("the command has failed", "error", err)
	}
	return a.guide().Error(err)
}

func (a *app) guide() explain.Guide {
	dir, _ := a.directory() // "" if there is none, and then no session either
	p, _ := a.remembered()
	return explain.Guide{Profile: a.Profile, Dir: dir, Command: a.command, Login: a.loginCommand, MCP: a.mcpWords, Backend: a.backend != nil || p.Backend != nil}
}

// directory returns where sessions are kept.
func (a *app) directory() (string, error) {
	if a.Dir != "" {
		return a.Dir, nil
	}
	dir, err := tokenstore.DefaultDir()
	if err != nil {
		return "", exit.New(exit.Config, "there is no directory to keep sessions in", "set HOME, or name a directory with --dir or EVERTOKEN_DIR")
	}
	return dir, nil
}

// file returns the file of the current profile.
func (a *app) file() (profile.File, error) {
	dir, err := a.directory()
	return profile.File{Dir: dir, Name: a.Profile}, err
}

// loadProfile reads the current profile. The error wraps profile.ErrNone if no login
// has made it yet.
func (a *app) loadProfile() (*profile.Profile, error) {
	file, err := a.file()
	if err != nil {
		return nil, err
	}
	p, err := file.Load()
	switch {
	case errors.Is(err, profile.ErrDamaged):
		return nil, exit.New(exit.Config, err.Error(), "log in again with "+a.loginCommand(true))
	case errors.Is(err, profile.ErrNewer):
		return nil, exit.New(exit.Config, err.Error(), "update evertoken")
	}
	return p, err
}

func (a *app) saveProfile(p *profile.Profile) error {
	file, err := a.file()
	if err != nil {
		return err
	}
	return file.Save(p)
}

// openStore opens the store that a profile names.
func (a *app) openStore(ctx context.Context, p *profile.Profile) (*stores.Bound, error) {
	b, err := a.openBackend(ctx, p.Kind(), "")
	if err != nil {
		return nil, err
	}
	return &stores.Bound{Backend: b, Kind: p.Kind(), Binding: p.Binding(), Settings: p.Fingerprint(), Login: func() string { return a.loginAnew(p) }}, nil
}

// loginAnew is what to type for a login that takes nothing from a profile, whose file may have
// been edited.
func (a *app) loginAnew(p *profile.Profile) string {
	if p.Backend != nil {
		return a.command("login", "--dialect NAME", "--url URL")
	}
	return a.command("login", "--issuer URL", "--client-id ID")
}

// openBackend opens a store of that kind, in a directory of its own below the usual one unless
// below is empty.
func (a *app) openBackend(ctx context.Context, kind, below string) (stores.Backend, error) {
	dir, err := a.directory()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(stores.Dir(dir, kind), below)
	if kind != profile.InKeyring {
		return tokenstore.NewFile(dir)
	}
	patience := time.AfterFunc(2*time.Second, func() {
		a.say("Waiting for the OS keyring; a window may be asking for its password …")
	})
	defer patience.Stop()
	return a.openKeyring(ctx, dir)
}

// loginCommand is what to type for a login to the current profile: whole, with all
// that is known of it. What the profile remembers is left out unless full.
func (a *app) loginCommand(full bool, flags ...string) string {
	if a.mcp != "" {
		return a.command("mcp", append([]string{quoted(a.mcp)}, flags...)...)
	}
	remembered, err := a.remembered()
	words := a.typed
	if full || err != nil || a.server != "" || a.client != "" || a.backend != nil {
		words = append(a.serverFlags(remembered), words...)
	}
	for _, flag := range flags {
		name, _, _ := strings.Cut(flag, " ")
		words = without(words, name)
	}
	return a.command("login", append(words, flags...)...)
}

// switches are the flags of a login that have no value.
var switches = []string{"--device", "--no-browser", "--keep-old", "--no-pkce", "--password-stdin"}

// without returns a command's words without the flags of the given names.
func without(words []string, names ...string) []string {
	var left []string
	for i := 0; i < len(words); i++ {
		name, _, joined := strings.Cut(words[i], "=")
		switch {
		case !slices.Contains(names, name):
			left = append(left, words[i])
		case !joined && !slices.Contains(switches, name):
			i++ // its value
		}
	}
	return left
}

// command is what to type for a command about the current profile, in quotes.
func (a *app) command(name string, flags ...string) string {
	words := []string{"evertoken", name}
	if a.Dir != "" && a.Dir != a.getenv("EVERTOKEN_DIR") {
		words = append(words, "--dir", quoted(a.Dir))
	}
	if a.Profile != profile.Default {
		words = append(words, "--profile", a.Profile)
	}
	for _, flag := range flags {
		words = append(words, withoutUserInfo(flag))
	}
	return `"` + strings.Join(words, " ") + `"`
}

// withoutUserInfo puts URL in the place of an address with user information: what is to be
// typed is shown on terminals and kept in logs.
func withoutUserInfo(word string) string {
	before, address, _ := strings.Cut(word, "://")
	if end := strings.IndexAny(address, "/?#"); end >= 0 {
		address = address[:end]
	}
	if !strings.Contains(address, "@") {
		return word
	}
	if flag, _, joined := strings.Cut(before, "="); joined {
		return flag + "=URL"
	}
	return "URL"
}

// remembered returns the current profile, or an empty one and an error.
func (a *app) remembered() (*profile.Profile, error) {
	file, err := a.file()
	if err != nil {
		return &profile.Profile{}, err
	}
	p, err := file.Load()
	if err != nil {
		return &profile.Profile{}, err
	}
	return p, nil
}

// serverFlags name the server and client: those of the command line, or else those
// that are remembered, or else what to put in their place.
func (a *app) serverFlags(p *profile.Profile) []string {
	if a.backend != nil || p.Backend != nil && a.server == "" && a.client == "" {
		return a.backendFlags(p.Backend)
	}
	if a.server != "" && !p.IsOf(a.server) {
		p = new(profile.Profile) // another server shares nothing with it
	}
	client := []string{"--client-id", quoted(cmp.Or(a.client, p.ClientID, "ID"))}
	if a.server == "" && p.Issuer == "" && p.TokenURL != "" {
		flags := []string{"--token-url", quoted(p.TokenURL)}
		if p.AuthURL != "" {
			flags = append([]string{"--auth-url", quoted(p.AuthURL)}, flags...)
		}
		return append(flags, client...)
	}
	return append([]string{"--issuer", quoted(cmp.Or(a.server, p.Issuer, "URL"))}, client...)
}

// backendFlags name a backend like serverFlags; remembered may be nil.
func (a *app) backendFlags(remembered *profile.Backend) []string {
	var named backendNamed
	if a.backend != nil {
		named = *a.backend
	}
	if remembered != nil && cmp.Or(named.url, remembered.URL) == remembered.URL {
		named = backendNamed{cmp.Or(named.dialect, remembered.Named), remembered.URL}
	}
	return []string{"--dialect", quoted(cmp.Or(named.dialect, "NAME")), "--url", quoted(cmp.Or(named.url, "URL"))}
}

// quoted writes a word as a shell takes it back.
func quoted(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + `@%+=:,./_-\`
	if filepath.Separator == '/' && strings.Contains(word, `\`) || word == "" || strings.Trim(word, plain) != "" {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// closeLimit is app.closeLimit: a little more than a refresh may take
// (refresh.Config.RefreshTimeout). Its answer may be all that is left of the session.
const closeLimit = 3*time.Minute + 5*time.Second

// finish ends a manager and waits for what it has to save. ctx only tells whether
// the person waits for it.
func (a *app) finish(ctx context.Context, m *refresh.Manager) error {
	patience := time.AfterFunc(2*time.Second, func() {
		a.say("Finishing a refresh, so that the session is not lost …")
	})
	defer patience.Stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.closeLimit)
	defer cancel()
	return m.Close(ctx)
}
