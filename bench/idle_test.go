package bench_test

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// BenchmarkIdleSession opens 10,000 sessions that each have to refresh at once,
// and weighs them when they are at rest. All its numbers are per session: time,
// bytes and allocations of opening it and refreshing once, what stays in memory
// as live heap and goroutine stacks (B/session), and the goroutines that stay
// (goroutines/session). What a program has once for all of its sessions (client,
// configuration) is shared by them.
func BenchmarkIdleSession(b *testing.B) {
	const sessions = 10_000
	for _, c := range idlers() {
		b.Run(c.name, func(b *testing.B) {
			var sum weight
			rounds := 0
			for b.Loop() {
				sum.add(weigh(b, c, sessions))
				rounds++
			}
			per := float64(rounds * sessions)
			b.ReportMetric(float64(sum.elapsed)/per, "ns/op")
			b.ReportMetric(sum.allocatedBytes/per, "B/op")
			b.ReportMetric(sum.allocations/per, "allocs/op")
			b.ReportMetric(sum.retainedBytes/per, "B/session")
			b.ReportMetric(sum.goroutines/per, "goroutines/session")
		})
	}
}

// An idler opens sessions that refresh once and then have nothing to do.
type idler struct {
	name string
	with func(s service) opener
}

// An opener opens the session of a refresh token. It returns its first access
// token and the session, which is kept reachable and, if it is a stopper, stopped
// in the end.
type opener func(refreshToken string) (token string, session any, err error)

type stopper interface{ Stop() }

func idlers() []idler {
	return []idler{
		{evertoken, func(s service) opener {
			client := s.evertoken()
			return func(refreshToken string) (string, any, error) {
				m := refresh.NewManager(refresh.Config{OAuthClient: client})
				err := m.Start(context.Background(), &oauth.TokenPair{RefreshToken: refreshToken})
				if err != nil {
					return "", nil, err
				}
				token, err := tokenOf(m)()
				return token, m, err
			}
		}},
		{evertokenPool, func(s service) opener {
			pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: s.evertoken()}})
			if err := pool.Start(context.Background()); err != nil {
				panic(err)
			}
			return func(refreshToken string) (string, any, error) {
				m, err := pool.Add(context.Background(), refreshToken, &oauth.TokenPair{RefreshToken: refreshToken})
				if err != nil {
					return "", nil, err
				}
				pair, err := m.TokenContext(context.Background())
				if err != nil {
					return "", nil, err
				}
				return pair.AccessToken, pooled{m, pool}, nil
			}
		}},
		{xoauth2, func(s service) opener {
			ctx, cfg := s.xoauth2()
			return func(refreshToken string) (string, any, error) {
				source := cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken})
				token, err := tokenOf(source)()
				return token, source, err
			}
		}},
		{cloudAuth, func(s service) opener {
			return func(refreshToken string) (string, any, error) {
				provider, err := s.cloudAuth(refreshToken)
				if err != nil {
					return "", nil, err
				}
				token, err := providedBy(provider)()
				return token, provider, err
			}
		}},
	}
}

// A pooled is a session whose pool ends with it.
type pooled struct {
	*refresh.Manager
	pool *refresh.Pool
}

func (p pooled) Stop() { p.pool.Stop() }

// A weight is what some sessions cost together.
type weight struct {
	elapsed                     time.Duration
	allocatedBytes, allocations float64
	retainedBytes, goroutines   float64
}

func (w *weight) add(x weight) {
	w.elapsed += x.elapsed
	w.allocatedBytes += x.allocatedBytes
	w.allocations += x.allocations
	w.retainedBytes += x.retainedBytes
	w.goroutines += x.goroutines
}

// weigh opens n sessions, measures them, and ends them.
func weigh(tb testing.TB, c idler, n int) weight {
	tb.Helper()
	server := new(endpoint)
	openSession, sessions := c.with(server.service()), make([]any, n)
	before, begun := measured(), time.Now()
	for i := range sessions {
		var err error
		if _, sessions[i], err = openSession("first refresh token " + strconv.Itoa(i)); err != nil {
			tb.Fatal(err)
		}
	}
	elapsed := time.Since(begun)
	rest()
	after := measured()
	for _, s := range sessions {
		if s, ok := s.(stopper); ok {
			s.Stop()
		}
	}
	if got := server.requests.Load(); got != int64(n) {
		tb.Fatalf("%s: %d sessions refreshed %d times; want once each", c.name, n, got)
	}
	return weight{
		elapsed:        elapsed,
		allocatedBytes: float64(after.TotalAlloc - before.TotalAlloc),
		allocations:    float64(after.Mallocs - before.Mallocs),
		retainedBytes:  float64(after.HeapAlloc+after.StackInuse) - float64(before.HeapAlloc+before.StackInuse),
		goroutines:     float64(after.goroutines - before.goroutines),
	}
}

type reading struct {
	runtime.MemStats
	goroutines int
}

// measured returns what lives after a collection. The first one frees the stacks
// of goroutines that have ended and lets finalizers run, the second one what
// those held.
func measured() reading {
	runtime.GC()
	runtime.GC()
	r := reading{goroutines: runtime.NumGoroutine()}
	runtime.ReadMemStats(&r.MemStats)
	return r
}

// rest waits until goroutines that only finish something have ended: their number
// stays the same for a tenth of a second.
func rest() {
	for last, same := -1, 0; same < 10; time.Sleep(10 * time.Millisecond) {
		if now := runtime.NumGoroutine(); now == last {
			same++
		} else {
			last, same = now, 0
		}
	}
}

func TestIdleSessionsHaveRefreshedOnce(t *testing.T) {
	for _, c := range idlers() {
		t.Run(c.name, func(t *testing.T) {
			server := new(endpoint)
			openSession := c.with(server.service())
			token, session, err := openSession("first refresh token")
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := session.(stopper); ok {
				defer s.Stop()
			}
			if got := server.requests.Load(); got != 1 || len(token) != len(livingPair().AccessToken)+1 {
				t.Errorf("%d requests and a token of %d bytes; want 1 request and the server's first token", got, len(token))
			}
		})
	}
}
