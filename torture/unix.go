//go:build unix

package main

import (
	"os/exec"
	"os/signal"
	"syscall"
)

const haveSignals = true

// ownGroup puts a worker into a process group of its own: Ctrl-C is for the
// command, which then ends its workers in order. Should the command itself be
// killed, workers that run see the end of their standard input, and the kernel
// wakes those that are stopped and hangs up, as their group has lost its last
// relative.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// halt stops a worker where it is.
func (p *process) halt() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// resume lets a halted worker go on.
func (p *process) resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// limitFiles makes writes fail beyond the given size of a file; below zero all
// sizes are allowed again.
func limitFiles(bytes int64) error {
	signal.Ignore(syscall.SIGXFSZ) // which would end the process
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if bytes >= 0 {
		setLimit(&limit.Cur, bytes)
	}
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

// setLimit bridges the types that systems have for limits.
func setLimit[T int64 | uint64](limit *T, bytes int64) { *limit = T(bytes) }
