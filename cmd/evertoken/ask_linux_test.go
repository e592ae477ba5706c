package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// openTerminal returns both ends of a terminal: that of the person, and that of programs.
func openTerminal(t *testing.T) (person, tty *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return person, tty
}

// Terminals in containers and on serial lines may not say how large they are.
func TestATerminalOfNoSizeIsDrawnOn(t *testing.T) {
	_, tty := openTerminal(t)
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{}); err != nil {
		t.Fatal(err)
	}
	screen, ok := terminal.Open(tty, noEnv)
	if !ok {
		t.Fatal("it was not taken for a terminal")
	}
	defer screen.Close()
	screen.Draw(func(l terminal.Look) string {
		if l.Width != 80 || l.Height != 24 {
			t.Errorf("drawn on %d×%d; want 80×24", l.Width, l.Height)
		}
		return ""
	})
}

// echoes reports whether a terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return mode.Lflag&unix.ECHO != 0
}

// awaitQuestion reads up to a question, and waits until its answer is shown or not.
func awaitQuestion(t *testing.T, out *bufio.Reader, terminal *os.File, question string, shown bool) {
	t.Helper()
	text := ""
	for !strings.HasSuffix(text, question) {
		b, err := out.ReadByte()
		if err != nil {
			t.Fatalf("%q was said, and then %v; want %q", text, err, question)
		}
		text += string(b)
	}
	for echoes(t, terminal) != shown {
		runtime.Gosched() // the question is written before the terminal is set
	}
}

// startLogin starts a login to a kratos backend at a terminal.
func startLogin(t *testing.T, tty *os.File, args ...string) (*exec.Cmd, *bufio.Reader, *oauthtest.Server) {
	t.Helper()
	s := oauthtest.NewServer(oauthtest.Config{Users: map[string]string{"alice": "wonderland"}})
	t.Cleanup(s.Close)
	cmd := exec.Command(program(t), append([]string{"login", "--dir", t.TempDir(), "--store", "file", "--url", s.DialectConfig(oauthtest.KratosBackend).BaseURL}, args...)...)
	cmd.Stdin = tty
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewReader(stderr), s
}

func TestALoginAsksAtTheTerminalAndShowsNoPassword(t *testing.T) {
	person, tty := openTerminal(t)
	cmd, out, server := startLogin(t, tty, "--dialect", "kratos")
	awaitQuestion(t, out, tty, "User name: ", true)
	fmt.Fprint(person, "alice\n")
	awaitQuestion(t, out, tty, "Password: ", false)
	fmt.Fprint(person, "wonderland\n")
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(string(rest), "Logged in to ") || server.Sessions("alice") != 1 {
		t.Errorf("%v, after saying %q", err, rest)
	}
	if !echoes(t, tty) {
		t.Error("the terminal does not show any more what is typed")
	}
	if shown := typedOn(t, person); strings.Contains(shown, "wonderland") || !strings.Contains(shown, "alice") {
		t.Errorf("the terminal showed %q", shown)
	}
}

// typedOn returns what a terminal has shown of what was typed.
func typedOn(t *testing.T, person *os.File) string {
	t.Helper()
	fmt.Fprint(person, "END\n") // so that the read below ends
	var shown bytes.Buffer
	one := make([]byte, 1)
	for !strings.HasSuffix(shown.String(), "END") {
		if _, err := person.Read(one); err != nil {
			t.Fatal(err)
		}
		shown.Write(one)
	}
	return shown.String()
}

func TestFurtherFieldsAreAskedForUnseen(t *testing.T) {
	var got string
	backend := http.NewServeMux()
	backend.HandleFunc("POST /l", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		fmt.Fprint(w, `{"access_token":"a"}`)
	})
	server := httptest.NewServer(backend)
	defer server.Close()
	file := t.TempDir() + "/d.json"
	const form = `{"login":{"path":"/l","fields":[{"value":"further.otp","place":"body","name":"otp"}]},
		"refresh":{"path":"/r","fields":[{"value":"access_token","place":"authorization"}]}}`
	if err := os.WriteFile(file, []byte(form), 0o600); err != nil {
		t.Fatal(err)
	}
	person, tty := openTerminal(t)
	cmd, out, _ := startLogin(t, tty, "--dialect", file, "--url", server.URL, "--field", "otp")
	awaitQuestion(t, out, tty, "otp: ", false) // and neither name nor password, which this login does not carry
	fmt.Fprint(person, "123456\n")
	rest, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil || got != `{"otp":"123456"}` {
		t.Errorf("%v, after saying %q; the backend got %q", err, rest, got)
	}
	if shown := typedOn(t, person); strings.Contains(shown, "123456") {
		t.Errorf("the terminal showed %q", shown)
	}
}

func TestAnInterruptedQuestionLeavesTheTerminalAsItWas(t *testing.T) {
	_, tty := openTerminal(t)
	cmd, out, server := startLogin(t, tty, "--dialect", "kratos", "--username", "alice")
	awaitQuestion(t, out, tty, "Password: ", false)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	_ = cmd.Wait() // its exit code is asked for below
	if strings.Contains(string(rest), "browser") || !strings.Contains(string(rest), "the login was stopped: run the command again") {
		t.Errorf("it said %q; want nothing of a browser, which took no part", rest)
	}
	if code := cmd.ProcessState.ExitCode(); code != exit.Interrupted || server.Sessions("alice") != 0 {
		t.Errorf("exit code %d after saying %q; want %d", code, rest, exit.Interrupted)
	}
	if !echoes(t, tty) {
		t.Error("the terminal does not show any more what is typed")
	}
}

func TestALoginThatTakesTooLongStopsAsking(t *testing.T) {
	_, tty := openTerminal(t)
	cmd, out, _ := startLogin(t, tty, "--dialect", "kratos", "--username", "alice", "--timeout", "1ms")
	rest, _ := io.ReadAll(out)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exit.Login || !strings.Contains(string(rest), "the login was not completed within 1ms") {
		t.Errorf("exit code %d after saying %q", code, rest)
	}
	if !echoes(t, tty) {
		t.Error("the terminal does not show any more what is typed")
	}
}

// startGet fetches a URL at a terminal.
func startGet(t *testing.T, tty *os.File, dir, url string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(program(t), "get", "--dir", dir, url)
	cmd.Stdin = tty
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewReader(stderr)
}

func TestF92_GetAsksOncePerOriginAndKeepsTheAnswer(t *testing.T) {
	var with, without atomic.Int32 // requests that have come
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer at-secret" {
			with.Add(1)
		} else {
			without.Add(1)
		}
	}))
	defer api.Close()
	const question = "Send it there, now and from now on? [y/N] "
	dir := living().save(t)
	for _, answer := range []string{"\n", "n\n", "no\n", "yesterday\n", "\x04"} {
		person, tty := openTerminal(t)
		cmd, out := startGet(t, tty, dir, api.URL+"/path?key=hidden")
		awaitQuestion(t, out, tty, "was never sent to "+api.URL+".\n"+question, true)
		fmt.Fprint(person, answer)
		rest, _ := io.ReadAll(out)
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exit.Config || with.Load()+without.Load() != 0 || !strings.Contains(string(rest), "--allow-origin "+api.URL) || strings.Contains(string(rest), "hidden") {
			t.Errorf("%q: exit code %d, %d requests, after saying %q", answer, code, with.Load()+without.Load(), rest)
		}
	}
	person, tty := openTerminal(t)
	cmd, out := startGet(t, tty, dir, api.URL+"/path")
	awaitQuestion(t, out, tty, question, true)
	fmt.Fprint(person, " Yes\n")
	if rest, _ := io.ReadAll(out); cmd.Wait() != nil || with.Load() != 1 {
		t.Fatalf("%d requests, after saying %q", with.Load(), rest)
	}
	_, tty = openTerminal(t)
	cmd, out = startGet(t, tty, dir, api.URL+"/other")
	if rest, _ := io.ReadAll(out); cmd.Wait() != nil || with.Load() != 2 || len(rest) != 0 {
		t.Fatalf("the second time: %d requests, after saying %q", with.Load(), rest)
	}
	if without.Load() != 0 {
		t.Error("a request came without the token")
	}
}

func TestAnInterruptedQuestionAboutAnAPISendsNothing(t *testing.T) {
	_, tty := openTerminal(t)
	cmd, out := startGet(t, tty, living().save(t), "https://api.example.com/")
	awaitQuestion(t, out, tty, "[y/N] ", true)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exit.Interrupted {
		t.Errorf("exit code %d after saying %q; want %d", code, rest, exit.Interrupted)
	}
}
