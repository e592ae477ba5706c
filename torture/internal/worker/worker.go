// Package worker is the process that is tortured: it keeps a session and calls an
// API, on command.
package worker

import (
	"bufio"
	"context"
	"encoding/json"
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

// A worker reads commands, one a line, and writes one line for each: done, perhaps
// with what it has measured, or what went wrong. Lines with the mark tell of events in
// between.
const (
	CmdOpen   = "open"   // open the saved sessions
	CmdCall   = "call"   // one request to the API; for a pool with the session's name
	CmdServed = "served" // and a number of callers, who call until each is served: see Served
	CmdSteady = "steady" // and a duration, for which a few callers call all the time: see Steady
	CmdClock  = "clock"  // and a duration: how far the clock is off from now on
	CmdRoom   = "room"   // and a number of bytes: how large files may become; -1: any size
	CmdFiles  = "files"  // and whether files may be opened: "none" or "any"

	Done      = "done"
	EventMark = "event "
)

// Served is what CmdServed measures: when each caller was served.
type Served []time.Time

// Steady is what CmdSteady measures.
type Steady struct {
	Calls, Failed int
	Longest       time.Duration // that a caller has waited
}

// Exit codes.
const (
	ExitHolds  = 0
	ExitBroken = 1
	ExitUsage  = 2
)

// Patience is how long anything may take before the command gives up: far longer
// than the slowest machine needs.
const Patience = time.Minute

// VeryLong is the same for what is not over before a server is back.
const VeryLong = 10 * time.Minute

// A Config tells a worker what to be.
type Config struct {
	Client         Client
	Dir            string // where the session is saved
	Home           string // of the worker's user, for what a client keeps outside of Dir
	TokenURL       string
	API            string
	Sessions       []string      // a pool of these; empty means one session, by its default name
	CheckInterval  time.Duration // as in refresh.Config; zero means its default
	MaxWait        time.Duration // too
	RefreshTimeout time.Duration // too
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
	// Call makes one request to the API, with the token of a session; without a name,
	// of the only one. It returns nil if that was served. Safe for concurrent use.
	Call(ctx context.Context, session string) error
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
	w.sessions = cfg.Sessions
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

	clock    *movedClock
	sessions []string

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

// do carries out a command. It returns what that has measured, if anything.
func (w *Worker) do(command string) (measured any, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	name, argument, _ := strings.Cut(command, " ")
	switch name {
	case CmdOpen:
		return nil, w.Role.Open(ctx)
	case CmdCall:
		return nil, w.Role.Call(ctx, argument)
	case CmdServed:
		var callers int
		if _, err := fmt.Sscan(argument, &callers); err != nil {
			return nil, err
		}
		return w.callUntilServed(callers)
	case CmdSteady:
		d, err := time.ParseDuration(argument)
		return w.callSteadily(d), err
	case CmdClock:
		offset, err := time.ParseDuration(argument)
		w.clock.set(offset)
		return nil, err
	case CmdRoom:
		var bytes int64
		if _, err := fmt.Sscan(argument, &bytes); err != nil {
			return nil, err
		}
		return nil, limitFiles(bytes)
	case CmdFiles:
		return nil, limitOpenFiles(argument == "none")
	}
	return nil, fmt.Errorf("unknown command %q", name)
}

// again is how long a caller that was not served waits before it calls again.
const again = 100 * time.Millisecond

// callUntilServed has callers call at once, each until it is served.
func (w *Worker) callUntilServed(callers int) (Served, error) {
	ctx, cancel := context.WithTimeout(context.Background(), VeryLong)
	defer cancel()
	served := make(Served, callers)
	var calling sync.WaitGroup
	for i := range served {
		calling.Go(func() {
			for ctx.Err() == nil {
				if w.call(ctx, i) == nil {
					served[i] = time.Now()
					return
				}
				time.Sleep(again)
			}
		})
	}
	calling.Wait()
	return served, context.Cause(ctx)
}

// call makes a caller's call, whose session is its own as far as there are some.
func (w *Worker) call(ctx context.Context, caller int) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	name := ""
	if len(w.sessions) > 0 {
		name = w.sessions[caller%len(w.sessions)]
	}
	return w.Role.Call(ctx, name)
}

// pace is how long a caller that calls all the time rests between two calls.
const pace = 20 * time.Millisecond

// callSteadily has a few callers call all the time.
func (w *Worker) callSteadily(d time.Duration) Steady {
	const callers = 4
	var mu sync.Mutex // guards sum
	var sum Steady
	var calling sync.WaitGroup
	end := time.Now().Add(d)
	for i := range callers {
		calling.Go(func() {
			for begun := time.Now(); begun.Before(end); begun = time.Now() {
				err := w.call(context.Background(), i)
				took := time.Since(begun)
				mu.Lock()
				sum.Calls++
				sum.Longest = max(sum.Longest, took)
				if err != nil {
					sum.Failed++
				}
				mu.Unlock()
				time.Sleep(pace)
			}
		})
	}
	calling.Wait()
	return sum
}

func (w *Worker) reply(measured any, err error) {
	switch {
	case err != nil:
		w.print(strings.ReplaceAll(err.Error(), "\n", "; "))
	case measured != nil:
		data, err := json.Marshal(measured)
		if err != nil {
			panic(err) // it is one of ours
		}
		w.print(Done + " " + string(data))
	default:
		w.print(Done)
	}
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
