package bench_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// BenchmarkSessions opens 100,000 sessions that each have to refresh at once, and
// weighs them when they are at rest:
//
//   - ns/session, allocated-B/session: what opening and refreshing one costs;
//   - heap-B/session, stack-B/session: what of it stays, token strings included;
//   - goroutines: how many stay, of all sessions together.
//
// What a program has once for all of its sessions (client, configuration) is
// shared by them. The tokens are opaque, of 43 characters: 256 bits.
func BenchmarkSessions(b *testing.B) { weighEach(b, 100_000, opaqueTokens) }

// BenchmarkSessionsJWT does so with access tokens of 1 KiB, and 20,000 sessions.
func BenchmarkSessionsJWT(b *testing.B) { weighEach(b, 20_000, longTokens) }

func weighEach(b *testing.B, sessions int, shape tokenShape) {
	for _, c := range keepers() {
		b.Run(c.name, func(b *testing.B) {
			w := weigh(b, c, sessions, shape)
			for b.Loop() { // it is weighed; there is nothing to repeat
			}
			per := float64(sessions)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(w.elapsed)/per, "ns/session")
			b.ReportMetric(w.allocated/per, "allocated-B/session")
			b.ReportMetric(w.heap/per, "heap-B/session")
			b.ReportMetric(w.stack/per, "stack-B/session")
			b.ReportMetric(w.goroutines, "goroutines")
		})
	}
}

// A keeper is one library's way to keep sessions.
type keeper struct {
	name string
	open func(tb testing.TB, s service) opener
}

// An opener opens the session of a refresh token. It returns its first access
// token, and what the program has to keep to find it again: nil, if the library
// finds it by its name.
type opener func(name, refreshToken string) (token string, session any, err error)

func keepers() []keeper {
	return []keeper{
		{evertoken, poolKeeper},
		{floor, func(_ testing.TB, s service) opener {
			client := &floorClient{s}
			return func(_, refreshToken string) (string, any, error) {
				source := newFloorSource(client, &floorToken{refresh: refreshToken})
				token, err := source.access()
				return token, source, err
			}
		}},
		{xoauth2, func(_ testing.TB, s service) opener {
			ctx, cfg := s.xoauth2()
			return func(_, refreshToken string) (string, any, error) {
				source := cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken})
				token, err := tokenOf(source)()
				return token, source, err
			}
		}},
		{cloudAuth, func(_ testing.TB, s service) opener {
			return func(_, refreshToken string) (string, any, error) {
				provider, err := s.cloudAuth(refreshToken)
				if err != nil {
					return "", nil, err
				}
				token, err := providedBy(provider)()
				return token, provider, err
			}
		}},
		{ticking, tickingKeeper},
	}
}

func poolKeeper(tb testing.TB, s service) opener {
	ctx := context.Background()
	pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: s.evertoken()}})
	if err := pool.Start(ctx); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Stop)
	return func(name, refreshToken string) (string, any, error) {
		m, err := pool.Add(ctx, name, &oauth.TokenPair{RefreshToken: refreshToken})
		if err != nil {
			return "", nil, err
		}
		pair, err := m.TokenContext(ctx)
		if err != nil {
			return "", nil, err
		}
		return pair.AccessToken, nil, nil
	}
}

// tickingKeeper is what people write around x/oauth2 to renew ahead of time: a
// goroutine with a ticker for each session.
func tickingKeeper(tb testing.TB, s service) opener {
	ctx, cfg := s.xoauth2()
	over := make(chan struct{})
	tb.Cleanup(func() { close(over) })
	return func(_, refreshToken string) (string, any, error) {
		source := cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken})
		token, err := tokenOf(source)()
		go func() {
			ticker := time.NewTicker(time.Minute)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					_, _ = source.Token() // tried again with the next tick
				case <-over:
					return
				}
			}
		}()
		return token, source, err
	}
}

// A weight is what some sessions cost together.
type weight struct {
	elapsed     time.Duration
	allocated   float64
	heap, stack float64
	goroutines  float64
}

// weigh opens n sessions and measures them. They end with the benchmark. A program
// finds its sessions by name: in a map, unless the library does that for it.
func weigh(b *testing.B, c keeper, n int, shape tokenShape) weight {
	server := &endpoint{shape: shape}
	var w weight
	before, begun := measured(), time.Now()
	openSession := c.open(b, server.service())
	sessions := make(map[string]any)
	for i := range n {
		name := "user-" + strconv.Itoa(1_000_000+i)
		_, session, err := openSession(name, firstRefreshToken(i))
		if err != nil {
			b.Fatal(err)
		}
		if session != nil {
			sessions[name] = session
		}
	}
	w.elapsed = time.Since(begun)
	rest()
	after := measured()
	w.allocated = float64(after.TotalAlloc - before.TotalAlloc)
	w.heap = float64(after.HeapAlloc) - float64(before.HeapAlloc)
	w.stack = max(0, float64(after.StackInuse)-float64(before.StackInuse)) // stacks of before may be gone
	w.goroutines = float64(after.goroutines - before.goroutines)
	if got := server.requests.Load(); got != int64(n) {
		b.Fatalf("%s: %d sessions refreshed %d times; want once each", c.name, n, got)
	}
	runtime.KeepAlive(sessions)
	return w
}

func firstRefreshToken(i int) string { return fmt.Sprintf("first-%037d", i) }

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

func TestKeptSessionsHaveRefreshedOnce(t *testing.T) {
	for _, c := range keepers() {
		t.Run(c.name, func(t *testing.T) {
			server := &endpoint{shape: opaqueTokens}
			openSession := c.open(t, server.service())
			for i := range 3 {
				token, _, err := openSession(strconv.Itoa(i), firstRefreshToken(i))
				if err != nil {
					t.Fatal(err)
				}
				if want, _ := opaqueTokens(int64(i + 1)); token != want {
					t.Errorf("got token %s; want %s", token, want)
				}
			}
			if got := server.requests.Load(); got != 3 {
				t.Errorf("%d requests; want one per session", got)
			}
		})
	}
}
