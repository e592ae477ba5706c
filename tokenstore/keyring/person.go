package keyring

import "os"

// inCI reports whether this is an automated build, where a display may exist and
// nobody sits before it.
func inCI() bool {
	ci := os.Getenv("CI")
	return ci != "" && ci != "false"
}
