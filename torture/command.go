package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/saved"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// atOnce is how long a command may take that cannot do what it was asked for.
const atOnce = 5 * time.Second

// Exit codes of evertoken.
const (
	exitLogin     = 3
	exitTemporary = 4
	exitConfig    = 5
)

// buildTool builds the evertoken command, once.
func (t *torture) buildTool() (string, error) {
	t.toolOnce.Do(func() {
		t.tool = filepath.Join(t.dir, "evertoken")
		build := exec.Command("go", "build", "-o", t.tool, "github.com/evertoken/evertoken/cmd/evertoken")
		build.Env = append(build.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.toolErr = fmt.Errorf("building evertoken: %w: %s", err, out)
		}
	})
	return t.tool, t.toolErr
}

// A run is what became of a command: a process that has ended.
type run struct {
	code  int
	token string        // that it printed
	said  string        // to the person
	took  time.Duration // it may have called the API too
}

// exits describes the end of a run, without the token.
func (r run) exits() string {
	line, _, _ := strings.Cut(strings.TrimSpace(r.said), "\n")
	return fmt.Sprintf("exit code %d after %s: %s", r.code, r.took.Round(time.Millisecond), line)
}

// A program is one that people run again and again, for a token.
type program interface {
	// token runs it once, and calls the API with what it prints. Exit code zero means
	// that the call was served.
	token(ctx context.Context) (run, error)
}

// newProgram returns the evertoken command, or one with x/oauth2, for the scene's session.
func (s *scene) newProgram(ctx context.Context) (program, error) {
	if s.cfg.Client == worker.XOAuth2 {
		return plainProgram{s}, nil
	}
	path, err := s.t.buildTool()
	if err != nil {
		return nil, err
	}
	t := &tool{scene: s, path: path}
	return t, t.logIn(ctx)
}

// A tool is the evertoken command with the scene's session.
type tool struct {
	*scene
	path string
	// wrap, if set, is a shell command that runs "$0" "$@" in a world of its own.
	wrap string
}

// logIn logs in as a person does, which also makes the profile, on top of the session
// that the scene has.
func (t *tool) logIn(ctx context.Context) error {
	t.srv.RevokeAll(oauthtest.DefaultUser)
	t.srv.Script(oauthtest.Fault{Endpoint: oauthtest.DeviceAuthorizationEndpoint, Edit: func(fields map[string]any) {
		code := fmt.Sprint(fields["user_code"])
		go func() { _ = t.srv.AllowDevice(context.Background(), code, oauthtest.DefaultUser) }() // the login fails if this does
	}})
	r, err := t.run(ctx, "login", "--device", "--store", "file", "--client-id", oauthtest.DefaultClientID,
		"--token-url", t.cfg.TokenURL, "--device-auth-url", t.srv.SocketURL(oauthtest.DeviceAuthorizationEndpoint))
	if err == nil && r.code != 0 {
		err = errors.New("login: " + r.exits())
	}
	return err
}

// run runs the command with arguments.
func (t *tool) run(ctx context.Context, args ...string) (run, error) {
	ctx, cancel := context.WithTimeout(ctx, worker.VeryLong)
	defer cancel()
	args = append([]string{t.path}, args...)
	if t.wrap != "" {
		args = append([]string{"sh", "-c", t.wrap}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(process.Environ(t.cfg.Home), "EVERTOKEN_DIR="+t.cfg.Dir, "DBUS_SESSION_BUS_ADDRESS=disabled:")
	process.OwnGroup(cmd)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	begun := time.Now()
	err := cmd.Run()
	t.row.Processes++
	words := strings.ReplaceAll(said.String(), t.t.dir, "DIR")
	r := run{cmd.ProcessState.ExitCode(), strings.TrimSpace(out.String()), words, time.Since(begun)}
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		err = context.Cause(ctx) // it may have been killed for that
	}
	return r, err
}

// token implements program.
func (t *tool) token(ctx context.Context) (run, error) {
	r, err := t.run(ctx, "token")
	if err == nil && r.code == 0 {
		err = t.callWith(ctx, &r)
	}
	return r, err
}

// callWith calls the API with the token that was printed. One that is not taken is
// told as another exit code.
func (s *scene) callWith(ctx context.Context, r *run) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.API, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		r.code, r.said = -1, "it printed a token to which the API answers "+resp.Status
	}
	return resp.Body.Close()
}

// A plainProgram is a worker with x/oauth2 that ends after one call.
type plainProgram struct{ *scene }

// token implements program.
func (p plainProgram) token(ctx context.Context) (run, error) {
	w, err := p.start()
	if err != nil {
		return run{}, err
	}
	defer w.Kill()
	begun := time.Now()
	if err = w.Ask(ctx, worker.CmdOpen); err == nil {
		err = w.Ask(ctx, worker.CmdCall)
	}
	r := run{took: time.Since(begun)}
	if err != nil {
		r.code, r.said = exitTemporary, err.Error()
	}
	return r, ctx.Err()
}

// age has the saved access token end so much after now; a dead one the API does not take
// any more either.
func (s *scene) age(ctx context.Context, left time.Duration) error {
	if left <= 0 {
		s.srv.Expire()
	}
	return s.shelf.Age(ctx, left)
}

// spentSaved reports whether the server has exchanged the saved refresh token.
func (s *scene) spentSaved(ctx context.Context) (bool, error) {
	now, err := s.shelf.Get(ctx)
	if err != nil {
		return false, err
	}
	for _, sp := range s.srv.Spends() {
		if sp.Committed && sp.TokenHash == saved.Hash(now.RefreshToken) {
			return true, nil
		}
	}
	return false, nil
}
