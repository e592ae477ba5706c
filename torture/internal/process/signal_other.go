//go:build !unix

package process

import (
	"errors"
	"os/exec"
)

// HaveSignals reports whether the system has the signals of Unix.
const HaveSignals = false

// Halt is for Unix.
func (p *Process) Halt() error { return errors.ErrUnsupported }

// Resume is for Unix.
func (p *Process) Resume() error { return errors.ErrUnsupported }

// OwnGroup is for Unix.
func OwnGroup(*exec.Cmd) {}
