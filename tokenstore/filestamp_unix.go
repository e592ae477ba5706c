//go:build unix

package tokenstore

import (
	"io/fs"
	"syscall"
)

// fileID returns what tells a file from another one with the same name.
func fileID(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}
