//go:build !linux

package disk

import "errors"

// What follows is for Linux.

func mountSmall(string) (remove func(), err error) { return nil, errors.ErrUnsupported }

func remount(string, bool) error { return errors.ErrUnsupported }

func mountOver(string) error { return errors.ErrUnsupported }

func unmount(string) error { return errors.ErrUnsupported }

// Bind is for Linux.
func Bind(_, _ string) (away func() error, err error) { return nil, errors.ErrUnsupported }
