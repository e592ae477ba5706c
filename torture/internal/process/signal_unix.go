//go:build unix

package process

import "syscall"

// HaveSignals reports whether the system has the signals of Unix.
const HaveSignals = true

// Halt stops a worker where it is.
func (p *Process) Halt() error { return p.Signal(syscall.SIGSTOP) }

// Resume lets a halted worker go on.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }
