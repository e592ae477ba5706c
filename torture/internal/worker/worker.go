// Package worker is the process that is tortured: it keeps a session and calls an
// API, on command.
package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/internal/workers"
)

// A worker reads commands, one a line, and writes one line for each: done, or what
// went wrong. Lines with the mark tell of events in between.
const (
	CmdOpen  = "open"  // open the saved session
	CmdCall  = "call"  // one request to the API
	CmdClock = "clock" // and a duration: how far the clock is off from now on
	CmdRoom  = "room"  // and a number of bytes: how large files may become; -1: any size

	Done      = "done"
	EventMark = "event "
)

// Exit codes.
const (
	ExitHolds  = 0
	ExitBroken = 1
	ExitUsage  = 2
)

// Patience is how long anything may take before the command gives up: far longer
// than the slowest machine needs.
const Patience = time.Minute

// A Config tells a worker what to be.
type Config struct {
	Client        Client
	Dir           string // where the session is saved
	TokenURL      string
	API           string
	CheckInterval time.Duration // as in refresh.Config; zero means its default
	MaxWait       time.Duration // too
}

// A Client is what keeps a worker's session.
type Client string

const (
	Evertoken Client = "evertoken"
	XOAuth2   Client = "x/oauth2"
)

// A Role is a program that calls an API, by the client it is written with.
type Role interface {
	// Open goes on with the saved session.
	Open(ctx context.Context) error
	// Call makes one request to the API. It returns nil if that was served.
	Call(ctx context.Context) error
}

// Main is the main function of a worker. It returns the exit code: when its
// standard input ends, which it does with the process that started it, or when it
// was asked to by SIGTERM.
func Main(stdin io.Reader, stdout io.Writer) int {
	var cfg Config
	if err := workers.Config(&cfg); err != nil {
		fmt.Fprintln(os.Stderr, "torture: worker:", err)
		return ExitUsage
	}
	w := New(stdout)
	if cfg.Client == XOAuth2 {
		w.Role = &plain{cfg: cfg} // it dies of SIGTERM, like most programs
	} else {
		k := NewKeeper(w, cfg)
		w.Role = k
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		go closeAfter(signals, k)
	}
	w.Serve(stdin)
	return ExitHolds
}

// closeTime is how long a program that is asked to end may take, as service
// managers see it.
const closeTime = 10 * time.Second

// closeAfter does what a program should do when it is asked to end.
func closeAfter(signals <-chan os.Signal, k *Keeper) {
	<-signals
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := k.Close(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "torture: worker:", err)
		os.Exit(ExitBroken)
	}
	os.Exit(ExitHolds)
}

// A Worker carries out commands.
type Worker struct {
	Role Role // what it does when it is asked

	clock *movedClock

	mu  sync.Mutex // guards out
	out io.Writer
}

// New returns a worker without a Role.
func New(out io.Writer) *Worker { return &Worker{out: out, clock: newMovedClock()} }

// Serve carries out one command after the other, until there are no more. A
// command under way does not keep it: no process is left to hear of it.
func (w *Worker) Serve(stdin io.Reader) {
	commands, ended := make(chan string), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stdin); lines.Scan(); {
			commands <- lines.Text()
		}
	}()
	go func() {
		for c := range commands {
			w.reply(w.do(c))
		}
	}()
	<-ended
}

func (w *Worker) do(command string) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	name, argument, _ := strings.Cut(command, " ")
	switch name {
	case CmdOpen:
		return w.Role.Open(ctx)
	case CmdCall:
		return w.Role.Call(ctx)
	case CmdClock:
		offset, err := time.ParseDuration(argument)
		w.clock.set(offset)
		return err
	case CmdRoom:
		var bytes int64
		if _, err := fmt.Sscan(argument, &bytes); err != nil {
			return err
		}
		return limitFiles(bytes)
	}
	return fmt.Errorf("unknown command %q", name)
}

func (w *Worker) reply(err error) {
	if err == nil {
		w.print(Done)
		return
	}
	w.print(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// tell tells of an event.
func (w *Worker) tell(kind string) { w.print(EventMark + kind) }

func (w *Worker) print(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = io.WriteString(w.out, line+"\n") // a parent that does not listen need not know
}

// errRejected means that the API does not take the token.
var errRejected = errors.New("the API answered 401 Unauthorized")

// fetch makes one request. It returns nil if the API served it.
func fetch(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return errRejected
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the API answered %s", resp.Status)
	}
	return err
}
