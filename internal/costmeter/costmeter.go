// Package costmeter says what a call costs, for tests of what strangers can make it cost.
// It counts bytes and not time: a count is the same on a machine that is busy.
package costmeter

import (
	"runtime"
	"testing"
)

// A Limit is how much a parser may allocate for an input: PerByte bytes for each of the
// input's, and Fixed besides.
type Limit struct{ PerByte, Fixed uint64 }

// runs is how often parse may run before its cost counts as too high: other goroutines of
// the process are counted too, and rarely allocate during every run.
const runs = 3

// Check runs parse and reports to t if it allocates more for size bytes of input than the
// limit allows, in each of three runs. One run within the limit is enough.
func Check(t testing.TB, name string, size int, limit Limit, parse func()) {
	t.Helper()
	most := limit.PerByte*uint64(size) + limit.Fixed
	var got uint64
	for range runs {
		if got = Allocated(parse); got <= most {
			return
		}
	}
	t.Errorf("%s: %d bytes of input allocate %d (%.1f each); want at most %d", name, size, got, float64(got)/float64(max(size, 1)), most)
}

// Allocated runs f once and returns how many bytes the process allocated meanwhile, whether
// it keeps them or not.
func Allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
