package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// cores returns how long the machine's processors have existed and worked, in units
// of the kernel's. Work of others counts too: it is what a run may suffer from.
func cores() (all, busy float64) {
	stat, _ := os.ReadFile("/proc/stat") // every Linux has it
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, field := range strings.Fields(strings.TrimPrefix(line, "cpu")) {
		n, _ := strconv.ParseFloat(field, 64) // the kernel wrote it
		switch i {
		case 3, 4: // idle, also while it waits for a disk
			all += n
		case 0, 1, 2, 5, 6, 7: // those after are counted among these
			all, busy = all+n, busy+n
		}
	}
	return all, busy
}

// goFirst has this process's threads go before others, if that is allowed: it is the
// authorization server, which does not share a machine with its clients elsewhere.
// Threads and processes that it starts inherit that.
func goFirst() {
	threads, _ := filepath.Glob("/proc/self/task/*") // fails for a bad pattern only
	for _, t := range threads {
		id, _ := strconv.Atoi(filepath.Base(t))
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, -10)
	}
}

// goAlong has a process group of a child's go neither before nor after others.
func goAlong(group int) { _ = syscall.Setpriority(syscall.PRIO_PGRP, group, 0) }
