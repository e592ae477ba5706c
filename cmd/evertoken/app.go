package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// An app is one run of the command, with everything it touches of the outside.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	profile string
	dir     string // empty: the default one
	quiet   bool
	verbose bool

	openKeyring func(ctx context.Context, dir string) (backend, error)
	closeLimit  time.Duration // how long the end waits for what is to be saved
}

// cli is the command line.
type cli struct {
	Profile string `placeholder:"NAME" help:"Which session to use, if you have several (default: $$EVERTOKEN_PROFILE, or \"default\")."`
	Dir     string `placeholder:"DIR" type:"path" help:"Directory of profiles and of the files with their tokens (default: $$EVERTOKEN_DIR, or your state directory)."`
	Quiet   bool   `short:"q" xor:"noise" help:"Print errors and results only."`
	Verbose bool   `short:"v" xor:"noise" help:"Log to stderr what is decided and why. Never shows a secret."`

	Login   loginCmd   `cmd:"" help:"Log in with a browser, or with a code on another device."`
	Token   tokenCmd   `cmd:"" help:"Print a valid access token, for scripts."`
	Get     getCmd     `cmd:"" help:"Fetch a URL with the access token."`
	Status  statusCmd  `cmd:"" help:"Show what is known about the session, without asking the server."`
	Refresh refreshCmd `cmd:"" help:"Renew the access token now."`
	Watch   watchCmd   `cmd:"" help:"Keep the session alive until stopped, and tell what happens."`
	Logout  logoutCmd  `cmd:"" help:"End the session at the server, then delete it here."`
	Demo    demoCmd    `cmd:"" help:"Watch a session live through trouble, on a server of its own."`
	Serve   serveCmd   `cmd:"" help:"Run a test server to try all this on."`
	Version versionCmd `cmd:"" help:"Print the version."`
	Help    helpCmd    `cmd:"" help:"Show help for a command."`
}

const description = `Log in once, and stay logged in.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a login is required, 4 temporary
trouble (try again), 5 misconfigured.`

// run is the whole command. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	a := newApp(stdin, stdout, stderr, getenv)
	if len(args) == 0 {
		args = []string{"help"}
	}
	var line cli
	kctx, done, err := a.parse(&line, args)
	switch {
	case done:
		return exitOK // --help has been answered
	case err != nil:
		return a.report(usage(err))
	}
	if err := a.choose(&line); err != nil {
		return a.report(usage(err))
	}
	kctx.BindTo(ctx, (*context.Context)(nil))
	return a.report(kctx.Run(a))
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) *app {
	return &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv, openKeyring: openKeyring, closeLimit: closeLimit}
}

// choose takes over what all commands share of the command line, and what the
// environment says instead.
func (a *app) choose(line *cli) error {
	a.profile = cmp.Or(line.Profile, a.getenv("EVERTOKEN_PROFILE"), defaultProfile)
	a.dir = cmp.Or(line.Dir, a.getenv("EVERTOKEN_DIR"))
	a.quiet, a.verbose = line.Quiet, line.Verbose
	return checkProfileName(a.profile)
}

// parse reads the command line. It reports done when that asked for help, which
// has then been printed.
func (a *app) parse(line *cli, args []string) (kctx *kong.Context, done bool, err error) {
	parser, err := kong.New(line,
		kong.Name("evertoken"),
		kong.Description(description),
		kong.Vars{"presets": presetNames()},
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(int) { done = true }), // not ours to exit from here
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 80}),
	)
	if err != nil {
		return nil, false, err
	}
	kctx, err = parser.Parse(args)
	return kctx, done, err
}

// say tells the person something that is not the command's result.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		a.warn(format, args...)
	}
}

// warn is say for what --quiet must not hide.
func (a *app) warn(format string, args ...any) {
	// If stderr is gone, there is nobody to tell.
	_, _ = fmt.Fprintf(a.stderr, strings.TrimSuffix(format, "\n")+"\n", args...)
}

// print writes a line of the command's result.
func (a *app) print(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format+"\n", args...)
	return err
}

// logger returns where decisions are logged: nowhere, unless asked for.
func (a *app) logger() *slog.Logger {
	if !a.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
