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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a worker, seen from here.
type process struct {
	host  int
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ready chan struct{} // closed when its sessions are open
	ended chan struct{} // closed when it has said all

	mu       sync.Mutex // guards what follows; read freely once ended is closed
	counts   counts
	done     bool
	failures []string // why calls with a living token were not served
	trouble  []string // what else breaks a promise
}

// start starts a worker on a host of the network.
func start(n network, a *authority, cfg workerConfig, self string) (*process, error) {
	env, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	cmd := n.command(cfg.Host, self)
	cmd.Env = append(os.Environ(), workerEnv+"="+string(env), "GORACE=atexit_sleep_ms=0", "GOMEMLIMIT=256MiB")
	cmd.Stderr = os.Stderr
	// Ctrl-C is for the command, which then ends its workers in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
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
	p := &process{host: cfg.Host, cmd: cmd, stdin: stdin, ready: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			what, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
			p.hear(a, what, rest)
		}
		_ = cmd.Wait() // whether it was done is in what it said
	}()
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
		a.mu.Lock()
		a.ledger.announce(rest, p.host)
		a.mu.Unlock()
	case saidFailed:
		p.failures = append(p.failures, rest)
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
	case <-p.ended:
		return fmt.Errorf("a worker ended: %q", p.trouble)
	case <-ctx.Done():
		return fmt.Errorf("waiting for a worker: %w", context.Cause(ctx))
	}
}

// finish has the worker end in order.
func (p *process) finish(ctx context.Context) error {
	if _, err := io.WriteString(p.stdin, "end\n"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		return fmt.Errorf("waiting for a worker to end: %w", context.Cause(ctx))
	}
	if !p.done {
		return errors.New("a worker ended before its time")
	}
	return nil
}

// kill ends a worker that may be gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
