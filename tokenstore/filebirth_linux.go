package tokenstore

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// birth returns when the file or directory at path was made, by its file system's clock; zero
// if the system does not tell. info is what it says otherwise.
func birth(path string, _ fs.FileInfo) time.Time {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
}
