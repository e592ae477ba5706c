//go:build unix && !linux

package main

import "golang.org/x/sys/unix"

// forbidDumps keeps the tokens in memory out of core dumps. What the command starts, such
// as a browser, writes none either.
func forbidDumps() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // without it, all works as well
}

// forbidChildrensDumps has nothing to add to that.
func forbidChildrensDumps() {}
