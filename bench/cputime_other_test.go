//go:build !unix

package bench_test

import "time"

// cpuTime is not known here: an idle program counts as using nothing.
func cpuTime() time.Duration { return 0 }
