package drivertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore/sql"
)

// helperEnv makes the test binary a helper process. It holds a helperConfig in JSON.
const helperEnv = "EVERTOKEN_SQL_HELPER"

// atExit is called when all tests have ended.
var atExit []func()

type helperConfig struct {
	Name   string
	Place  place
	Issuer string // of the authorization server, if it needs one
}

// A helper does its work on a store, led by lines on stdin, and prints one for each.
type helper func(ctx context.Context, s *sqlstore.Store, issuer string, stdin *bufio.Scanner) error

var helpers = map[string]helper{"migrate": migrateOnce, "hold": holdLock, "work": work}

func TestMain(m *testing.M) {
	text := os.Getenv(helperEnv)
	if text == "" {
		code := m.Run()
		for _, f := range atExit {
			f()
		}
		os.Exit(code)
	}
	if err := runHelper(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runHelper(text string) error {
	var c helperConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	db, err := c.Place.open()
	if err != nil {
		return err
	}
	s, err := sqlstore.New(db, c.Place.config())
	if err != nil {
		return err
	}
	return helpers[c.Name](context.Background(), s, c.Issuer, bufio.NewScanner(os.Stdin))
}

func migrateOnce(ctx context.Context, s *sqlstore.Store, _ string, stdin *bufio.Scanner) error {
	fmt.Println("ready")
	stdin.Scan()
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

// holdLock takes the lock and keeps it.
func holdLock(ctx context.Context, s *sqlstore.Store, _ string, stdin *bufio.Scanner) error {
	if _, err := s.Lock(ctx, "default"); err != nil {
		return err
	}
	fmt.Println("held")
	stdin.Scan()
	return nil
}

// work keeps the saved session alive, and calls the resource for each line. It prints
// when it begins to refresh.
func work(ctx context.Context, s *sqlstore.Store, issuer string, stdin *bufio.Scanner) error {
	client, err := oauth.Discover(ctx, issuer, oauth.Config{ClientID: "evertoken-test"})
	if err != nil {
		return err
	}
	m := refresh.NewManager(refresh.Config{OAuthClient: client, Store: s, OnEvent: func(e refresh.Event) {
		if e.Kind == refresh.EventRefreshing {
			fmt.Println(refreshing)
		}
	}})
	if err := m.Start(ctx, nil); err != nil {
		return err
	}
	defer m.Stop()
	fmt.Println("ready")
	for stdin.Scan() {
		if err := call(m, issuer+"/resource"); err != nil {
			return err
		}
		fmt.Println("served")
	}
	return nil
}

const refreshing = "refreshing"

func call(m *refresh.Manager, resource string) error {
	response, err := m.Client().Get(resource)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New("the resource answers " + response.Status)
	}
	return nil
}

// A process is a running helper.
type process struct {
	*exec.Cmd
	stdin  io.Writer
	lines  chan string // of its stdout; closed at its end
	stderr *strings.Builder
}

// startHelper starts a helper. It is killed when the test ends.
func startHelper(t *testing.T, name string, p place, issuer string) *process {
	t.Helper()
	config, err := json.Marshal(helperConfig{name, p, issuer})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	// Without the option the race detector holds up the exit for a second.
	cmd.Env = append(os.Environ(), helperEnv+"="+string(config), "GORACE=atexit_sleep_ms=0")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h := &process{cmd, stdin, make(chan string, 100), new(strings.Builder)}
	cmd.Stderr = h.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			h.lines <- lines.Text()
		}
		_ = cmd.Wait() // killed
		close(h.lines)
	}()
	t.Cleanup(func() { h.kill(); <-ended })
	return h
}

func (p *process) say(line string) { _, _ = io.WriteString(p.stdin, line+"\n") } // who is dead does not print

func (p *process) kill() { _ = p.Process.Kill() } // it may have ended

// wants waits until the process prints the line. Lines before it are dropped.
func (p *process) wants(t *testing.T, want string) {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("the helper ended before it said %q: %v", want, p.stderr)
			}
			if line == want {
				return
			}
		case <-timeout:
			t.Fatalf("the helper does not say %q", want)
		}
	}
}
