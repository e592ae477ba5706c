//go:build !unix && !windows

package ownfile

import (
	"io/fs"
	"os"
)

// Systems without links, pipes and users to speak of.
const (
	unwaiting  = 0
	unfollowed = 0
	lockAccess = os.O_RDONLY
)

func userID() int                     { return -1 }
func groupID() int                    { return -1 }
func userName() string                { return "" }
func homeDir() string                 { return "" }
func ownerOf(fs.FileInfo) (int, bool) { return 0, false }
func groupOf(fs.FileInfo) (int, bool) { return 0, false }
func names(fs.FileInfo) int           { return 1 }

// ID returns nothing.
func ID(fs.FileInfo) uint64 { return 0 }
