package main

import "golang.org/x/sys/unix"

// forbidDumps keeps the tokens in memory out of core dumps, whichever program writes those, and out
// of reach of debuggers of other programs of this user. What the command starts, such as
// a browser, is not affected.
func forbidDumps() {
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // without it, all works as well
}

// forbidChildrensDumps does so for the programs that the command starts from now on: being
// dumpable comes back with each new program, and the limit stays. A limit of 1 is too small
// for a file, and the kernel takes it as a no where dumps are handed to a program, which it
// does in spite of a limit of 0 (its fs/coredump.c).
func forbidChildrensDumps() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
}
