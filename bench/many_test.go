package bench_test

import (
	"context"
	"flag"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// manySessions is a flag because a million takes minutes; the claims are the same
// for fewer.
var manySessions = flag.Int("sessions", 2_000, "how many sessions the tests in fake time open")

// A restart of a daemon: a Pool gets sessions whose tokens live for an hour and were
// issued evenly over the last 54 minutes, so that all are due within the hour. The
// server takes 100 ms; the Pool's workers, 64 of them by default, are what it
// allows at a time. All that in fake time, within 2 GiB of memory.
//
// It is a test, since fake time needs one, but prints a benchmark's line: how many
// requests a session took, how many tokens died before they were renewed, the most
// requests at a time, and the most memory.
func TestAMillionSessionsRenewInAnHour(t *testing.T) {
	const limit = 2 << 30
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit))
	n := *manySessions
	begun := time.Now()
	synctest.Test(t, func(t *testing.T) {
		s := new(hourlyServer)
		var memory peak
		// Nobody is due already.
		pool := openMany(t, s, n, 54*time.Minute, memory.look)
		defer pool.Stop()
		for range 60 {
			time.Sleep(time.Minute)
			memory.look()
		}
		synctest.Wait()
		dead := 0
		for status := range pool.Statuses() {
			if status.TimeUntilExpiry <= 0 {
				dead++
			}
		}
		requests, late := s.requests.Load(), s.late.Load()+int64(dead)
		if requests < int64(n) || requests > int64(n)*5/4 || late > 0 || s.most.Load() > refresh.DefaultWorkers {
			t.Errorf("%d sessions: %d requests, %d tokens died, %d requests at a time", n, requests, late, s.most.Load())
		}
		fmt.Printf("BenchmarkMillion/%s\t1\t%.3f requests/session\t%d died\t%d at-a-time\t%d MiB\n",
			evertoken, float64(requests)/float64(n), late, s.most.Load(), memory.most>>20)
	})
	t.Logf("%d sessions took %v", n, time.Since(begun))
}

// A Pool has nothing to do for ten minutes: how much of a core it uses. In fake time,
// since what it does each minute would escape a shorter look, and without garbage
// collector, which has nothing to collect. Prints a benchmark's line, too.
func TestSessionsAtRestUseNoProcessor(t *testing.T) {
	const long = 10 * time.Minute
	n := *manySessions
	synctest.Test(t, func(t *testing.T) {
		pool := openMany(t, new(hourlyServer), n, 0, func() {})
		defer pool.Stop()
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		time.Sleep(time.Minute)
		used := cpuTime()
		time.Sleep(long)
		synctest.Wait()
		fmt.Printf("BenchmarkIdle/%s\t1\t%.3f cpu-%%\n", evertoken, 100*float64(cpuTime()-used)/float64(long))
	})
}

// openMany opens n sessions, whose tokens were issued evenly over the time before
// now, and looks now and then.
func openMany(t *testing.T, s refresh.Refresher, n int, issuedOver time.Duration, look func()) *refresh.Pool {
	pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: s}})
	if err := pool.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range n {
		issued := now.Add(-time.Duration(float64(issuedOver) * float64(i) / float64(n)))
		access, refreshToken := opaqueTokens(int64(i))
		_, err := pool.Add(context.Background(), "user-"+strconv.Itoa(1_000_000+i), &oauth.TokenPair{
			AccessToken: access, RefreshToken: refreshToken, IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		if i%10_000 == 0 {
			look()
		}
	}
	return pool
}

// An hourlyServer issues tokens that live for an hour.
type hourlyServer struct {
	requests, late, under, most atomic.Int64
}

// Refresh implements refresh.Refresher.
func (s *hourlyServer) Refresh(_ context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	under := s.under.Add(1)
	defer s.under.Add(-1)
	for most := s.most.Load(); under > most && !s.most.CompareAndSwap(most, under); most = s.most.Load() {
	}
	time.Sleep(100 * time.Millisecond)
	now := time.Now()
	if now.After(t.ExpiresAt) {
		s.late.Add(1)
	}
	access, refreshToken := opaqueTokens(s.requests.Add(1))
	return &oauth.TokenPair{AccessToken: access, RefreshToken: refreshToken, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}, nil
}

// A peak is the most memory that the program had from the system.
type peak struct{ most uint64 }

func (p *peak) look() {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	p.most = max(p.most, samples[0].Value.Uint64()-samples[1].Value.Uint64())
}
