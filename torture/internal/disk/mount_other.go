//go:build !linux

package disk

import "errors"

// mountSmall is for Linux.
func mountSmall(string) (unmount func(), err error) { return nil, errors.ErrUnsupported }
