package workers_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/evertoken/evertoken/internal/workers"
)

type config struct{ Greeting string }

// TestMain runs the tests, or makes the test binary a worker: it greets with each
// line that it is told, until there are no more.
func TestMain(m *testing.M) {
	if !workers.Inside() {
		os.Exit(m.Run())
	}
	var cfg config
	if err := workers.Config(&cfg); err != nil {
		fmt.Println(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() == "end" {
			os.Exit(3)
		}
		fmt.Println(cfg.Greeting, lines.Text(), os.Getenv("WORKERS_TEST"))
	}
}

// start starts a worker, which is killed when the test ends. What it prints arrives
// in the channel.
func start(t *testing.T, cmd *exec.Cmd) (*workers.Process, <-chan string) {
	t.Helper()
	heard := make(chan string, 16)
	p, err := workers.Start(cmd, config{"hello"}, func(line string) { heard <- line })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p, heard
}

func say(t *testing.T, p *workers.Process, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := p.Say(line); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWorkerIsWhatItIsGivenAndHeardInOrder(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WORKERS_TEST=again")
	p, heard := start(t, cmd)
	say(t, p, "one", "two", "end")
	code, err := p.Wait(t.Context())
	if code != 3 || err != nil {
		t.Errorf("exit code %d, %v; want 3", code, err)
	}
	got := []string{<-heard, <-heard} // all is heard when it has ended
	if want := []string{"hello one again", "hello two again"}; !slices.Equal(got, want) {
		t.Errorf("heard %q; want %q", got, want)
	}
}

func TestWaitEndsWithItsContextAndKillWithTheWorker(t *testing.T) {
	p, heard := start(t, exec.Command(os.Args[0]))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a worker that lives: %v; want that the context ended", err)
	}
	say(t, p, "you")
	<-heard // it lives
	p.Kill()
	select {
	case <-p.Ended():
	default:
		t.Error("Kill returned before the worker had ended")
	}
	p.Kill() // does no harm
	if code, err := p.Wait(t.Context()); code == 0 || err != nil {
		t.Errorf("a killed worker: exit code %d, %v", code, err)
	}
	if err := p.Say("more"); err == nil {
		t.Error("a killed worker was told something")
	}
}

func TestWhatCannotBeStartedIsSaid(t *testing.T) {
	hear := func(string) {}
	if _, err := workers.Start(exec.Command("/does/not/exist"), config{}, hear); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such program: %v", err)
	}
	if _, err := workers.Start(exec.Command(os.Args[0]), hear, hear); err == nil {
		t.Error("a worker was to be what JSON cannot carry")
	}
}
