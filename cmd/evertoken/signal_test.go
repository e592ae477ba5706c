//go:build unix

package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// program returns the path of the command, under the name that TestMain knows it by.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "evertoken")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// command returns the command as a process of its own, still to be started, and its
// output.
func command(t *testing.T, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(program(t), args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	})
	return cmd, bufio.NewReader(out)
}

func TestSignalsToEndLetItEndInOrder(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			// A signal that this process ignores, as under nohup, the command would
			// ignore too; one that it catches is the default in a child.
			caught := make(chan os.Signal, 1)
			signal.Notify(caught, sig)
			defer signal.Stop(caught)
			cmd, out := command(t, "serve")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := out.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil || !strings.Contains(string(rest), "0 misused tokens") {
				t.Errorf("ended with %v, output %q; want an orderly end", err, rest)
			}
		})
	}
}

// A command that a signal interrupts ends as shells expect, so that a script which
// runs it ends too.
func TestAnInterruptedCommandSaysWhichSignalItWas(t *testing.T) {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd := exec.Command(program(t), "login", "--dir", t.TempDir(), "--store", "file", "--no-browser",
				"--issuer", server.Issuer(), "--client-id", oauthtest.DefaultClientID)
			cmd.Env = append(os.Environ(), "CI=")
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(stderr)
			if _, err := out.ReadString('\n'); err != nil { // it waits for the person
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			said, _ := io.ReadAll(out)
			_ = cmd.Wait() // how it ended is asked for below
			if code := cmd.ProcessState.ExitCode(); code != want || !strings.Contains(string(said), "the login was stopped") {
				t.Errorf("ended with %v, saying %q; want exit code %d", cmd.ProcessState, said, want)
			}
		})
	}
}

func TestAnInterruptedDownloadIsNoTroubleOfTheServer(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "the beginning\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer api.Close()
	cmd, out := command(t, "get", "--allow-origin", "--dir", living().save(t), api.URL)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(out)
	_ = cmd.Wait() // how it ended is asked for below
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("ended with %v, saying %q; want exit code 130", cmd.ProcessState, &stderr)
	}
}
