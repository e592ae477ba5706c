package tokenstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// helperEnv makes the test binary a helper process: it runs the named helper on
// the directory in its first argument instead of the tests.
const helperEnv = "EVERTOKEN_TOKENSTORE_HELPER"

var helpers = map[string]func(ctx context.Context, f *tokenstore.File) error{
	"count-locked":  countLocked,
	"count-compare": countComparing,
	"write":         writeForEver,
	"hold":          holdLock,
	"full-disk":     fullDisk,
}

func TestMain(m *testing.M) {
	name := os.Getenv(helperEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	f, err := tokenstore.NewFile(os.Args[len(os.Args)-1])
	if err == nil {
		err = helpers[name](context.Background(), f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A process is a running helper.
type process struct {
	*exec.Cmd
	lines  *bufio.Scanner // of its stdout
	stderr *strings.Builder
}

// startHelper starts a helper process on dir. It is killed when the test ends.
func startHelper(t *testing.T, name, dir string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], dir)
	// Without the option the race detector holds up the exit for a second.
	cmd.Env = append(os.Environ(), helperEnv+"="+name, "GORACE=atexit_sleep_ms=0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // open until Wait
		t.Fatal(err)
	}
	p := &process{cmd, bufio.NewScanner(stdout), new(strings.Builder)}
	cmd.Stderr = p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// line returns the next line that the process prints.
func (p *process) line(t *testing.T) string {
	t.Helper()
	if !p.lines.Scan() {
		t.Fatalf("helper ended early: %v", p.stderr)
	}
	return p.lines.Text()
}

const (
	countProcesses = 8
	countEach      = 20
)

// countLocked counts up a number under the session's lock.
func countLocked(ctx context.Context, f *tokenstore.File) error {
	return teststore.CountLocked(ctx, f, "default", countEach)
}

// countComparing counts up without the lock, starting over after a conflict.
func countComparing(ctx context.Context, f *tokenstore.File) error {
	for range countEach {
		for {
			err := teststore.CountUp(ctx, f, "default")
			if err == nil {
				break
			}
			if !isConflict(err) {
				return err
			}
		}
	}
	return nil
}

// writeForEver saves a record of 64 KiB again and again, holding the lock, and
// prints each version that is saved.
func writeForEver(ctx context.Context, f *tokenstore.File) error {
	if _, err := f.Lock(ctx, "default"); err != nil {
		return err
	}
	rec, err := f.Get(ctx, "default")
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		rec.Tokens = &oauth.TokenPair{AccessToken: strings.Repeat(strconv.Itoa(i%10), 64<<10)}
		if rec.Version, err = f.Set(ctx, "default", rec); err != nil {
			return err
		}
		fmt.Println(rec.Version)
	}
}

// holdLock takes the lock, says so, and holds it until its stdin ends.
func holdLock(ctx context.Context, f *tokenstore.File) error {
	lease, err := f.Lock(ctx, "default")
	if err != nil {
		return err
	}
	fmt.Println("held")
	// An endless select would be a deadlock to the runtime, and end the process.
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, lease.Unlock())
}
