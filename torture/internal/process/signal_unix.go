//go:build unix

package process

import (
	"os/exec"
	"syscall"
)

// HaveSignals reports whether the system has the signals of Unix.
const HaveSignals = true

// Halt stops a worker where it is.
func (p *Process) Halt() error { return p.Signal(syscall.SIGSTOP) }

// Resume lets a halted worker go on.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// OwnGroup puts a command into a process group of its own: Ctrl-C is for the process
// that runs it, and waits for it.
func OwnGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
