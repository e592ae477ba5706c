//go:build darwin || freebsd || netbsd

package tokenstore

import (
	"io/fs"
	"syscall"
	"time"
)

// birth returns when a file or directory was made, by its file system's clock; zero if the
// system does not tell.
func birth(_ string, info fs.FileInfo) time.Time {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Birthtimespec.Sec <= 0 {
		return time.Time{}
	}
	return time.Unix(st.Birthtimespec.Unix())
}
