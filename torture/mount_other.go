//go:build !linux

package main

import "errors"

// mountSmall is for Linux.
func mountSmall(string) (unmount func(), err error) { return nil, errors.ErrUnsupported }
