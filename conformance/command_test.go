package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// Exit codes of the command, as its documentation tells them.
const (
	exitOK          = 0
	exitLogin       = 3
	exitTemporary   = 4
	exitInterrupted = 130 // by Ctrl-C
)

// commandLimit bounds every run of the command.
const commandLimit = 5 * time.Minute

// A person uses the evertoken command on a machine of his own: an empty HOME, and
// a browser that is handed to the test.
type person struct {
	t       *testing.T
	bin     string
	env     []string
	home    string
	browser *handover
}

// newPerson returns somebody who has never used the command.
func newPerson(t *testing.T) *person {
	t.Helper()
	bin, err := command()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, bin: bin, home: t.TempDir(), browser: newHandover(t)}
	p.env = []string{
		"HOME=" + p.home,
		"PATH=" + os.Getenv("PATH"),
		"TMPDIR=" + os.TempDir(),
		"BROWSER=" + self,
		handoverVariable + "=" + p.browser.addr,
		"DBUS_SESSION_BUS_ADDRESS=disabled:",
		"EVERTOKEN_STORE=file",     // the tests look into it
		"GORACE=atexit_sleep_ms=0", // or every run lasts a second longer
	}
	return p
}

// A run is one run of the command.
type run struct {
	t              *testing.T
	args           []string
	process        *os.Process
	stdout, stderr transcript
	ended          chan struct{}
	code           int // valid once ended is closed
}

// start runs the command in the background. The test's end ends it.
func (p *person) start(args ...string) *run {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	cmd := exec.CommandContext(ctx, p.bin, args...)
	cmd.Env = p.env
	cmd.WaitDelay = 5 * time.Second // for children that keep the pipes open
	r := &run{t: p.t, args: args, ended: make(chan struct{})}
	r.stdout.changed, r.stderr.changed = make(chan struct{}, 1), make(chan struct{}, 1)
	cmd.Stdout, cmd.Stderr = &r.stdout, &r.stderr
	if err := cmd.Start(); err != nil {
		cancel()
		p.t.Fatal(err)
	}
	r.process = cmd.Process
	go func() {
		defer close(r.ended)
		defer cancel()
		err := cmd.Wait()
		r.code = cmd.ProcessState.ExitCode()
		if errors.Is(err, exec.ErrWaitDelay) {
			r.code = -1
		}
	}()
	p.t.Cleanup(func() {
		cancel()
		<-r.ended
	})
	return r
}

// run runs the command and expects an exit code.
func (p *person) run(code int, args ...string) *run {
	p.t.Helper()
	r := p.start(args...)
	r.expect(code)
	return r
}

// expect waits for the end of the run.
func (r *run) expect(code int) {
	r.t.Helper()
	<-r.ended
	if r.code != code {
		r.t.Fatalf("evertoken %s: exit code %d, want %d\nstderr:\n%s", strings.Join(r.args, " "), r.code, code, r.stderr.text())
	}
}

// interrupt is Ctrl-C.
func (r *run) interrupt() {
	r.t.Helper()
	if err := r.process.Signal(os.Interrupt); err != nil {
		r.t.Fatal(err)
	}
}

// told waits until the command has printed to stderr what the pattern matches,
// and returns its first group.
func (r *run) told(pattern string) string {
	r.t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(stepLimit)
	for {
		if found := re.FindStringSubmatch(r.stderr.text()); found != nil {
			return found[len(found)-1]
		}
		select {
		case <-r.stderr.changed:
		case <-r.ended:
			if re.MatchString(r.stderr.text()) {
				continue
			}
			r.t.Fatalf("evertoken %s ended (%d) without saying %q:\n%s", r.args[0], r.code, pattern, r.stderr.text())
		case <-limit:
			r.t.Fatalf("evertoken %s did not say %q:\n%s", r.args[0], pattern, r.stderr.text())
		}
	}
}

// token returns what "evertoken token" prints.
func (p *person) token(args ...string) string {
	p.t.Helper()
	r := p.run(exitOK, append([]string{"token"}, args...)...)
	line, rest, ended := strings.Cut(r.stdout.text(), "\n")
	if line == "" || rest != "" || !ended {
		p.t.Fatalf("evertoken token printed %d bytes that are not one line", len(r.stdout.text()))
	}
	return line
}

// status returns what "evertoken status --json" prints.
func (p *person) status(code int) map[string]any {
	p.t.Helper()
	r := p.run(code, "status", "--json")
	var fields map[string]any
	if err := json.Unmarshal([]byte(r.stdout.text()), &fields); err != nil {
		p.t.Fatalf("evertoken status --json: %v\n%s", err, r.stdout.text())
	}
	return fields
}

// saved returns the record of a session that is well.
func (p *person) saved() *tokenstore.Record {
	p.t.Helper()
	return p.record(exitOK)
}

// savedDead returns the record of a session that has ended.
func (p *person) savedDead() *tokenstore.Record {
	p.t.Helper()
	return p.record(exitLogin)
}

// record returns what is kept for the default profile, of which status ends with
// the exit code.
func (p *person) record(code int) *tokenstore.Record {
	p.t.Helper()
	rec, err := p.store(code).Get(p.t.Context(), "default")
	if err != nil {
		p.t.Fatal(err)
	}
	return rec
}

// store opens the directory where the command says that it keeps its sessions.
func (p *person) store(code int) *tokenstore.File {
	p.t.Helper()
	dir, _ := p.status(code)["dir"].(string)
	if !strings.HasPrefix(dir, p.home) {
		p.t.Fatalf("sessions are kept in %q, which is not below the home %q", dir, p.home)
	}
	store, err := tokenstore.NewFile(dir)
	if err != nil {
		p.t.Fatal(err)
	}
	return store
}

// expire makes the saved session an hour older: its access token has expired by the
// local clock, and its last renewal is not news.
func (p *person) expire() {
	p.t.Helper()
	rec := p.saved()
	rec.RefreshedAt = rec.RefreshedAt.Add(-time.Hour)
	rec.Tokens.IssuedAt = rec.Tokens.IssuedAt.Add(-time.Hour)
	rec.Tokens.ExpiresAt = rec.Tokens.ExpiresAt.Add(-time.Hour)
	if _, err := p.store(exitOK).Set(p.t.Context(), "default", rec); err != nil {
		p.t.Fatal(err)
	}
}

// keepsSecret fails the test if a run has printed one of the secrets.
func (r *run) keepsSecret(secrets ...string) {
	r.t.Helper()
	for _, secret := range secrets {
		if secret != "" && strings.Contains(r.stdout.text()+r.stderr.text(), secret) {
			r.t.Errorf("evertoken %s printed a secret", r.args[0])
		}
	}
}

// A transcript is what a command has printed so far.
type transcript struct {
	mu      sync.Mutex // guards buf
	buf     bytes.Buffer
	changed chan struct{} // has an element if there is more than before
}

// Write implements io.Writer.
func (tr *transcript) Write(b []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	select {
	case tr.changed <- struct{}{}:
	default:
	}
	return tr.buf.Write(b)
}

func (tr *transcript) text() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.buf.String()
}
