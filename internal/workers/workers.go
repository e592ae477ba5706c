// Package workers has a program start itself again, as processes that work for it.
// Each is given a value that says what to be, is told what to do by lines on its
// standard input, and tells what came of it by lines on its standard output. What the
// lines say is up to the program.
//
// Commands and tests do so to see what becomes of sessions when processes are killed
// or stopped.
package workers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// env makes a process a worker. It holds what the worker is to be, as JSON.
const env = "EVERTOKEN_WORKER"

// Inside reports whether this process is a worker.
func Inside() bool { return os.Getenv(env) != "" }

// Config reads what this worker is to be into cfg, a pointer to what [Start] was given.
func Config(cfg any) error { return json.Unmarshal([]byte(os.Getenv(env)), cfg) }

// ErrEnded means that a worker has ended before it did what was waited for.
var ErrEnded = errors.New("the process has ended")

// A Process is a worker, seen from the process that has started it. All methods are
// safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd // cmd.ProcessState is set once ended is closed
	stdin io.WriteCloser
	ended chan struct{}
}

// Start starts cmd, which must run this program, as a worker that is to be cfg, any
// value that JSON can carry. It calls hear with each line the worker prints, one
// after another, on a goroutine of its own, and never after the worker has ended.
// Standard input ends with this process.
func Start(cmd *exec.Cmd, cfg any, hear func(line string)) (*Process, error) {
	value, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	// Without the option the race detector holds up every exit for a second.
	cmd.Env = append(cmd.Environ(), env+"="+string(value), "GORACE=atexit_sleep_ms=0")
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
	p := &Process{cmd, stdin, make(chan struct{})}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			hear(lines.Text())
		}
		_ = cmd.Wait() // how it ended is in ProcessState
	}()
	return p, nil
}

// Say writes a line to the worker. Success does not mean that the worker reads it.
func (p *Process) Say(line string) error {
	_, err := io.WriteString(p.stdin, line+"\n")
	return err
}

// Signal sends a signal to the worker.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Pid returns the worker's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended returns a channel that is closed when the worker has ended and all its lines
// are heard.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits until the worker has ended, and returns its exit code: -1 if a signal
// ended it.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for a worker to end: %w", context.Cause(ctx))
	}
}

// Kill ends the worker by SIGKILL, and returns when it is gone. It may have ended
// by itself.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
