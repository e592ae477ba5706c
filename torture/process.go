package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// patience is how long anything may take before the command gives up: far longer
// than the slowest machine needs.
const patience = time.Minute

// A process is a worker, seen from here.
type process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	replies chan string
	exited  chan struct{} // closed when it has ended; cmd.ProcessState is set then

	mu      sync.Mutex // guards what follows
	events  map[string]int
	changed chan struct{} // closed and replaced with each event
}

// start starts a worker. It does nothing until it is asked.
func (t *torture) start(cfg workerConfig) (*process, error) {
	env, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(t.self)
	// Without the option the race detector holds up every exit for a second.
	cmd.Env = append(os.Environ(), workerEnv+"="+string(env), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = t.stderr
	ownGroup(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	p := &process{
		cmd: cmd, stdin: stdin, replies: make(chan string, 16), exited: make(chan struct{}),
		events: make(map[string]int), changed: make(chan struct{}),
	}
	t.mu.Lock()
	t.workers[p] = true
	t.mu.Unlock()
	go func() {
		p.listen(stdout)
		_ = cmd.Wait() // how it ended is in ProcessState
		t.mu.Lock()
		delete(t.workers, p)
		t.mu.Unlock()
		close(p.exited)
	}()
	return p, nil
}

// listen sorts the lines of a worker into replies and events, until it has ended.
func (p *process) listen(stdout io.Reader) {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		line := lines.Text()
		if kind, ok := strings.CutPrefix(line, eventMark); ok {
			p.mu.Lock()
			p.events[kind]++
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
			continue
		}
		select {
		case p.replies <- line:
		default: // nobody asks that much at once
		}
	}
}

// send gives the worker a command. Its answer is had by reply.
func (p *process) send(command string) error {
	_, err := io.WriteString(p.stdin, command+"\n")
	return err
}

// errEnded means that a worker has ended before it answered.
var errEnded = errors.New("the process has ended")

// reply returns the answer to a command: nil, or what the worker says went wrong.
func (p *process) reply(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case line := <-p.replies:
		return verdictOf(line)
	case <-p.exited:
	case <-ctx.Done():
		return fmt.Errorf("waiting for a worker's answer: %w", context.Cause(ctx))
	}
	select {
	case line := <-p.replies: // its last word
		return verdictOf(line)
	default:
		return errEnded
	}
}

func verdictOf(line string) error {
	if line == done {
		return nil
	}
	return errors.New(line)
}

// ask gives a command and returns the answer.
func (p *process) ask(ctx context.Context, command string) error {
	if err := p.send(command); err != nil {
		return err
	}
	return p.reply(ctx)
}

// seen returns how many events of a kind the worker has told.
func (p *process) seen(kind string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events[kind]
}

// await returns when the worker has told of n events of a kind.
func (p *process) await(ctx context.Context, kind string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		p.mu.Lock()
		got, changed := p.events[kind], p.changed
		p.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-changed:
		case <-p.exited:
			return fmt.Errorf("waiting for the event %q: %w", kind, errEnded)
		case <-ctx.Done():
			return fmt.Errorf("waiting for the event %q: %w", kind, context.Cause(ctx))
		}
	}
}

// kill ends the worker by SIGKILL and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.exited
}

// wait returns the exit code of a worker that is about to end.
func (p *process) wait(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for a worker to end: %w", context.Cause(ctx))
	}
}
