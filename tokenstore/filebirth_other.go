//go:build !linux && !darwin && !freebsd && !netbsd

package tokenstore

import (
	"io/fs"
	"time"
)

// birth returns nothing: the system does not tell when a file or directory was made, or, as
// Windows, has a number for each that is not used twice; Wine tells another time there.
func birth(string, fs.FileInfo) time.Time { return time.Time{} }
