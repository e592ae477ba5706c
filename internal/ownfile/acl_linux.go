package ownfile

import "syscall"

// hasList reports whether what is at path has an access control list that names users or
// groups. Then the group's bits in its mode are what all of these may do at most, and not what
// its group may.
func hasList(path string) bool {
	n, err := syscall.Getxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}
