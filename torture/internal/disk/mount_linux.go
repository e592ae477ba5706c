package disk

import "syscall"

const plain = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC

// mountSmall mounts a file system of 128 KiB at dir: room for one session many
// times over, and filled at once. It needs the privilege to mount. A command that is
// killed itself leaves it mounted.
func mountSmall(dir string) (remove func(), err error) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", plain, "size=128k,nr_inodes=64,mode=0700"); err != nil {
		return nil, err
	}
	return func() { _ = unmount(dir) }, nil
}

// remount makes the file system read-only, or lets it be written again.
func remount(dir string, readOnly bool) error {
	flags := uintptr(plain | syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	return patiently(func() error { return syscall.Mount("", dir, "", flags, "") })
}

// mountOver makes a file a mount point, as containers do with single files: it can be
// written, but no other file can take its place.
func mountOver(file string) error { return syscall.Mount(file, file, "", syscall.MS_BIND, "") }

// Bind shows the directory from at the empty directory at, until unmounted.
func Bind(from, at string) (away func() error, err error) {
	if err := syscall.Mount(from, at, "", syscall.MS_BIND, ""); err != nil {
		return nil, err
	}
	return func() error { return unmount(at) }, nil
}

func unmount(path string) error { return syscall.Unmount(path, syscall.MNT_DETACH) }
