package disk

import "syscall"

// mountSmall mounts a file system of 128 KiB at dir: room for one session many
// times over, and filled at once. It needs the privilege to mount. A command that is
// killed itself leaves it mounted.
func mountSmall(dir string) (unmount func(), err error) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "size=128k,mode=0700"); err != nil {
		return nil, err
	}
	return func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }, nil
}
