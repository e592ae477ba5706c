// Package process starts workers and talks to them.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/workers"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// A Process is a worker, seen from here. Commands are given by one goroutine at a time.
type Process struct {
	*workers.Process
	replies chan reply
	asked   time.Time     // when the last command was given
	took    time.Duration // until the last answer

	mu      sync.Mutex // guards what follows
	events  map[string]int
	changed chan struct{} // closed and replaced with each event
}

// A reply is a line that answers a command.
type reply struct {
	line string
	at   time.Time
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
	p := &Process{replies: make(chan reply, 16), events: make(map[string]int), changed: make(chan struct{})}
	cmd := exec.Command(g.Self)
	cmd.Stderr = g.Stderr
	cmd.Env = Environ(cfg.Home)
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

// Environ returns the environment of a process whose user has the given home
// and who sits before it: in a CI job (CI is set) the command asks for no login.
func Environ(home string) []string {
	return append(os.Environ(), "CI=", "HOME="+home, "XDG_STATE_HOME=", "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "XDG_DATA_HOME=", "XDG_RUNTIME_DIR=")
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
	case p.replies <- reply{line, time.Now()}:
	default: // the command never asks that much at once
	}
}

// Say gives a command.
func (p *Process) Say(command string) error {
	p.asked = time.Now()
	return p.Process.Say(command)
}

// Reply returns the answer to a command: nil, or what the worker says went wrong.
func (p *Process) Reply(ctx context.Context) error { return p.ReplyWith(ctx, worker.Patience, nil) }

// ReplyWith returns the answer to a command that may take so long, and what the worker
// has measured.
func (p *Process) ReplyWith(ctx context.Context, patience time.Duration, measured any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case r := <-p.replies:
		return p.verdict(r, measured)
	case <-p.Ended():
	case <-ctx.Done():
		p.took = time.Since(p.asked)
		return fmt.Errorf("waiting for a worker's answer: %w", context.Cause(ctx))
	}
	select {
	case r := <-p.replies: // its last word
		return p.verdict(r, measured)
	default:
		return workers.ErrEnded
	}
}

// verdict reads an answer.
func (p *Process) verdict(r reply, measured any) error {
	p.took = r.at.Sub(p.asked)
	data, ok := strings.CutPrefix(r.line, worker.Done)
	switch {
	case !ok:
		return errors.New(r.line)
	case measured == nil:
		return nil
	}
	return json.Unmarshal([]byte(data), measured)
}

// Took returns how long the last answer took.
func (p *Process) Took() time.Duration { return p.took }

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
