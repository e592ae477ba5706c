package bench_test

import (
	"runtime"
	"testing"
)

// The names of the contenders; package bench says what they stand for.
const (
	evertoken     = "evertoken"
	floor         = "floor"
	xoauth2       = "x-oauth2"
	cloudAuth     = "cloud-auth"
	cloudAuthSync = "cloud-auth-sync"
	awsSDK        = "aws"
	msal          = "msal"
	ticking       = "ticking"
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

// measureParallel runs the contenders one after another, each on eight goroutines
// (or one per processor, if that is more), all of which share what open returned.
func measureParallel(b *testing.B, contenders []contender) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			work := c.open(b)
			b.ReportAllocs()
			b.SetParallelism(max(1, 8/runtime.GOMAXPROCS(0)))
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
