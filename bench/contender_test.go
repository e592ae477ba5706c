package bench_test

import "testing"

// The names of the contenders; package bench says what they stand for.
const (
	evertoken     = "evertoken"
	evertokenPool = "evertoken-pool"
	xoauth2       = "x-oauth2"
	cloudAuth     = "cloud-auth"
)

// An op does a benchmark's work once and returns the token it got.
type op func() (token string, err error)

// A contender is one library at one benchmark's work. open prepares it, with what
// it has to give back registered as tb.Cleanup.
type contender struct {
	name string
	open func(tb testing.TB) op
}

// measure runs the contenders one after another, each on one goroutine.
func measure(b *testing.B, contenders []contender) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			work := c.open(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := work(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// measureParallel runs the contenders one after another, each on as many
// goroutines as there are processors, all of which share what open returned.
func measureParallel(b *testing.B, contenders []contender) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			work := c.open(b)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := work(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// mustWork does the work once and returns the token.
func mustWork(tb testing.TB, work op) string {
	tb.Helper()
	token, err := work()
	if err != nil {
		tb.Fatal(err)
	}
	return token
}
