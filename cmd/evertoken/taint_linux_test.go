package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/internal/outside/marks"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// A taintCase is one run of the command, at a terminal or from a program.
type taintCase struct {
	command string   // as the command line names it
	args    []string // what follows
	stdin   string
	env     []string
	hostile string // see taintPlace
	before  func(*taintPlace)
	may     []string // secrets that it prints
	passes  bool     // to a program, stdout is what a server said
	stops   stopsAt
	fails   bool // any exit code will do
}

// stopsAt is when a command that runs until it is stopped gets the signal.
type stopsAt int

const (
	never stopsAt = iota
	atOutput
	atAnswer // of the token endpoint: what came of it is still printed
)

// underEach are the same cases under several answers.
func underEach(c taintCase, hostile ...string) []taintCase {
	var cases []taintCase
	for _, h := range hostile {
		c.hostile, c.fails = h, true
		cases = append(cases, c)
	}
	return cases
}

var (
	strange  = strings.ReplaceAll(marks.Text("x"), "\x00", "") // for words and variables
	loginAt  = []string{"--issuer", "https://auth.test", "--client-id", oauthtest.DefaultClientID, "--scope", "openid", "--api", "https://api.test", "--timeout", "2m"}
	mcpCalls = `{"jsonrpc":"2.0","id":1,"method":"initialize"}` + "\n" + `{"jsonrpc":"2.0","id":2,"method":"x"}` + "\n"
)

// old gives the profile a session whose access token has expired.
func old(p *taintPlace) {
	p.newSession(func(rec *tokenstore.Record) { makeOlder(rec, 20*time.Minute) })
}

// unspent gives the profile a session with a new access token.
func unspent(p *taintPlace) { p.newSession(func(*tokenstore.Record) {}) }

// marked gives the profile a session in whose record a stranger has had a word.
func marked(p *taintPlace) {
	p.newSession(func(rec *tokenstore.Record) {
		rec.Tokens.Scope, rec.Tokens.TokenType = marks.Text("scope"), marks.Text("type")
	})
}

// planted puts what is none in place of a profile and of a session.
func planted(p *taintPlace) {
	for _, file := range []string{"profiles/client-planted.json", "planted.json", "dialect.yaml", "secret"} {
		data := `{"format":1,"client_id":` + string(rawJSON(strange)) + `,"issuer":` + string(rawJSON("https://"+strange)) + `,"token_url":"https://auth.test/token","store":"file","version":` + string(rawJSON(strange)) + `,"tokens":{"scope":` + string(rawJSON(strange)) + `}}`
		if file == "secret" {
			data = strange
		}
		if err := os.WriteFile(filepath.Join(p.dir(), file), []byte(data), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

// refused are answers under which no token can be had.
var refused = []string{"token 400 word", "token 400", "token 302", "token 200", "token 503", "auth 429"}

// taintRuns are the cases, in runs that need nothing of each other. The cases of one are in
// the order of a session's life.
func taintRuns() map[string][]taintCase {
	return map[string][]taintCase{"login": loginCases(), "renewal": renewalCases(), "requests": requestCases(), "status": statusCases(), "others": otherCases()}
}

// loginCases are of login.
func loginCases() (cases []taintCase) {
	add := func(more ...taintCase) { cases = append(cases, more...) }
	with := func(words ...string) []string { return append(slices.Clone(loginAt), words...) }
	add(taintCase{command: "login", args: loginAt}, taintCase{command: "login", args: with("-v")})
	add(underEach(taintCase{command: "login", args: with("-v")}, "auth 400", "auth 302", "auth 200", "auth 503", "token 400", "token 200", "token 400 word", "userinfo 401", "auth 200 bomb", "auth 200 raw")...)
	add(underEach(taintCase{command: "login", args: with("--device")}, "auth 200", "auth 400")...)
	add(taintCase{command: "login", args: with("--profile", "device", "--device"), before: approves},
		taintCase{command: "login", args: loginAt, before: func(p *taintPlace) { p.refuses.Store(true) }, fails: true},
		taintCase{command: "login", args: []string{"--profile", "secret", "--issuer", "https://auth.test", "--client-id", "confidential", "--client-secret-file", "SECRET", "--timeout", "2m"}, before: func(p *taintPlace) { p.refuses.Store(false) }},
		taintCase{command: "login", args: []string{"--profile", "backend", "--dialect", "gin-jwt", "--url", "BACKEND", "--username", "alice", "--password-stdin"}, stdin: taintPassword + "\n"})
	add(underEach(taintCase{command: "login", args: []string{"--profile", "backend2", "--dialect", "gin-jwt", "--url", "BACKEND", "--username", strange, "--password-stdin"}, stdin: taintPassword + "\n"}, "auth 400", "auth 200", "auth 503")...)
	for _, issuer := range []string{"https://wrong.test", "https://\u0430uth.test", "https://" + strange, strange, "https://auth.test/" + strange} {
		add(taintCase{command: "login", args: []string{"--issuer", issuer, "--client-id", strange, "--profile", "other"}, fails: true})
	}
	add(taintCase{command: "login", args: with("--scope", strange, "--auth-param", strange+"="+strange, "--token-path", strange), fails: true},
		taintCase{command: "login", args: with("--dialect", "DIR/dialect.yaml", "--url", "https://auth.test"), before: planted, fails: true},
		taintCase{command: "login", args: with("--profile", "other", "--client-secret-file", "DIR/secret"), fails: true})
	for _, variable := range []string{"EVERTOKEN_STORE=", "EVERTOKEN_PROFILE=", "EVERTOKEN_DIR=", "EVERTOKEN_DIR=/", "BROWSER=", "CI="} {
		add(taintCase{command: "login", args: with("--timeout", "1s"), env: []string{variable + strange}, fails: true})
	}
	return cases
}

// renewalCases are of commands that ask for tokens.
func renewalCases() (cases []taintCase) {
	add := func(more ...taintCase) { cases = append(cases, more...) }
	add(taintCase{command: "token", before: unspent, may: []string{"access_token"}}, taintCase{command: "token", args: []string{"-v", "--header"}, before: old, may: []string{"access_token"}})
	add(underEach(taintCase{command: "token", args: []string{"-v", "--wait", "1s"}, before: old, may: []string{"access_token"}}, append(refused, "token 200 bomb")...)...)
	add(underEach(taintCase{command: "refresh", args: []string{"-v"}, before: old}, append(refused, "token 200 raw")...)...)
	add(taintCase{command: "refresh", before: old})
	return cases
}

// requestCases are of commands that ask an API.
func requestCases() (cases []taintCase) {
	add := func(more ...taintCase) { cases = append(cases, more...) }
	add(taintCase{command: "get", args: []string{"https://api.test/x"}, passes: true}, taintCase{command: "get", args: []string{"-v", "-i", "https://api.test/x"}, before: old, passes: true})
	add(underEach(taintCase{command: "get", args: []string{"-v", "-i", "https://api.test/x"}, passes: true}, "api 401", "api 302", "api 400", "api 403", "api 429", "api 503", "api 200 raw")...)
	add(taintCase{command: "curl", args: []string{"https://api.test/x"}, passes: true}, taintCase{command: "curl", args: []string{"-v", "https://api.test/x", "-i", "-d", "a=b"}, before: old, passes: true})
	add(underEach(taintCase{command: "curl", args: []string{"-v", "https://api.test/x", "-i", "-f"}, passes: true}, "api 401", "api 302", "api 503", "api 200 raw")...)
	for _, command := range []string{"get", "curl"} {
		for _, address := range []string{"https://evil.test/", "https://" + strange, "https://\u0430pi.test/", "https://api.test@evil.test/", strange} {
			add(taintCase{command: command, args: []string{address}, stdin: "n\n", fails: true})
		}
		add(taintCase{command: command, args: []string{"--wait", "1s", "--allow-origin", "https://wrong.test/" + strange}, fails: true})
	}
	for _, option := range []string{"-v", "-L", "--trace", strange, "--" + strange, "-" + strange, "-HHost:" + strange} {
		add(taintCase{command: "curl", args: []string{"https://api.test/x", option}, fails: true})
	}
	return cases
}

// statusCases are of commands that show what there is.
func statusCases() (cases []taintCase) {
	add := func(more ...taintCase) { cases = append(cases, more...) }
	for _, args := range [][]string{nil, {"--json"}, {"-v"}} {
		add(taintCase{command: "status", args: args, before: unspent}, taintCase{command: "profiles", args: args}, taintCase{command: "whoami", args: args}, taintCase{command: "status", args: args, before: marked}, taintCase{command: "whoami", args: args, before: old})
		add(underEach(taintCase{command: "status", args: args, before: func(p *taintPlace) { old(p); p.hostile.Store("token 400 word"); p.quietly("refresh") }}, "")...)
	}
	add(underEach(taintCase{command: "whoami", args: []string{"-v"}, before: unspent}, "userinfo 200", "userinfo 401", "userinfo 403", "userinfo 302", "userinfo 200 bomb")...)
	for _, command := range []string{"status", "whoami", "profiles", "token", "refresh", "logout"} {
		add(taintCase{command: command, args: []string{"--profile", "planted"}, before: planted, fails: true})
	}
	add(taintCase{command: "profiles", args: []string{"--json"}})
	for _, command := range []string{"status", "token", "whoami"} {
		add(taintCase{command: command, args: []string{"--profile", strange}, fails: true}, taintCase{command: command, args: []string{"--" + strange}, fails: true}, taintCase{command: command, args: []string{"--dir", "DIR/" + strange}, fails: true})
	}
	return cases
}

// otherCases are of all other commands.
func otherCases() (cases []taintCase) {
	add := func(more ...taintCase) { cases = append(cases, more...) }
	add(taintCase{command: "mcp connect", args: []string{"-v", "https://mcp.test/mcp"}, stdin: mcpCalls, passes: true})
	add(underEach(taintCase{command: "mcp connect", args: []string{"-v", "https://mcp.test/mcp"}, stdin: mcpCalls, passes: true}, "api 400", "api 403", "api 200", "api 302")...)
	add(underEach(taintCase{command: "mcp connect", args: []string{"-v", "https://mcp.test/mcp", "--account", "other"}, stdin: mcpCalls, passes: true}, "auth 400", "auth 200", "token 400")...)
	add(taintCase{command: "mcp connect", args: []string{"https://" + strange}, passes: true, fails: true}, taintCase{command: "mcp list"}, taintCase{command: "mcp list", args: []string{"--json"}})
	add(underEach(taintCase{command: "mcp logout", args: []string{"-v", "https://mcp.test/mcp"}}, "auth 400", "auth 503", "")...)
	add(taintCase{command: "mcp logout", args: []string{"https://" + strange}, fails: true})

	add(taintCase{command: "watch", args: []string{"-v"}, before: old, stops: atAnswer})
	add(underEach(taintCase{command: "watch", args: []string{"-v"}, before: old, stops: atAnswer}, "token 400", "token 503", "token 200")...)
	add(taintCase{command: "demo", args: []string{"--for", "2s", "--plain"}}, taintCase{command: "serve", stops: atOutput}, taintCase{command: "version"}, taintCase{command: "help"}, taintCase{command: "help", args: []string{strange}, fails: true})
	add(underEach(taintCase{command: "logout", args: []string{"-v"}, before: unspent}, "auth 400", "auth 302", "auth 503")...)
	add(taintCase{command: "logout", args: []string{"-v"}, before: old})
	return cases
}

func approves(p *taintPlace) {
	p.auth.Script(oauthtest.Fault{Endpoint: oauthtest.DeviceAuthorizationEndpoint, Times: -1, Edit: func(fields map[string]any) {
		code := fmt.Sprint(fields["user_code"])
		go func() { _ = p.auth.AllowDevice(p.t.Context(), code, "alice") }() // the login fails if this does
	}})
}

func (p *taintPlace) dir() string { return filepath.Join(p.home, ".local", "state", "evertoken") }

// newSession gives the profile a session that no run has touched, edited.
func (p *taintPlace) newSession(edit func(*tokenstore.Record)) {
	p.t.Helper()
	p.hostile.Store("")
	pair, err := p.auth.Login("alice")
	if err != nil {
		p.t.Fatal(err)
	}
	p.notePair(pair)
	a := &app{common: common{Dir: p.dir(), Profile: "default"}, openKeyring: stores.OpenKeyring}
	prof, err := a.loadProfile()
	if err != nil {
		p.t.Fatal(err)
	}
	store, err := a.openStore(p.t.Context(), prof)
	if err != nil {
		p.t.Fatal(err)
	}
	rec := &tokenstore.Record{Tokens: pair}
	switch there, err := store.Get(p.t.Context(), a.Profile); {
	case err == nil:
		rec.Version = there.Version
	case !errors.Is(err, tokenstore.ErrNotFound):
		p.t.Fatal(err)
	}
	edit(rec)
	if _, err := store.Set(p.t.Context(), a.Profile, rec); err != nil {
		p.t.Fatal(err)
	}
}

// logIn gives the machine its profile.
func (p *taintPlace) logIn() {
	p.t.Helper()
	if code, out := p.quietly(append([]string{"login"}, loginAt...)...); code != 0 {
		p.t.Fatalf("login: exit code %d: %s", code, out)
	}
}

// quietly runs the command for what it does.
func (p *taintPlace) quietly(args ...string) (code int, out string) {
	cmd := exec.Command(p.program, args...)
	cmd.Env, cmd.Dir = p.environ(""), p.work
	said, _ := cmd.CombinedOutput()
	p.book.Shown(strings.Join(args, " "), string(said))
	return cmd.ProcessState.ExitCode(), string(said)
}

// A tap is where a process writes to. It tells when the first of it has come. The buffer is
// not embedded: io.Copy would write by its ReadFrom, past Write.
type tap struct {
	said  bytes.Buffer
	first func()
}

func (w *tap) Write(p []byte) (int, error) {
	n, err := w.said.Write(p)
	if w.first != nil {
		w.first()
		w.first = nil
	}
	return n, err
}

func (w *tap) String() string { return w.said.String() }

// run runs a case, at a terminal or from a program, and adds all that comes out to the book.
func (p *taintPlace) run(n int, c taintCase, terminal bool) {
	p.t.Helper()
	if c.before != nil {
		c.before(p)
	}
	p.hostile.Store(c.hostile)
	defer p.hostile.Store("")
	name := fmt.Sprintf("%d: %s %q, hostile %q, terminal %v", n, c.command, c.args, c.hostile, terminal)
	seen := filepath.Join(p.home, fmt.Sprintf("seen-%d-%v", n, terminal))
	replace := strings.NewReplacer("DIR/", p.dir()+"/", "SECRET", filepath.Join(p.work, "client-secret"), "BACKEND", p.auth.DialectConfig(oauthtest.GinJWTBackend).BaseURL)
	args := strings.Fields(c.command)
	for _, arg := range c.args {
		args = append(args, replace.Replace(arg))
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Minute) // no case needs that long, on a busy machine either
	defer cancel()
	cmd := exec.CommandContext(ctx, p.program, args...)
	cmd.Env, cmd.Dir = p.environ(seen, c.env...), p.work
	started, stop := make(chan struct{}), func() {}
	signal := func() {
		<-started
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	}
	switch c.stops {
	case atOutput:
		stop = signal
	case atAnswer:
		p.answered.Store(signal)
		defer p.answered.Store(func() {})
	}
	if terminal {
		out := p.atTerminal(cmd, started, c.stdin, stop)
		p.book.Shown(name, out, c.may...)
		p.looksRight(name, out, c)
	} else {
		stdout, stderr := &tap{first: stop}, new(tap)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), stdout, stderr
		p.start(cmd, started)
		_ = cmd.Wait() // how it ended is asked for below
		if c.passes {
			p.book.PassedOn(name+", stdout", stdout.String(), c.may...)
		} else {
			p.book.Shown(name+", stdout", stdout.String(), c.may...)
		}
		p.book.Shown(name+", stderr", stderr.String())
		p.looksRight(name, stdout.String()+stderr.String(), c)
	}
	if code := cmd.ProcessState.ExitCode(); !c.fails && code != 0 {
		p.t.Errorf("%s: exit code %d", name, code)
	}
	if ctx.Err() != nil {
		p.t.Errorf("%s: did not end", name)
	}
	p.cost(name, cmd.ProcessState)
	p.addSeen(name, seen)
}

// addSeen adds what others saw of a program that a run has started, if it has.
func (p *taintPlace) addSeen(name, seen string) {
	for kind, add := range map[string]func(string, string, ...string){".argv": p.book.Shown, ".environ": p.book.PassedOn} {
		if data, err := os.ReadFile(seen + kind); err == nil {
			add(name+", "+kind[1:]+" of what it started", string(data))
		}
	}
}

// start starts a command, and then closes started.
func (p *taintPlace) start(cmd *exec.Cmd, started chan<- struct{}) {
	p.t.Helper()
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	close(started)
}

// atTerminal runs a command at a terminal, and returns what that got.
func (p *taintPlace) atTerminal(cmd *exec.Cmd, started chan<- struct{}, typed string, stop func()) string {
	person, tty := openTerminal(p.t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	if !strings.Contains(typed, "n\n") || strings.Contains(typed, "{") { // what is not an answer comes from a file
		cmd.Stdin = strings.NewReader(typed)
	} else if _, err := io.WriteString(person, typed); err != nil {
		p.t.Fatal(err)
	}
	p.start(cmd, started)
	out, done := &tap{first: stop}, make(chan struct{})
	go func() {
		_, _ = io.Copy(out, person) // until no program has the terminal any more
		close(done)
	}()
	_ = cmd.Wait()
	_ = tty.Close()
	<-done
	return strings.ReplaceAll(out.String(), "\r\n", "\n") // the terminal adds a carriage return to each line
}

var aJWT = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`eyJ[\w-]{8,}\.[\w-]{8,}`) })

// looksRight reports what no run should print, whatever it is about.
func (p *taintPlace) looksRight(name, out string, c taintCase) {
	if strings.Contains(out, "panic: ") || strings.Contains(out, "goroutine 1 ") {
		p.t.Errorf("%s: panicked: %.2000q", name, out)
	}
	if len(c.may) == 0 && aJWT().MatchString(out) {
		p.t.Errorf("%s: prints a JWT", name)
	}
}

// mostMemory is what a run may have in memory, whatever servers send; the race detector
// needs several times as much as the command.
const mostMemory = 400 << 10 // KiB

func (p *taintPlace) cost(name string, state *os.ProcessState) {
	if usage, is := state.SysUsage().(*syscall.Rusage); is && usage.Maxrss > mostMemory {
		p.t.Errorf("%s: needed %d KiB of memory, want at most %d", name, usage.Maxrss, mostMemory)
	}
}

// files adds what is on the disk after the run. Sessions are where secrets belong.
func (p *taintPlace) files() {
	err := filepath.WalkDir(p.home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		p.book.Shown("a name", entry.Name())
		if dir := filepath.Dir(path); dir == p.dir() || dir == filepath.Join(p.dir(), "mcp") || strings.HasPrefix(entry.Name(), "seen-") {
			return nil
		}
		data, err := os.ReadFile(path)
		p.book.PassedOn("the file "+path, string(data))
		return err
	})
	if err != nil {
		p.t.Error(err)
	}
}

// The taint test of the command: marks in all that strangers write, and every output of every
// command looked at, what others see of the processes that it starts, and every request.
func TestLaw8_CommandPrintsNoSecretAndNoStrangersWordAndSendsNoTokenElsewhere(t *testing.T) {
	run := make(map[string]bool)
	for name, cases := range taintRuns() {
		for _, c := range cases {
			run[c.command] = true
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newTaintPlace(t)
			p.logIn()
			p.runAll(cases)
			p.files()
			p.book.Check(t, 20, 80)
		})
	}
	parser, err := kong.New(new(cli), kong.Vars{"presets": "", "dialects": "", "version": ""})
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		if !run[leaf.Path()] && !run[strings.TrimPrefix(leaf.Path(), "evertoken ")] {
			t.Errorf("the command %q has no case here: what does it print, and send where?", leaf.Path())
		}
	}
}

// runAll runs cases in turns at a terminal and from a program, so that each command has both.
func (p *taintPlace) runAll(cases []taintCase) {
	p.t.Helper()
	of, nth := make(map[string]int), make(map[string]int)
	for _, c := range cases {
		of[c.command]++
	}
	for n, c := range cases {
		nth[c.command]++
		p.run(n, c, nth[c.command]%2 == 0)
		if of[c.command] == 1 {
			p.run(n, c, true)
		}
	}
}
