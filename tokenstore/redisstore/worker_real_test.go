//go:build real && unix

package redisstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/workers"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

// What a worker is told, one word a line, and what it says. To each but goOn it answers
// done, or what went wrong.
const (
	openWord  = "open"  // open the saved session
	callWord  = "call"  // make one request to the API
	guardWord = "guard" // from now on, stand at the gate before a spend
	goOn      = "go"    // pass the gate, now or later, and guard it no more

	done   = "done"
	atGate = "gate" // it has the lock, has announced the spend, and is about to look at its lease
)

// A workerConfig tells a worker what to be.
type workerConfig struct {
	Redis, TokenURL, API string
	Lease                time.Duration
}

func init() { work = serve }

// serve is the main function of a worker. It ends with its standard input.
func serve() {
	var cfg workerConfig
	if err := workers.Config(&cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	w := &worker{cfg: cfg}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		word := lines.Text()
		if word == goOn {
			w.setGate(nil)
			continue
		}
		go func() {
			if err := w.do(word); err != nil {
				w.say(strings.ReplaceAll(err.Error(), "\n", "; "))
				return
			}
			w.say(done)
		}()
	}
}

type worker struct {
	cfg workerConfig
	api *http.Client

	mu   sync.Mutex    // guards what follows, and standard output
	shut chan struct{} // closed when the gate opens; nil: nobody guards it
}

func (w *worker) do(word string) error {
	switch word {
	case openWord:
		return w.open()
	case callWord:
		return w.call()
	case guardWord:
		w.setGate(make(chan struct{}))
	}
	return nil
}

func (w *worker) open() error {
	store, err := redisstore.New(redis.NewClient(clientOptions(w.cfg.Redis)), redisstore.Config{LeaseTime: w.cfg.Lease})
	if err != nil {
		return err
	}
	m := refresh.NewManager(refresh.Config{
		OAuthClient: oauth.NewClient(oauth.Config{ClientID: oauthtest.DefaultClientID, TokenURL: w.cfg.TokenURL}),
		Store:       store,
		MaxWait:     patience,
		OnEvent: func(e refresh.Event) {
			if e.Kind == refresh.EventRefreshing {
				w.gate()
			}
		},
	})
	w.api = m.Client()
	return m.Start(context.Background(), nil)
}

func (w *worker) setGate(shut chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut != nil {
		close(w.shut)
	}
	w.shut = shut
}

// gate keeps a worker that guards it, until it is told to go on.
func (w *worker) gate() {
	w.mu.Lock()
	shut := w.shut
	w.mu.Unlock()
	if shut != nil {
		w.say(atGate)
		<-shut
	}
}

func (w *worker) call() error {
	resp, err := w.api.Get(w.cfg.API)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API answered %s, %v", resp.Status, err)
	}
	return nil
}

func (w *worker) say(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Println(line)
}

// A process is a worker, seen from the test.
type process struct {
	*workers.Process
	t    *testing.T
	said chan string // closed when it has ended
	gate chan struct{}
}

// startWorker starts a worker. It is killed when the test ends.
func startWorker(t *testing.T, cfg workerConfig) *process {
	t.Helper()
	p := &process{t: t, said: make(chan string, 16), gate: make(chan struct{}, 16)}
	cmd := exec.Command(os.Args[0])
	cmd.Stderr = os.Stderr
	var err error
	if p.Process, err = workers.Start(cmd, cfg, p.hear); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-p.Ended()
		close(p.said)
	}()
	t.Cleanup(p.Kill)
	return p
}

func (p *process) hear(line string) {
	if line == atGate {
		p.gate <- struct{}{}
	} else {
		p.said <- line
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) tell(word string) { _ = p.Say(word) } // who has ended does not answer

// answer returns what came of the last word.
func (p *process) answer() error {
	select {
	case line, ok := <-p.said:
		switch {
		case !ok:
			return workers.ErrEnded
		case line != done:
			return errors.New(line)
		}
		return nil
	case <-time.After(patience):
		return errors.New("no answer")
	}
}

// tellAll gives a word to all at once, and returns what came of it.
func tellAll(crowd []*process, word string) []error {
	for _, p := range crowd {
		p.tell(word)
	}
	errs := make([]error, len(crowd))
	for i, p := range crowd {
		errs[i] = p.answer()
	}
	return errs
}
