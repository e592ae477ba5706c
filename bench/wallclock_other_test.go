//go:build !(linux && amd64)

package bench_test

import "time"

// wallClock returns the nanoseconds since 1970.
func wallClock() int64 { return time.Now().UnixNano() }
