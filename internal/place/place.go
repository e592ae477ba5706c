// Package place names the directory of a machine that a program keeps sessions in, so that
// a session can tell whether it was copied there from elsewhere.
package place

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Of returns a name for a directory of this machine: a fingerprint, which tells a reader
// neither the directory nor the machine. It is empty where machines have no number, as in
// many containers, and then nothing can be told.
func Of(dir string) string {
	id := strings.TrimSpace(machine())
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("evertoken place\n" + id + "\n" + dir))
	return hex.EncodeToString(sum[:8])
}
