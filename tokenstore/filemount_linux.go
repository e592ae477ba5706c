package tokenstore

import "golang.org/x/sys/unix"

// isMount reports whether the file at path is known to be a mount of its own, which can
// be written, but not replaced.
func isMount(path string) bool {
	var st unix.Statx_t
	_ = unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st) // of which st says nothing if it fails
	return st.Attributes_mask&st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
