package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/workers"
)

// patience is how long anything may take before the command gives up: far longer
// than the slowest machine needs.
const patience = time.Minute

// A process is a worker, seen from here.
type process struct {
	*workers.Process
	replies chan string

	mu      sync.Mutex // guards what follows
	events  map[string]int
	changed chan struct{} // closed and replaced with each event
}

// start starts a worker. It does nothing until it is asked.
func (t *torture) start(cfg workerConfig) (*process, error) {
	p := &process{replies: make(chan string, 16), events: make(map[string]int), changed: make(chan struct{})}
	cmd := exec.Command(t.self)
	cmd.Stderr = t.stderr
	var err error
	if p.Process, err = workers.Start(cmd, cfg, p.hear); err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.workers[p] = true
	t.mu.Unlock()
	go func() {
		<-p.Ended()
		t.mu.Lock()
		delete(t.workers, p)
		t.mu.Unlock()
	}()
	return p, nil
}

// hear takes a line of a worker for an event or a reply.
func (p *process) hear(line string) {
	if kind, ok := strings.CutPrefix(line, eventMark); ok {
		p.mu.Lock()
		p.events[kind]++
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
		return
	}
	select {
	case p.replies <- line:
	default: // nobody asks that much at once
	}
}

// reply returns the answer to a command: nil, or what the worker says went wrong.
func (p *process) reply(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case line := <-p.replies:
		return verdictOf(line)
	case <-p.Ended():
	case <-ctx.Done():
		return fmt.Errorf("waiting for a worker's answer: %w", context.Cause(ctx))
	}
	select {
	case line := <-p.replies: // its last word
		return verdictOf(line)
	default:
		return workers.ErrEnded
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
	if err := p.Say(command); err != nil {
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
		case <-p.Ended():
			return fmt.Errorf("waiting for the event %q: %w", kind, workers.ErrEnded)
		case <-ctx.Done():
			return fmt.Errorf("waiting for the event %q: %w", kind, context.Cause(ctx))
		}
	}
}

// wait returns the exit code of a worker that is about to end.
func (p *process) wait(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.Wait(ctx)
}
