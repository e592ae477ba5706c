// Package costmeter says what a call costs, for tests of what strangers can make it cost.
// It judges by no time that passes, which a busy machine stretches: it counts bytes, and what
// a processor works for a call counts only where it is much, and far more than in proportion to the input.
package costmeter

import (
	"math"
	"runtime"
	"runtime/debug"
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
	harmless = 250 * time.Millisecond // of a processor, which few of the tests' inputs reach
	shorter  = 64                     // how many times shorter the short input is,
	most     = 16 * shorter           // and how many times less work it may be; 4096 times less if the work grows with the square of the length
	tries    = 5                      // how often the two are compared at most; what the processor does for others beside makes either look like more
)

// CheckWork reports to t if a processor works long for an input of size bytes, and far longer than
// in proportion to a short one. parser returns what parses an input of so many bytes, or nearly.
// The room is wide: how long a processor takes for the same work differs by several times, with
// its caches, the collector and fresh memory. Systems other than Linux do not tell what a processor works for a thread; there it finds nothing.
func CheckWork(t testing.TB, name string, size int, parser func(size int) (parse func())) {
	t.Helper()
	long, short := parser(size), parser(size/shorter)
	took, less := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for range tries {
		if took = min(took, worked(long)); took <= harmless {
			return
		}
		if less = min(less, worked(short)); took <= most*less {
			return
		}
	}
	t.Errorf("%s: a processor works %v for %d bytes of input, and %v for %d: %d times as long, want %d at most",
		name, took, size, less, size/shorter, took/max(less, 1), most)
}

// worked runs f once, without the collector, and returns how long a processor has worked for
// it in this goroutine.
func worked(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := threadTime()
	f()
	return threadTime() - before
}
