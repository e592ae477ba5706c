package drivertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/workers"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// atExit is called when all tests have ended.
var atExit []func()

// A helperConfig tells a helper process what to be.
type helperConfig struct {
	Name   string
	Place  place
	Issuer string // of the authorization server, if it needs one
}

// A helper does its work on a store, led by lines on stdin, and prints one for each.
type helper func(ctx context.Context, s *sqlstore.Store, issuer string, stdin *bufio.Scanner) error

var helpers = map[string]helper{"migrate": migrateOnce, "hold": holdLock, "work": work}

func TestMain(m *testing.M) {
	if !workers.Inside() {
		code := m.Run()
		for _, f := range atExit {
			f()
		}
		os.Exit(code)
	}
	if err := runHelper(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runHelper() error {
	var c helperConfig
	if err := workers.Config(&c); err != nil {
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

// work keeps the saved session alive, and calls the resource for each line.
func work(ctx context.Context, s *sqlstore.Store, issuer string, stdin *bufio.Scanner) error {
	client, err := oauth.Discover(ctx, issuer, oauth.Config{ClientID: "evertoken-test"})
	if err != nil {
		return err
	}
	m := refresh.NewManager(refresh.Config{OAuthClient: client, Store: s, MaxWait: patience})
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
	*workers.Process
	lines  chan string // of its stdout; closed at its end
	stderr *strings.Builder
}

// startHelper starts a helper. It is killed when the test ends.
func startHelper(t *testing.T, name string, p place, issuer string) *process {
	t.Helper()
	h := &process{lines: make(chan string, 100), stderr: new(strings.Builder)}
	cmd := exec.Command(os.Args[0])
	cmd.Stderr = h.stderr
	var err error
	h.Process, err = workers.Start(cmd, helperConfig{name, p, issuer}, func(line string) { h.lines <- line })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-h.Ended()
		close(h.lines)
	}()
	t.Cleanup(h.Kill)
	return h
}

func (p *process) say(line string) { _ = p.Say(line) } // who is dead does not print

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
