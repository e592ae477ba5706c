//go:build !unix

package worker

import "errors"

// limitFiles is for Unix.
func limitFiles(int64) error { return errors.ErrUnsupported }
