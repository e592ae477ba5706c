package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
)

// cli is the command line.
type cli struct {
	common
	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`

	Login    loginCmd    `cmd:"" help:"Log in with a browser, with a code on another device, or by name and password."`
	Token    tokenCmd    `cmd:"" help:"Print a valid access token, for scripts."`
	Get      getCmd      `cmd:"" help:"Fetch a URL with the access token."`
	Curl     curlCmd     `cmd:"" help:"Run curl with the access token, out of others' sight."`
	Status   statusCmd   `cmd:"" help:"Show what is known about the session, without asking the server."`
	Whoami   whoamiCmd   `cmd:"" help:"Print who has logged in."`
	Profiles profilesCmd `cmd:"" help:"List the profiles, each with its server and client."`
	Refresh  refreshCmd  `cmd:"" help:"Renew the access token now."`
	MCP      mcpCmd      `cmd:"" name:"mcp" help:"Connect a program to an MCP server, with the login kept."`
	Watch    watchCmd    `cmd:"" help:"Keep the session alive until stopped, and tell what happens."`
	Logout   logoutCmd   `cmd:"" help:"End the session at the server, then delete it here."`
	Demo     demoCmd     `cmd:"" help:"Watch a session live through trouble, on a server of its own."`
	Serve    serveCmd    `cmd:"" help:"Run a test server to try all this on."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
	Help     helpCmd     `cmd:"" help:"Show help for a command."`
}

const description = `Log in once, and stay logged in.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a login is required, 4 temporary
trouble (try again), 5 misconfigured, 130 interrupted by Ctrl-C.

Example:

  evertoken login --issuer https://login.example.com --client-id my-cli --api https://api.example.com
  evertoken get https://api.example.com/me
  evertoken curl https://api.example.com/things -d name=value`

// run is the whole command. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	a := newApp(stdin, stdout, stderr, getenv)
	if len(args) == 0 {
		args = []string{"help"}
	}
	kctx, line, err := a.parse(args)
	switch {
	case err != nil:
		return a.report(misread(args, err))
	case kctx == nil:
		return exit.OK // --help or --version has been answered
	}
	if err := a.choose(*line); err != nil {
		return a.report(exit.Misuse(err))
	}
	if kctx.Command() == "login" {
		a.typed = loginFlags(args)
	}
	kctx.BindTo(ctx, (*context.Context)(nil))
	return interruptedBy(ctx, a.report(inHelp(kctx.Run(a), kctx.Selected().Path())))
}

// loginFlags returns the flags of a login that the commands in its messages repeat,
// quoted: all but those that these commands have anyway.
func loginFlags(args []string) []string {
	var flags []string
	for _, word := range without(untold(args), "--issuer", "--client-id", "--dialect", "--url", "--profile", "--dir", "--timeout") {
		if !slices.Contains([]string{"login", "-q", "--quiet", "-v", "--verbose"}, word) {
			flags = append(flags, quoted(word))
		}
	}
	return flags
}

// untold returns a command line without the values of --field, which can be secrets.
func untold(args []string) []string {
	args = slices.Clone(args)
	for i, word := range args {
		if field, is := strings.CutPrefix(word, "--field="); is {
			name, _, _ := strings.Cut(field, "=")
			args[i] = "--field=" + name
		} else if i > 0 && args[i-1] == "--field" {
			args[i], _, _ = strings.Cut(word, "=")
		}
	}
	return args
}

// parse reads the command line. It returns no context if that asked for help or for
// the version, which has then been printed.
func (a *app) parse(args []string) (*kong.Context, *common, error) {
	if kctx, line := a.parseToken(args); kctx != nil {
		return kctx, line, nil
	}
	return a.parseAll(args)
}

// parseAll is parse with the parser of all commands.
func (a *app) parseAll(args []string) (*kong.Context, *common, error) {
	var line cli
	var done bool
	out := &answer{to: a.stdout}
	parser, err := kong.New(&line,
		kong.Name("evertoken"),
		kong.Description(description),
		kong.Vars{"presets": profile.PresetNames(), "dialects": profile.DialectNames(), "version": version()},
		kong.Writers(out, a.stderr),
		kong.Exit(func(int) { done = true }), // not ours to exit from here
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 80}),
	)
	if err != nil {
		return nil, nil, err
	}
	kctx, err := parser.Parse(args)
	if out.err != nil {
		return nil, nil, a.explain(out.err) // help or the version did not get through
	}
	if done {
		return nil, nil, nil
	}
	return kctx, &line.common, err
}

// inHelp makes a mistake of usage that only names the help of all commands name that of one.
func inHelp(err error, command string) error {
	if p, is := errors.AsType[*exit.Problem](err); is && command != "help" && p.Next == exit.Misuse(err).Next {
		p.Next = `see "evertoken help ` + command + `"`
	}
	return err
}

// An answer is where the parser writes help and the version. It knows whether that worked.
type answer struct {
	to  io.Writer
	err error // the first
}

func (w *answer) Write(text []byte) (int, error) {
	n, err := w.to.Write(text)
	w.err = cmp.Or(w.err, err)
	return n, err
}

// misread explains a command line that cannot be read.
func misread(args []string, err error) *exit.Problem {
	if p, is := errors.AsType[*exit.Problem](err); is {
		return p
	}
	p := exit.Misuse(err)
	fail, ok := errors.AsType[*kong.ParseError](err)
	if !ok || fail.Context.Selected() == nil {
		return p
	}
	command := fail.Context.Selected().Path()
	p.Next = `see "evertoken help ` + command + `"`
	if flag := valueless(fail.Context, args); flag != "" {
		p.What = flag + " needs a value"
		return p
	}
	if command == "curl" && slices.ContainsFunc(args[slices.Index(args, "curl")+1:], isAddress) {
		p.What = "the URL comes first, and curl's options after it"
		return p
	}
	if i := slices.IndexFunc(args, isAddress); command == "login" && i > 0 && !strings.HasPrefix(args[i-1], "-") {
		flag := "--issuer"
		if slices.ContainsFunc(args, func(word string) bool { return word == "--dialect" || strings.HasPrefix(word, "--dialect=") }) {
			flag = "--url"
		}
		p.What = "the address of the server has to follow " + flag
		words := []string{"evertoken"}
		for _, word := range slices.Insert(untold(args), i, flag) {
			words = append(words, quoted(word))
		}
		p.Next = `run "` + strings.Join(words, " ") + `"`
	}
	return p
}

// valueless returns the flag at the end of a command line that ends where its value should be.
func valueless(kctx *kong.Context, args []string) string {
	last := args[len(args)-1]
	if slices.Contains(args, "--") {
		return ""
	}
	for _, flag := range kctx.Flags() {
		if last == "--"+flag.Name && !flag.IsBool() {
			return last
		}
	}
	return ""
}

func isAddress(word string) bool {
	return strings.HasPrefix(word, "https://") || strings.HasPrefix(word, "http://")
}

// parseToken reads the command line of "evertoken token", which scripts run for every
// request: to build the parser of all commands takes longer than the command itself.
// It returns nothing for any other command, and for help and mistakes, which are for
// the whole parser.
func (a *app) parseToken(args []string) (*kong.Context, *common) {
	if !slices.Contains(args, "token") {
		return nil, nil
	}
	var line struct {
		common
		Token tokenCmd `cmd:""`
	}
	parser, err := kong.New(&line, kong.NoDefaultHelp())
	if err != nil {
		return nil, nil
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return nil, nil
	}
	return kctx, &line.common
}

// helpCmd prints help.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command to explain."`
}

// Help is shown below the command's flags.
func (helpCmd) Help() string { return example("help login") }

// Run prints the help of the command it names, or of all.
func (c *helpCmd) Run(a *app) error {
	if _, _, err := a.parse(append(c.Command, "--help")); err != nil {
		if p, is := errors.AsType[*exit.Problem](err); is {
			return p
		}
		return exit.Misuse(err)
	}
	return nil
}

// versionCmd prints the version.
type versionCmd struct{}

// Help is shown below the command's flags.
func (versionCmd) Help() string { return example("version") }

// Run prints the module version that was built, and by which Go.
func (versionCmd) Run(a *app) error { return a.print("%s", version()) }

func version() string {
	module, goVersion := "of unknown version", "by an unknown Go"
	if info, ok := debug.ReadBuildInfo(); ok {
		module, goVersion = info.Main.Version, info.GoVersion
	}
	return "evertoken " + module + " (" + goVersion + ")"
}
