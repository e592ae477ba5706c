//go:build unix

package bench_test

import (
	"syscall"
	"time"
)

// cpuTime returns the CPU time that the program has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for bad arguments only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
