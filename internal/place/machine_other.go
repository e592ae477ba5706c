//go:build !(linux || windows || darwin || freebsd || netbsd || openbsd)

package place

// machine returns nothing: such machines have no number that is known to us.
func machine() string { return "" }
