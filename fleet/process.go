package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/workers"
)

// A process is a worker, seen from here.
type process struct {
	*workers.Process
	name  string
	ready chan struct{} // closed when its sessions are open

	mu       sync.Mutex // guards what follows; read freely once it has ended
	counts   counts
	done     bool
	waits    []wait   // of callers
	failures []string // why calls with a living token were not served
	trouble  []string // what else breaks a promise
}

// start starts a worker on a host of the network.
func start(n network, a *authority, cfg workerConfig, self string) (*process, error) {
	p := &process{name: cfg.Name, ready: make(chan struct{})}
	cmd := n.command(cfg.Host, self)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=256MiB")
	cmd.Stderr = os.Stderr
	var err error
	p.Process, err = workers.Start(cmd, cfg, func(line string) {
		what, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		p.hear(a, what, rest)
	})
	if err != nil {
		return nil, err
	}
	goAlong(p.Pid())
	return p, nil
}

// hear takes in one line.
func (p *process) hear(a *authority, what, rest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch what {
	case saidReady:
		close(p.ready)
	case saidSaved:
		if hash, at, ok := strings.Cut(rest, " "); ok {
			a.mu.Lock()
			a.ledger.save(hash, nanos(at))
			a.mu.Unlock()
		}
	case saidBegins:
		a.announce(rest, p.name)
	case saidTook:
		if at, took, ok := strings.Cut(rest, " "); ok {
			d, _ := time.ParseDuration(took) // a worker wrote it
			a.mu.Lock()
			a.ledger.answer(p.name, nanos(at), d)
			a.mu.Unlock()
		}
	case saidFailed:
		p.failures = append(p.failures, rest)
	case saidWaited:
		var w wait
		if json.Unmarshal([]byte(rest), &w) == nil {
			p.waits = append(p.waits, w)
		}
	case saidDone:
		p.done = json.Unmarshal([]byte(rest), &p.counts) == nil
	default:
		p.trouble = append(p.trouble, what+": "+rest)
	}
}

func nanos(text string) time.Time {
	ns, _ := strconv.ParseInt(text, 10, 64) // a worker wrote it
	return time.Unix(0, ns)
}

// await returns when the worker's sessions are open.
func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	select {
	case <-p.ready:
		return nil
	case <-p.Ended():
		return fmt.Errorf("a worker ended: %q", p.trouble)
	case <-ctx.Done():
		return fmt.Errorf("waiting for a worker: %w", context.Cause(ctx))
	}
}

// finish has the worker end in order.
func (p *process) finish(ctx context.Context) error {
	if err := p.Say("end"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	if _, err := p.Wait(ctx); err != nil {
		return err
	}
	if !p.done {
		return errors.New("a worker ended before its time")
	}
	return nil
}
