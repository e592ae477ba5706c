// Package costmeter says what a call costs, for tests of what strangers can make it cost.
// It measures no time that passes, which a busy machine stretches: it counts bytes, and
// compares how long a processor works for a long input and for a short one.
package costmeter

import (
	"math"
	"runtime"
	"testing"
	"time"
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

const (
	shorter = 8           // how many times shorter the short input is,
	most    = 3 * shorter // and how many times less work it may be; it is 64 times less if that grows with the square of the length
	tries   = 10          // how often the two are compared at most; what the processor does for others beside makes either look like more
)

// Grows reports to t if the work that a parser does for an input of size bytes grows much
// faster than its length. parser returns what parses an input of so many bytes, or nearly.
// Systems other than Linux do not tell how long a processor works for a thread; there it
// finds nothing.
func Grows(t testing.TB, name string, size int, parser func(size int) (parse func())) {
	t.Helper()
	long, short := parser(size), parser(size/shorter)
	took, less := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for i := range tries {
		took, less = min(took, computed(long)), min(less, computed(short))
		if i > 0 && took <= most*less {
			return
		}
	}
	t.Errorf("%s: %d bytes of input keep a processor busy for %v, and %d for %v: %d times as long, want %d at most",
		name, size, took, size/shorter, less, took/max(less, 1), most)
}

// computed runs f once and returns how long a processor has worked for it, in this
// goroutine.
func computed(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	f()
	return threadTime() - before
}
