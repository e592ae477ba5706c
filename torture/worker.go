package main

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
	cmdOpen  = "open"  // open the saved session
	cmdCall  = "call"  // one request to the API
	cmdClock = "clock" // and a duration: how far the clock is off from now on
	cmdRoom  = "room"  // and a number of bytes: how large files may become; -1: any size

	done      = "done"
	eventMark = "event "
)

// A workerConfig tells a worker what to be.
type workerConfig struct {
	Client        client
	Dir           string // where the session is saved
	TokenURL      string
	API           string
	CheckInterval time.Duration // as in refresh.Config; zero means its default
	MaxWait       time.Duration // too
}

// A client is what keeps a worker's session.
type client string

const (
	evertoken client = "evertoken"
	xoauth2   client = "x/oauth2"
)

// A role is a program that calls an API, by the client it is written with.
type role interface {
	// open goes on with the saved session.
	open(ctx context.Context) error
	// call makes one request to the API. It returns nil if that was served.
	call(ctx context.Context) error
}

// work is the main function of a worker. It returns the exit code: when its
// standard input ends, which it does with the process that started it, or when it
// was asked to by SIGTERM.
func work(stdin io.Reader, stdout io.Writer) int {
	var cfg workerConfig
	if err := workers.Config(&cfg); err != nil {
		fmt.Fprintln(os.Stderr, "torture: worker:", err)
		return exitUsage
	}
	w := &worker{out: stdout, clock: newMovedClock()}
	if cfg.Client == xoauth2 {
		w.role = &plain{cfg: cfg} // it dies of SIGTERM, like most programs
	} else {
		k := &keeper{cfg: cfg, clock: w.clock, tell: w.tell}
		w.role = k
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		go closeAfter(signals, k)
	}
	w.serve(stdin)
	return exitHolds
}

// closeTime is how long a program that is asked to end may take, as service
// managers see it.
const closeTime = 10 * time.Second

// closeAfter does what a program should do when it is asked to end.
func closeAfter(signals <-chan os.Signal, k *keeper) {
	<-signals
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := k.close(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "torture: worker:", err)
		os.Exit(exitBroken)
	}
	os.Exit(exitHolds)
}

// A worker carries out commands.
type worker struct {
	role  role
	clock *movedClock

	mu  sync.Mutex // guards out
	out io.Writer
}

// serve carries out one command after the other, until there are no more. A
// command under way does not keep it: nobody is left to hear of it.
func (w *worker) serve(stdin io.Reader) {
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

func (w *worker) do(command string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name, argument, _ := strings.Cut(command, " ")
	switch name {
	case cmdOpen:
		return w.role.open(ctx)
	case cmdCall:
		return w.role.call(ctx)
	case cmdClock:
		offset, err := time.ParseDuration(argument)
		w.clock.set(offset)
		return err
	case cmdRoom:
		var bytes int64
		if _, err := fmt.Sscan(argument, &bytes); err != nil {
			return err
		}
		return limitFiles(bytes)
	}
	return fmt.Errorf("unknown command %q", name)
}

func (w *worker) reply(err error) {
	if err == nil {
		w.print(done)
		return
	}
	w.print(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// tell tells of an event.
func (w *worker) tell(kind string) { w.print(eventMark + kind) }

func (w *worker) print(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = io.WriteString(w.out, line+"\n") // who does not listen need not know
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
