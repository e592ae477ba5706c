//go:build darwin || freebsd || netbsd || openbsd

package place

import "golang.org/x/sys/unix"

// machine returns the number of the machine's hardware.
func machine() string {
	for _, name := range []string{"kern.uuid", "kern.hostuuid", "hw.uuid"} {
		if id, err := unix.Sysctl(name); err == nil && id != "" {
			return id
		}
	}
	return ""
}
