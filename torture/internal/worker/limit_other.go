//go:build !unix

package worker

import "errors"

// limitFiles is for Unix.
func limitFiles(int64) error { return errors.ErrUnsupported }

// limitOpenFiles is for Unix.
func limitOpenFiles(bool) error { return errors.ErrUnsupported }
