//go:build unix

package worker

import (
	"os/signal"
	"syscall"
)

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

// limitOpenFiles makes opening files and sockets fail; those that are open stay so.
func limitOpenFiles(none bool) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if none {
		setLimit(&limit.Cur, 0)
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// setLimit bridges the types that systems have for limits.
func setLimit[T int64 | uint64](limit *T, bytes int64) { *limit = T(bytes) }
