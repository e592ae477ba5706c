package tokenstore

import (
	"math/rand/v2"
	"time"
)

// maxVersion is the greatest version that every place keeps exactly: JSON
// readers and Redis scripts hold numbers as float64.
const maxVersion = 1<<53 - 1

// NextVersion returns the version of the record that replaces one with version
// prev; for a new record prev is zero. Stores call it in their Set.
//
// A replaced record counts up by one. A new one does not begin at 1, but at the
// Unix time in seconds, shifted left by 20 bits that are filled at random.
// Otherwise a session that was deleted and created again would soon carry a
// version that a slow process still remembers from before the delete, and that
// process's older pair would pass the comparison (the ABA problem). A million
// changes in a second do not happen, so a session created in another second
// than the one before it repeats no version; within one second the random bits
// leave a chance of one in a million. The numbers stay below 2^53 until the
// year 2242.
//
// Safe for concurrent use.
func NextVersion(prev uint64) uint64 {
	if prev != 0 {
		return prev + 1
	}
	return uint64(time.Now().Unix())<<20 | uint64(rand.Uint32N(1<<20))
}
