//go:build unix

package workers

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a worker into a process group of its own: Ctrl-C is for the
// program, which then ends its workers in order. Should the program itself be
// killed, workers that run see the end of their standard input, and the kernel
// wakes those that are stopped and hangs up, as their group has lost its last
// relative.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
