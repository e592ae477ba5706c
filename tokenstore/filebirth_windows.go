package tokenstore

import (
	"io/fs"
	"syscall"
	"time"
)

// birth returns when a file or directory was made, by its file system's clock; zero if the
// system does not tell.
func birth(_ string, info fs.FileInfo) time.Time {
	data, ok := info.Sys().(*syscall.Win32FileAttributeData)
	if !ok || data.CreationTime == (syscall.Filetime{}) {
		return time.Time{}
	}
	return time.Unix(0, data.CreationTime.Nanoseconds())
}
