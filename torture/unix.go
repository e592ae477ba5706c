//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

const haveSignals = true

// halt stops a worker where it is.
func (p *process) halt() error { return p.Signal(syscall.SIGSTOP) }

// resume lets a halted worker go on.
func (p *process) resume() error { return p.Signal(syscall.SIGCONT) }

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
