package ownfile

import (
	"io/fs"
	"os"
	"syscall"
)

const (
	// unwaiting is nothing: pipes have places of their own.
	unwaiting = 0
	// unfollowed opens a link instead of what it leads to.
	unfollowed = syscall.FILE_FLAG_OPEN_REPARSE_POINT
)

const lockAccess = os.O_RDONLY

// On Windows a directory's permissions, which files inherit, say who may do what.

func userID() int                     { return -1 }
func groupID() int                    { return -1 }
func userName() string                { return "" }
func homeDir() string                 { return "" }
func ownerOf(fs.FileInfo) (int, bool) { return 0, false }
func groupOf(fs.FileInfo) (int, bool) { return 0, false }
func names(fs.FileInfo) int           { return 1 }

// ID returns nothing: Windows tells files apart only once they are open, and dates them to
// 100 nanoseconds.
func ID(fs.FileInfo) uint64 { return 0 }
