// Package process starts workers and talks to them.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/evertoken/evertoken/internal/workers"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// A Process is a worker, seen from here.
type Process struct {
	*workers.Process
	replies chan string

	mu      sync.Mutex // guards what follows
	events  map[string]int
	changed chan struct{} // closed and replaced with each event
}

// A Group is all workers of a run.
type Group struct {
	Self   string   // the program that is also the worker
	Stderr *os.File // of the workers; they hold it as long as they live

	mu     sync.Mutex // guards living
	living map[*Process]bool
}

// Kill ends what still runs.
func (g *Group) Kill() {
	g.mu.Lock()
	var left []*Process
	for p := range g.living {
		left = append(left, p)
	}
	g.mu.Unlock()
	for _, p := range left {
		p.Kill()
	}
}

// Start starts a worker. It does nothing until it is asked.
func (g *Group) Start(cfg worker.Config) (*Process, error) {
	p := &Process{replies: make(chan string, 16), events: make(map[string]int), changed: make(chan struct{})}
	cmd := exec.Command(g.Self)
	cmd.Stderr = g.Stderr
	var err error
	if p.Process, err = workers.Start(cmd, cfg, p.hear); err != nil {
		return nil, err
	}
	g.mu.Lock()
	if g.living == nil {
		g.living = make(map[*Process]bool)
	}
	g.living[p] = true
	g.mu.Unlock()
	go func() {
		<-p.Ended()
		g.mu.Lock()
		delete(g.living, p)
		g.mu.Unlock()
	}()
	return p, nil
}

// hear takes a line of a worker for an event or a reply.
func (p *Process) hear(line string) {
	if kind, ok := strings.CutPrefix(line, worker.EventMark); ok {
		p.mu.Lock()
		p.events[kind]++
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
		return
	}
	select {
	case p.replies <- line:
	default: // the command never asks that much at once
	}
}

// Reply returns the answer to a command: nil, or what the worker says went wrong.
func (p *Process) Reply(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, worker.Patience)
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
	if line == worker.Done {
		return nil
	}
	return errors.New(line)
}

// Ask gives a command and returns the answer.
func (p *Process) Ask(ctx context.Context, command string) error {
	if err := p.Say(command); err != nil {
		return err
	}
	return p.Reply(ctx)
}

// Seen returns how many events of a kind the worker has told.
func (p *Process) Seen(kind string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events[kind]
}

// Await returns when the worker has told of n events of a kind.
func (p *Process) Await(ctx context.Context, kind string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, worker.Patience)
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

// ExitCode returns the exit code of a worker that is about to end.
func (p *Process) ExitCode(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, worker.Patience)
	defer cancel()
	return p.Wait(ctx)
}
