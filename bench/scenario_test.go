package bench_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The scenarios below count: requests at the server, callers who waited, callers
// who got an error. They run in real time, since most contenders hold a mutex
// while they ask the server, and fake time would stand still; but all contenders
// go through the same seconds together, and what a busy machine does to one it
// does to all. A call that need not wait takes less than a microsecond, so it is
// seldom interrupted, and the callers pause between calls to keep it so.

const (
	crowdSize = 64
	pause     = 5 * time.Millisecond
	stalled   = 10 * time.Millisecond // a caller who waited longer
)

// A report is what a scenario counted, by unit.
type report map[string]float64

// A scenario tries one cache.
type scenario func(tb testing.TB, c cache) report

// observe runs a scenario with all caches at once and reports what it counted.
func observe(b *testing.B, try scenario) { observeOf(b, caches(), try) }

func observeOf(b *testing.B, list []cache, try scenario) {
	reports := make([]report, len(list))
	var wg sync.WaitGroup
	for i, c := range list {
		wg.Go(func() { reports[i] = try(b, c) })
	}
	wg.Wait()
	for i, c := range list {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() { // it is over; there is nothing to repeat
			}
			b.ReportMetric(0, "ns/op")
			for unit, n := range reports[i] {
				b.ReportMetric(n, unit)
			}
		})
	}
}

// BenchmarkRenewal has 64 callers use a session for ten seconds whose tokens live
// for 200 ms, at a server that takes 50 ms to answer: stalls is how many times one
// of them waited for more than 10 ms.
func BenchmarkRenewal(b *testing.B) { observe(b, renewal) }

func renewal(tb testing.TB, c cache) report {
	s := &authServer{latency: 50 * time.Millisecond, life: 200 * time.Millisecond}
	crowd := use(tb, c.open(tb, s), 10*time.Second)
	return report{
		"stalls":   float64(crowd.stalls.Load()),
		"errors":   float64(crowd.errors.Load()),
		"requests": float64(s.arrived(0, time.Hour)),
	}
}

// BenchmarkOutage has 64 callers use a token that is due to be renewed and lives
// for three seconds more, while the server answers 503 for two.
func BenchmarkOutage(b *testing.B) { observe(b, outage) }

func outage(tb testing.TB, c cache) report {
	const down, left = 2 * time.Second, 3 * time.Second
	s := &authServer{latency: 5 * time.Millisecond, life: 9 * time.Second, used: 9*time.Second - left,
		trouble: func(since time.Duration) (int, time.Duration) {
			if since < down {
				return 503, 0
			}
			return 0, 0
		}}
	crowd := use(tb, c.open(tb, s), down)
	return report{"errors": float64(crowd.errors.Load()), "requests": float64(s.arrived(0, down))}
}

// BenchmarkRetryAfter has 64 callers use such a token while the server answers 429
// and wants to be left alone for a second: requests is how many come within it.
func BenchmarkRetryAfter(b *testing.B) { observe(b, retryAfter) }

func retryAfter(tb testing.TB, c cache) report {
	const window = time.Second
	var refused atomic.Int64 // when the first one was told, since the first token
	s := &authServer{latency: 5 * time.Millisecond, life: 9 * time.Second, used: 6 * time.Second,
		trouble: func(since time.Duration) (int, time.Duration) {
			if refused.CompareAndSwap(0, int64(since)) || since < time.Duration(refused.Load())+window {
				return 429, window
			}
			return 0, 0
		}}
	crowd := use(tb, c.open(tb, s), window)
	told := time.Duration(refused.Load())
	return report{"errors": float64(crowd.errors.Load()), "requests": float64(s.arrived(told, told+window))}
}

// BenchmarkSlowServer has 64 callers use a session whose tokens live for 900 ms, so
// that they are renewed 300 ms ahead, at a server that takes 400 ms. overlaps is
// how many requests arrived during another one; stalls is how many callers waited
// once the third token was there, when it is known how slow the server is.
func BenchmarkSlowServer(b *testing.B) { observe(b, slowServer) }

func slowServer(tb testing.TB, c cache) report {
	s := &authServer{latency: 400 * time.Millisecond, life: 900 * time.Millisecond}
	get := c.open(tb, s)
	use(tb, get, 2*s.life)
	crowd := use(tb, get, 4*s.life)
	return report{"stalls": float64(crowd.stalls.Load()), "overlaps": float64(s.overlapped())}
}

// BenchmarkCrowd has 10,000 goroutines ask for a token at once when there is none.
func BenchmarkCrowd(b *testing.B) { observe(b, crowdAtOnce) }

func crowdAtOnce(tb testing.TB, c cache) report {
	s := &authServer{latency: 50 * time.Millisecond, life: time.Hour}
	get := c.open(tb, s)
	var all tally
	var wg sync.WaitGroup
	for range 10_000 {
		wg.Go(func() { all.call(context.Background(), get) })
	}
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return report{"requests": float64(len(s.requests)), "errors": float64(all.errors.Load())}
}

// BenchmarkDeadline has a caller with 50 ms to spare arrive while others wait for
// a server that takes 480 ms. back-ms is when it is back; errors is how many of the
// others got no token.
func BenchmarkDeadline(b *testing.B) { observe(b, deadline) }

func deadline(tb testing.TB, c cache) report {
	s := &authServer{latency: 480 * time.Millisecond, life: time.Hour}
	get := c.open(tb, s)
	var patient tally
	var wg sync.WaitGroup
	for range crowdSize {
		wg.Go(func() { patient.call(context.Background(), get) })
	}
	time.Sleep(10 * time.Millisecond) // they wait
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, _ = get(ctx)
	back := time.Since(begun)
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return report{
		"back-ms":  float64(back) / float64(time.Millisecond),
		"errors":   float64(patient.errors.Load()),
		"requests": float64(len(s.requests)),
	}
}

// A tally counts what happens to callers.
type tally struct{ stalls, errors atomic.Int64 }

// call asks once.
func (t *tally) call(ctx context.Context, get caller) {
	begun := time.Now()
	token, err := get(ctx)
	if time.Since(begun) > stalled {
		t.stalls.Add(1)
	}
	if err != nil || token == "" {
		t.errors.Add(1)
	}
}

// use has a crowd use a session that has got its first token.
func use(tb testing.TB, get caller, long time.Duration) *tally {
	if _, err := get(context.Background()); err != nil {
		tb.Error(errors.Join(errors.New("the first token"), err))
	}
	over := time.Now().Add(long)
	all := new(tally)
	var wg sync.WaitGroup
	for i := range crowdSize {
		wg.Go(func() {
			time.Sleep(pause * time.Duration(i) / crowdSize) // not all at the same moment
			for time.Now().Before(over) {
				all.call(context.Background(), get)
				time.Sleep(pause)
			}
		})
	}
	wg.Wait()
	return all
}

// In fake time there is no noise, and what evertoken does is what is claimed. (The
// others hold a mutex while they ask the server; fake time would stand still.)
func TestEvertokenStallsNobodyAndRepeatsNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		try  scenario
		most report
	}{
		{"renewal", renewal, report{"stalls": 0, "errors": 0, "requests": 90}},
		{"outage", outage, report{"errors": 0, "requests": 5}},
		{"429", retryAfter, report{"errors": 0, "requests": 0}},
		{"slow server", slowServer, report{"overlaps": 0}},
		{"crowd", crowdAtOnce, report{"errors": 0, "requests": 1}},
		{"deadline", deadline, report{"back-ms": 50, "errors": 0, "requests": 1}},
		{"recovery", recovery, report{"p90-ms": 2000, "max-ms": 3000, "requests": 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := c.try(t, cache{evertoken, openEvertoken})
				for unit, most := range c.most {
					if got[unit] > most {
						t.Errorf("%v %s; want at most %v", got[unit], unit, most)
					}
				}
			})
		})
	}
}
