//go:build !unix

package main

import "errors"

const haveSignals = false

func (p *process) halt() error   { return errors.ErrUnsupported }
func (p *process) resume() error { return errors.ErrUnsupported }

func limitFiles(int64) error { return errors.ErrUnsupported }
