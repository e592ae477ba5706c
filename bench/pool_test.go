package bench_test

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A service asks its Pool for the user's session on the path of every request.

// pooledNames are the sessions that the benchmarks below have open.
var pooledNames = func() (names [1024]string) {
	for i := range names {
		names[i] = "user-" + strconv.Itoa(1_000_000+i)
	}
	return names
}()

// turns gives each op its own way through pooledNames.
func turns() func() string {
	var begun atomic.Uint64
	return func() string { return pooledNames[begun.Add(1)%uint64(len(pooledNames))] }
}

// BenchmarkPoolSession finds an open session on eight goroutines, all of them asking for
// the same one. x/oauth2 has no pool: its row is one call of its TokenSource, which a
// request pays beside what the program finds the source with.
func BenchmarkPoolSession(b *testing.B) {
	measureParallel(b, []contender{
		{evertoken, func(tb testing.TB) op {
			pool, ctx := openPool(tb, pooledNames[:]), context.Background()
			return func() (string, error) {
				m, err := pool.Session(ctx, pooledNames[0])
				if err != nil || m == nil {
					return "", err
				}
				return pooledNames[0], nil
			}
		}},
		livingXOAuth2,
	})
}

// BenchmarkPoolToken finds one of 1,024 sessions and hands out its token, on eight
// goroutines. The other programs find their source in a sync.Map.
func BenchmarkPoolToken(b *testing.B) { measureParallel(b, pooledTokens()) }

func pooledTokens() []contender {
	return []contender{
		{evertoken, func(tb testing.TB) op {
			pool, ctx, next := openPool(tb, pooledNames[:]), context.Background(), turns()
			return func() (string, error) {
				m, err := pool.Session(ctx, next())
				if err != nil {
					return "", err
				}
				pair, err := m.TokenContext(ctx)
				if err != nil {
					return "", err
				}
				return pair.AccessToken, nil
			}
		}},
		{floor, func(testing.TB) op {
			var sources sync.Map
			for _, name := range pooledNames {
				pair := livingPair()
				sources.Store(name, newFloorSource(nil, newFloorToken(pair.AccessToken, "", pair.ExpiresAt)))
			}
			next := turns()
			return func() (string, error) {
				source, _ := sources.Load(next())
				return source.(*floorSource).access()
			}
		}},
		{xoauth2, func(testing.TB) op {
			var sources sync.Map
			for _, name := range pooledNames {
				sources.Store(name, oauth2.ReuseTokenSource(livingPair().OAuth2(), noTokenSource{}))
			}
			next := turns()
			return func() (string, error) {
				source, _ := sources.Load(next())
				return tokenOf(source.(oauth2.TokenSource))()
			}
		}},
	}
}

// openPool opens living sessions in a Pool, each of which has been asked for its token.
func openPool(tb testing.TB, names []string) *refresh.Pool {
	tb.Helper()
	pool := startPool(tb, refresh.PoolConfig{Config: refresh.Config{OAuthClient: neverRefresh}})
	for _, name := range names {
		m, err := pool.Add(context.Background(), name, livingPair())
		if err == nil {
			_, err = m.TokenContext(context.Background())
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return pool
}

// startPool runs a pool until the benchmark ends.
func startPool(tb testing.TB, cfg refresh.PoolConfig) *refresh.Pool {
	tb.Helper()
	pool := refresh.NewPool(cfg)
	if err := pool.Start(context.Background()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Stop)
	return pool
}

// BenchmarkRefreshPooled renews a session of a Pool that has 1,024 of them: what that
// costs beyond the network and the server. The others renew a session that they hold.
func BenchmarkRefreshPooled(b *testing.B) { measure(b, atOnce(pooledRefreshes())) }

func pooledRefreshes() []refresher {
	list := []refresher{{evertoken, func(tb testing.TB, s service, first string) op {
		pool, ctx := startPool(tb, refresh.PoolConfig{Config: refresh.Config{OAuthClient: s.evertoken()}}), context.Background()
		for i, name := range pooledNames {
			pair := livingPair()
			if pair.RefreshToken = first; i > 0 {
				pair.RefreshToken = name
			}
			if _, err := pool.Add(ctx, name, pair); err != nil {
				tb.Fatal(err)
			}
		}
		return func() (string, error) {
			m, err := pool.Session(ctx, pooledNames[0])
			if err == nil {
				err = m.ForceRefresh(ctx)
			}
			if err != nil {
				return "", err
			}
			var pair *oauth.TokenPair
			if pair, err = m.TokenContext(ctx); err != nil {
				return "", err
			}
			return pair.AccessToken, nil
		}
	}}}
	return append(list, refreshes()[1:]...)
}

// BenchmarkRestore has a program that begins read its 5,000 sessions from a store that is
// 1 ms away: ms until it has all of them, and calls of the store for each. Around x/oauth2
// a program reads one record after the other.
func BenchmarkRestore(b *testing.B) {
	const n = 5000
	s := &remoteStore{Memory: new(tokenstore.Memory), away: time.Millisecond}
	s.fill(b, n)
	for _, c := range []struct {
		name    string
		restore func() error
	}{
		{evertoken, func() error {
			pool := startPool(b, refresh.PoolConfig{Config: refresh.Config{OAuthClient: neverRefresh, Store: s}})
			defer pool.Stop() // its looks are not to be counted
			_, err := pool.Restore(context.Background())
			return err
		}},
		{xoauth2, func() error {
			names, err := s.Names(context.Background())
			sources := make(map[string]oauth2.TokenSource, len(names))
			for _, name := range names {
				rec, err := s.Get(context.Background(), name)
				if err != nil {
					return err
				}
				sources[name] = oauth2.ReuseTokenSource(rec.Tokens.OAuth2(), noTokenSource{})
			}
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took time.Duration
			var calls int64
			for b.Loop() {
				before, begun := s.calls.Load(), time.Now()
				if err := c.restore(); err != nil {
					b.Fatal(err)
				}
				took, calls = took+time.Since(begun), calls+s.calls.Load()-before
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(took.Seconds()*1000/float64(b.N), "ms")
			b.ReportMetric(float64(calls)/float64(b.N)/n, "calls/session")
		})
	}
}

// A remoteStore is away by a time, which each call takes. It counts them; a page is one.
type remoteStore struct {
	*tokenstore.Memory
	away  time.Duration
	calls atomic.Int64
}

func (s *remoteStore) call() {
	s.calls.Add(1)
	time.Sleep(s.away)
}

func (s *remoteStore) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	s.call()
	return s.Memory.Get(ctx, name)
}

func (s *remoteStore) Stamp(ctx context.Context, name string) (uint64, error) {
	s.call()
	return s.Memory.Stamp(ctx, name)
}

func (s *remoteStore) Names(ctx context.Context) ([]string, error) {
	s.call()
	return s.Memory.Names(ctx)
}

func (s *remoteStore) Pages(ctx context.Context, size int) iter.Seq2[[]tokenstore.Entry, error] {
	return func(yield func([]tokenstore.Entry, error) bool) {
		for page, err := range s.Memory.Pages(ctx, size) {
			s.call()
			if !yield(page, err) {
				return
			}
		}
	}
}

// fill saves n sessions without a call.
func (s *remoteStore) fill(tb testing.TB, n int) {
	tb.Helper()
	now := time.Now()
	for i := range n {
		access, refreshToken := opaqueTokens(int64(i))
		_, err := s.Set(context.Background(), "user-"+strconv.Itoa(1_000_000+i), &tokenstore.Record{Tokens: &oauth.TokenPair{
			AccessToken: access, RefreshToken: refreshToken, IssuedAt: now, ExpiresAt: now.Add(24 * time.Hour),
		}})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// A restart of a daemon, in real time: a Pool restores sessions from a store that is 1 ms
// away. Prints a benchmark's line: seconds, those of the processor's (with the collector's),
// calls of the store for each session, and what a session weighs beside the store: at rest,
// and in use, which it is while its token was asked for within two check intervals.
func TestManySessionsAreRestored(t *testing.T) {
	n := *manySessions
	s := &remoteStore{Memory: new(tokenstore.Memory), away: time.Millisecond}
	s.fill(t, n)
	before := measured()
	pool, ctx := startPool(t, refresh.PoolConfig{Config: refresh.Config{OAuthClient: neverRefresh, Store: s}}), context.Background()
	begun, used := time.Now(), cpuTime()
	opened, err := pool.Restore(ctx)
	took, used, calls := time.Since(begun), cpuTime()-used, s.calls.Load()
	if opened != n || err != nil || pool.Stats().Sessions != n {
		t.Errorf("restored %d of %d, %v", opened, n, err)
	}
	restored := measured()
	atRest := (float64(restored.HeapAlloc) - float64(before.HeapAlloc)) / float64(n)

	some := min(n, 10_000)
	for i := range some {
		m, err := pool.Session(ctx, "user-"+strconv.Itoa(1_000_000+i))
		if err == nil {
			_, err = m.TokenContext(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	inUse := atRest + (float64(measured().HeapAlloc)-float64(restored.HeapAlloc))/float64(some)
	fmt.Printf("BenchmarkManyRestored/%s\t1\t%.1f s\t%.1f cpu-s\t%.3f calls/session\t%.0f heap-B/session\t%.0f in-use-B/session\n",
		evertoken, took.Seconds(), used.Seconds(), float64(calls)/float64(n), atRest, inUse)
}
