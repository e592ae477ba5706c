package keyring

import "os"

// inCI reports whether this is an automated build, where a display may exist
// without a person in front of it.
func inCI() bool {
	ci := os.Getenv("CI")
	return ci != "" && ci != "false"
}
