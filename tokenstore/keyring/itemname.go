package keyring

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

const (
	small  = "abcdefghijklmnopqrstuvwxyz"
	digits = "0123456789"

	serviceLetters = small + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + digits + "._-"
	plainLetters   = small + digits + "@._-"
)

// Names of a service's items, which the keyring calls accounts or users. They
// contain no colon, and neither does a service: Windows joins the two with one,
// and ("a:b", "c") is the same item there as ("a", "b:c").
const (
	keyItem   = "sealing-key" // of Open
	indexItem = "sessions"    // of OpenDirect: the names of the sessions

	nothingItem = "nothing" // never exists; asking for it unlocks the keyring and reveals nothing
)

// sessionItem returns the name of the item that holds the session called name.
// Plain names stay readable. All others are hashed: capital letters too, because
// Windows takes "Alice" and "alice" for the same item, and whatever a command
// line might not carry.
func sessionItem(name string) string {
	if len(name) <= 64 && strings.Trim(name, plainLetters) == "" {
		return "session/" + name
	}
	sum := sha256.Sum256([]byte(name))
	return "session/%" + hex.EncodeToString(sum[:])
}

// partItem returns the name of a further item of the value at item.
func partItem(item, slot string, n int) string {
	return item + "/" + slot + "/" + strconv.Itoa(n)
}
