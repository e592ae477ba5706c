//go:build !unix

package main

import (
	"errors"
	"os/exec"
)

const haveSignals = false

func ownGroup(*exec.Cmd) {}

func (p *process) halt() error   { return errors.ErrUnsupported }
func (p *process) resume() error { return errors.ErrUnsupported }

func limitFiles(int64) error { return errors.ErrUnsupported }
