//go:build unix

package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/internal/outside/marks"
	"github.com/evertoken/evertoken/oauth"
)

// Every line of the command is written by warn, print or printJSON, or asked by
// terminal.Ask, whatever it is made of.
func TestF94_CommandShowsWhatATerminalWouldObey(t *testing.T) {
	text := marks.Text("x")
	var out, said strings.Builder
	a := testApp(t)
	a.stdout, a.stderr, a.Verbose = &out, &said, true
	a.Profile = "default"
	a.warn("a %s b %v\n", text, errors.New(text))
	a.report(exit.New(exit.Failed, text, text))
	a.report(errors.New(text))
	a.report(&oauth.Error{Op: text, Kind: oauth.ErrMisconfigured, Code: text, Hint: text, Err: errors.New(text)})
	if err := a.print("a %s %-14s", text, text); err != nil {
		t.Fatal(err)
	}
	if err := a.printJSON(map[string]any{"x": text}); err != nil {
		t.Fatal(err)
	}
	a.logger().Info(text, text, text, "error", errors.New(text))
	for where, got := range map[string]string{"stdout": out.String(), "stderr": said.String()} {
		if found := marks.In(got, true); found != nil || !strings.Contains(got, `x\u202e`) {
			t.Errorf("%s has %v: %.300q", where, found, got)
		}
	}
	if at := strings.Index("\n"+said.String(), "\nx"); at >= 0 {
		t.Errorf("stderr has a line that is not ours: %.300q", said.String()[at:])
	}
	if lines := strings.Count(out.String(), "\n"); lines != 4 { // one, and three of JSON
		t.Errorf("stdout has %d lines; want no line but ours: %q", lines, out.String())
	}
}

// What another program has written into a profile makes no line of the list, and no column.
func TestF94_ListOfProfilesHasALineForEach(t *testing.T) {
	text := marks.Text("x")
	var out strings.Builder
	a := testApp(t)
	a.stdout = &out
	profiles := []listed{{Name: "a", Server: text, ClientID: text, Store: text}, {Name: "b", Server: text, Dialect: text}, {Name: "c", Error: text}}
	if err := a.printProfiles(profiles); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != len(profiles) || marks.In(out.String(), true) != nil || strings.Contains(out.String(), "\nx") {
		t.Errorf("%d lines; want %d: %.300q", lines, len(profiles), out.String())
	}
}

// A terminal shows what an API answers, and a program gets it.
func TestF94_GetEscapesAnswersOnATerminalAlone(t *testing.T) {
	text := strings.ReplaceAll(marks.Text("x"), "\n", "")
	answer := func() *http.Response {
		return &http.Response{
			StatusCode: 200, Status: "200 " + text, Proto: "HTTP/1.1", Header: http.Header{"X-Name": {text}},
			Body: &slowReader{strings.NewReader(text + "\r\nend")},
		}
	}
	var raw, shown strings.Builder
	c := &getCmd{Include: true}
	if err := c.write(&raw, func() error { return nil }, answer()); err != nil || !strings.HasSuffix(raw.String(), text+"\r\nend") {
		t.Errorf("to a program: %v, %q", err, raw.String())
	}
	w := outside.NewWriter(&shown)
	if err := c.write(w, w.Close, answer()); err != nil || !strings.HasSuffix(shown.String(), outside.Lines(text)+"\r\nend") {
		t.Errorf("on a terminal: %v, %q", err, shown.String())
	}
	if found := marks.In(strings.ReplaceAll(shown.String(), "\r\n", "\n"), true); found != nil {
		t.Errorf("on a terminal: %v in %q", found, shown.String())
	}
}

// A slowReader gives one byte at a time.
type slowReader struct{ r *strings.Reader }

func (s *slowReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), 1)]) }
func (s *slowReader) Close() error               { return nil }

// curl quotes what servers say, and the names in their certificates.
func TestF94_CurlsOwnWordsAreShown(t *testing.T) {
	dir, text := t.TempDir(), marks.Text("x")
	for name, data := range map[string]string{"marks": text, "curl": "cat " + dir + "/marks >&2\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder
	a := testApp(t)
	a.stdin, a.stderr = strings.NewReader(""), &said
	if err := a.curl(t.Context(), exec.Command("sh", filepath.Join(dir, "curl")), "header\n"); err != nil {
		t.Fatal(err)
	}
	if found := marks.In(said.String(), true); found != nil || said.String() != outside.Lines(text) {
		t.Errorf("stderr has %v: %.300q", found, said.String())
	}
}

// What a session's record says can be another's word: a store writer's, or the server's.
func TestF94_StatusShowsWhatATerminalWouldObey(t *testing.T) {
	d := newDesk(t)
	d.mustLogin("file")
	s, err := d.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rec, err := s.store.Get(t.Context(), d.Profile)
	if err != nil {
		t.Fatal(err)
	}
	rec.Tokens.Scope, rec.Tokens.TokenType = marks.Text("scope"), marks.Text("mac-")
	rec.Tokens.ExpiresAt = time.Now().Add(time.Hour)
	if _, err := s.store.Set(t.Context(), d.Profile, rec); err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func() error{
		"status":         func() error { return (&statusCmd{}).Run(t.Context(), d.app) },
		"status --json":  func() error { return (&statusCmd{JSON: true}).Run(t.Context(), d.app) },
		"token --header": func() error { return (&tokenCmd{Header: true}).Run(t.Context(), d.app) },
	} {
		var out strings.Builder
		d.stdout = &out
		d.stderr.Reset()
		_ = d.report(run())
		if found := marks.In(out.String()+d.stderr.String(), true); found != nil {
			t.Errorf("%s: %v in %q", name, found, out.String()+d.stderr.String())
		}
		if name == "token --header" && !strings.HasPrefix(out.String(), "Authorization: Bearer ") || strings.Count(out.String(), "\n") == 0 {
			t.Errorf("%s: got %s", name, fmt.Sprintf("%q", out.String()))
		}
	}
}

// Files that curl writes by itself must not have the token, nor what decrypts it.
func TestCurlWritesNoKeysAndNoLogs(t *testing.T) {
	got := curlEnvironment([]string{"HOME=/h", "SSLKEYLOGFILE=/tmp/keys", "sslkeylogfile=x", "QLOGDIR=/tmp", "HTTPS_PROXY=http://proxy", "XSSLKEYLOGFILE=y"})
	if want := []string{"HOME=/h", "HTTPS_PROXY=http://proxy", "XSSLKEYLOGFILE=y"}; !slices.Equal(got, want) {
		t.Errorf("curl's environment is %q; want %q", got, want)
	}
}
