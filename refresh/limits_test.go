package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// An endpoint stands for authorization servers with many sessions. Tests say how
// it answers; it notes when it was asked.
type endpoint struct {
	name string

	mu    sync.Mutex // guards the fields below while a pool uses them
	takes time.Duration
	life  time.Duration
	fails error // instead of a token
	asked []time.Time
	now   int
	most  int
}

func (e *endpoint) Server() string { return e.name }

func (e *endpoint) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	e.mu.Lock()
	e.asked = append(e.asked, time.Now())
	e.now++
	e.most = max(e.most, e.now)
	fails, takes := e.fails, e.takes
	e.mu.Unlock()
	defer func() { e.mu.Lock(); e.now--; e.mu.Unlock() }()
	if err := sleep.For(ctx, takes); err != nil {
		return nil, err
	}
	if fails != nil {
		return nil, fails
	}
	return e.pair(), nil
}

// slow sets how long answers take from now on, and forgets how many it gave at a time.
func (e *endpoint) slow(takes time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.takes, e.most = takes, 0
}

// atATime returns how many it was asked for at a time, at most.
func (e *endpoint) atATime() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.most
}

// live sets how long tokens live from now on.
func (e *endpoint) live(life time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.life = life
}

func (e *endpoint) pair() *oauth.TokenPair {
	e.mu.Lock()
	defer e.mu.Unlock()
	return &oauth.TokenPair{
		AccessToken: strconv.Itoa(rand.Int()), RefreshToken: strconv.Itoa(rand.Int()),
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(e.life),
	}
}

func (e *endpoint) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fails = err
}

// requests returns when the endpoint was asked since the last call.
func (e *endpoint) requests() []time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := slices.Clone(e.asked)
	e.asked = nil
	return list
}

// densest returns the greatest number of requests within a span of time.
func densest(times []time.Time, span time.Duration) (most int) {
	for i := range times {
		n, _ := slices.BinarySearchFunc(times[i:], times[i].Add(span), time.Time.Compare)
		most = max(most, n)
	}
	return most
}

// manySessions opens n sessions at the endpoint whose tokens expire all at once.
func manySessions(t *testing.T, e *endpoint, n int, edits ...func(*refresh.PoolConfig)) (*refresh.Pool, []*refresh.Manager) {
	t.Helper()
	cfg := refresh.PoolConfig{Config: refresh.Config{OAuthClient: e}}
	for _, edit := range edits {
		edit(&cfg)
	}
	p := refresh.NewPool(cfg)
	t.Cleanup(p.Stop)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var managers []*refresh.Manager
	for i := range n {
		m, err := p.Add(t.Context(), fmt.Sprint(i), e.pair())
		if err != nil {
			t.Fatal(err)
		}
		managers = append(managers, m)
	}
	return p, managers
}

func alive(t *testing.T, managers []*refresh.Manager) {
	t.Helper()
	for _, m := range managers {
		if m.GetRefreshStatus().TimeUntilExpiry <= 0 {
			t.Fatal("a session's token has died")
		}
	}
}

func TestF54_ACrowdThatExpiresInOneSecondIsRenewedWithoutAHerdAndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: time.Hour}
		_, managers := manySessions(t, e, n)
		time.Sleep(55*minute + 30*time.Second)
		alive(t, managers)
		asked := e.requests()
		if len(asked) != n {
			t.Fatalf("%d of %d sessions renewed within the first half minute of the lead", len(asked), n)
		}
		// Half the lead is 150 seconds.
		if most := densest(asked, time.Second); most > 3*n/150 {
			t.Errorf("up to %d requests in a second; %d a second would do", most, n/150)
		}
	})
}

// A token has to be renewed so often in a day as its life without the lead fits in. What a
// pool adds to spread its sessions is less than two calls in a hundred, as soon as they are
// spread.
func TestAPoolMakesHardlyMoreCallsThanItsTokensNeed(t *testing.T) {
	t.Run("a call an hour", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{name: "https://as", takes: 100 * time.Millisecond, life: time.Hour}
			calls, _ := callsOf(t, e, 300, true, 24*time.Hour, func(cfg *refresh.PoolConfig) { cfg.RefreshThreshold = minute })
			if perHour := calls / 24; perHour > 1.02 {
				t.Errorf("%.3f calls in an hour of tokens that live for an hour; want 1.02 at most", perHour)
			}
		})
	})
	for _, life := range []time.Duration{minute, 5 * minute, 15 * minute, time.Hour, 8 * time.Hour} {
		for _, n := range []int{1, 10, 300} {
			for _, apart := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d tokens of %v, apart %t", n, life, apart), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						e := &endpoint{name: "https://as", takes: 100 * time.Millisecond, life: life}
						length := min(24*time.Hour, 1_500*life/time.Duration(n)) // a day, if it is not too many
						calls, needed := callsOf(t, e, n, apart, length)
						if most := 1.02 * needed; calls > most {
							t.Errorf("%.1f calls of each session in %v; %.1f are needed", calls, length, needed)
						}
					})
				})
			}
		}
	}
}

// callsOf lets a pool keep n sessions, whose tokens were issued at the same moment or evenly
// over their life before the lead, and returns how many calls it made of each and how many
// that life needs.
func callsOf(t *testing.T, e *endpoint, n int, apart bool, length time.Duration, edits ...func(*refresh.PoolConfig)) (calls, needed float64) {
	every := e.life - min(5*minute, e.life/3)
	p, managers := manySessions(t, e, 0, edits...)
	for i := range n {
		pair := e.pair()
		if apart {
			used := every * time.Duration(i) / time.Duration(n)
			pair.IssuedAt, pair.ExpiresAt = pair.IssuedAt.Add(-used), pair.ExpiresAt.Add(-used)
		}
		m, err := p.Add(t.Context(), fmt.Sprint(i), pair)
		if err != nil {
			t.Fatal(err)
		}
		managers = append(managers, m)
	}
	for begun := time.Now(); time.Since(begun) < length; {
		time.Sleep(min(e.life/4, length-time.Since(begun)))
		alive(t, managers)
	}
	return float64(len(e.requests())) / float64(n), float64(length) / float64(every)
}

func TestARateIsKeptAndTheCrowdRenewedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n, rate = 1000, 1.0 // 1,250 seconds and more are needed, the lead is 300
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: time.Hour}
		_, managers := manySessions(t, e, n, func(cfg *refresh.PoolConfig) { cfg.Limits.Rate = rate })
		for range 3 * 60 {
			time.Sleep(minute)
			alive(t, managers)
		}
		asked := e.requests()
		if most := densest(asked, 10*time.Second); most > 11 {
			t.Errorf("%d requests in ten seconds; one a second is permitted", most)
		}
		if len(asked) < 3*n || len(asked) > 6*n {
			t.Errorf("%d refreshes of %d sessions in three hours", len(asked), n)
		}
	})
}

// Callers without a token do not stand in line behind a crowd that nobody waits for.
func TestACallerComesBeforeTheCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, rate = 500, 2.0
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: -time.Hour}
		_, managers := manySessions(t, e, n, func(cfg *refresh.PoolConfig) { cfg.Limits.Rate = rate })
		e.live(10 * time.Hour)
		time.Sleep(10 * time.Second)
		begun := time.Now()
		late := slices.DeleteFunc(slices.Clone(managers), func(m *refresh.Manager) bool { return m.GetExpiresAt().After(begun) })
		var wg sync.WaitGroup
		for _, m := range late[len(late)-8:] {
			wg.Go(func() {
				if _, err := m.TokenContext(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait() // at a fifth of two a second
		if waited := time.Since(begun); waited < 15*time.Second || waited > 25*time.Second {
			t.Errorf("eight callers waited for %v", waited)
		}
		time.Sleep(10 * minute)
		asked := e.requests()
		if most := densest(asked, 10*time.Second); most > 21 {
			t.Errorf("%d requests in ten seconds; two a second are permitted", most)
		}
		if len(asked) != n {
			t.Errorf("%d refreshes of %d sessions", len(asked), n)
		}
	})
}

func TestConcurrentBoundsTheRequestsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{name: "https://as", takes: time.Second, life: -time.Hour}
		_, managers := manySessions(t, e, 300, func(cfg *refresh.PoolConfig) { cfg.Limits.Concurrent = 3 })
		e.live(10 * time.Hour)
		var wg sync.WaitGroup
		for _, m := range managers[:5] {
			wg.Go(func() {
				if _, err := m.TokenContext(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		time.Sleep(10 * minute)
		alive(t, managers)
		if asked := e.requests(); e.atATime() > 3 || len(asked) != 300 {
			t.Errorf("%d refreshes, %d at a time; want 300, and 3", len(asked), e.atATime())
		}
	})
}

// One server hangs; the sessions of the other one do not notice.
func TestAHangingServerHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &endpoint{name: "https://hangs", takes: 10 * time.Hour, life: -time.Hour}
		works := &endpoint{name: "https://works", takes: 20 * time.Millisecond, life: -time.Hour}
		p, managers := manySessions(t, hangs, 200, func(cfg *refresh.PoolConfig) {
			cfg.Workers = 8
			cfg.Limits.Concurrent = 4
			cfg.Configure = func(session string, cfg *refresh.Config) {
				if session[0] == 'w' {
					cfg.OAuthClient = works
				}
			}
		})
		for i := range 100 {
			m, err := p.Add(t.Context(), fmt.Sprint("w", i), works.pair())
			if err != nil {
				t.Fatal(err)
			}
			managers = append(managers, m)
		}
		works.live(10 * time.Hour)
		time.Sleep(3 * minute)
		alive(t, managers[200:])
	})
}

var errTooMany = &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Status: 429}

func retryAfter(d time.Duration) error {
	err := *errTooMany
	err.RetryAt = time.Now().Add(d)
	return &err
}

func TestF38_RetryAfterHoldsForAllSessionsOfAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: -time.Hour}
		e.fail(retryAfter(5 * minute))
		p, _ := manySessions(t, e, 0)
		var managers []*refresh.Manager
		for i := range 20 { // one after the other: those of one moment cannot know
			m, err := p.Add(t.Context(), fmt.Sprint(i), e.pair())
			if err != nil {
				t.Fatal(err)
			}
			managers = append(managers, m)
			time.Sleep(time.Second)
		}
		time.Sleep(100 * time.Second)
		if n := len(e.requests()); n > 2 { // one session by itself is not a crowd yet
			t.Errorf("%d requests although the server wants to be left alone", n)
		}
		if s := p.Stats().Servers[0]; s.NotBefore.IsZero() || s.Down {
			t.Errorf("statistics of a server that wants to be left alone: %+v", s)
		}
		begun := time.Now()
		_, err := managers[7].TokenContext(t.Context())
		var fail *oauth.Error
		if !errors.As(err, &fail) || !errors.Is(err, oauth.ErrTransient) || fail.RetryAt.IsZero() || time.Since(begun) > time.Second {
			t.Errorf("a caller without a token got %v after %v; want to be told at once when to come again", err, time.Since(begun))
		}
		e.fail(nil)
		e.live(10 * time.Hour)
		time.Sleep(150 * time.Second)
		if n := len(e.requests()); n > 1 { // that of the caller, whose session was not told itself
			t.Errorf("%d requests before the time is over", n)
		}
		time.Sleep(4 * minute)
		alive(t, managers)
	})
}

func TestF38_OtherProcessesHearOfARetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(tokenstore.Memory)
		shared := func(cfg *refresh.PoolConfig) { cfg.Store = store }
		here := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: -time.Hour}
		there := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: -time.Hour}
		p, managers := manySessions(t, there, 2, shared)
		there.live(time.Hour)
		time.Sleep(minute) // they are well, and there are several
		alive(t, managers)
		there.requests()

		here.fail(retryAfter(5 * minute))
		there.fail(retryAfter(5 * minute))
		q, _ := manySessions(t, here, 0, shared)
		for i := range 20 {
			if _, err := q.Add(t.Context(), fmt.Sprint("q", i), here.pair()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		there.live(-time.Hour)
		for i := range 20 {
			if _, err := p.Add(t.Context(), fmt.Sprint("p", i), there.pair()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * minute)
		if n := len(there.requests()); n != 0 {
			t.Errorf("%d requests of a process that could have heard that the server wants to be left alone", n)
		}
		if names, err := store.Names(t.Context()); len(names) != 42 || err != nil {
			t.Errorf("the store lists %d sessions of 42, %v", len(names), err)
		}
	})
}

// Sessions that are due at the start, and have little time left, are renewed in it.
func TestACrowdWithLittleTimeLeftIsRenewedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: 15 * time.Second}
		_, managers := manySessions(t, e, 1000, func(cfg *refresh.PoolConfig) {
			cfg.Configure = func(_ string, cfg *refresh.Config) { cfg.RefreshIdleLimit = time.Second } // due at once
		})
		e.live(10 * time.Hour)
		time.Sleep(14 * time.Second)
		if n := len(e.requests()); n != 1000 {
			t.Errorf("%d of 1000 sessions renewed a second before their tokens die", n)
		}
		alive(t, managers)
	})
}

// Sessions that came first were planned for a small crowd.
func TestPlansAreMadeAnewWhenTheCrowdGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: time.Hour}
		p, managers := manySessions(t, e, 256, func(cfg *refresh.PoolConfig) { cfg.Limits.Rate = 1 })
		time.Sleep(2 * minute)
		for i := range 744 {
			if _, err := p.Add(t.Context(), fmt.Sprint("late", i), e.pair()); err != nil {
				t.Fatal(err)
			}
		}
		// For 256 sessions the last six minutes before the lead would do.
		time.Sleep(time.Hour - 5*minute - 7*minute - 2*minute)
		early := 0
		for _, m := range managers {
			if !m.GetLastRefreshAt().IsZero() {
				early++
			}
		}
		if early < 64 {
			t.Errorf("%d of the first 256 sessions were renewed as early as a thousand need it", early)
		}
	})
}

// An outage in which every session is due: the server is tried now and then, and
// not by each of them.
func TestF37_AServerThatIsDownIsTriedNowAndThenAndNotByEverySession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: time.Hour}
		p, managers := manySessions(t, e, n)
		time.Sleep(51 * minute)
		e.fail(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Status: 503})
		e.requests()
		time.Sleep(3 * minute)
		if asked := len(e.requests()); asked > 100 {
			t.Errorf("%d requests in three minutes of an outage", asked)
		}
		alive(t, managers)
		e.fail(nil)
		time.Sleep(5 * minute)
		alive(t, managers)
		for s := range p.Statuses() {
			if s.State != refresh.StateValid {
				t.Fatalf("after the outage: %+v", s)
			}
		}
	})
}

// The server takes longer than the lead of its short tokens: the first expiry shows
// it, and later ones stall nobody.
func TestTheLeadLearnsHowLongRefreshingTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{takes: 25 * time.Second, life: 61 * time.Second}
		m := refresh.NewManager(refresh.Config{OAuthClient: e})
		first := e.pair()
		first.ExpiresAt, first.IssuedAt = time.Now().Add(time.Second), time.Now().Add(-minute)
		if err := m.Start(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		defer m.Stop()
		time.Sleep(minute)
		for range 3000 {
			begun := time.Now()
			if _, err := m.TokenContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(begun); waited > 0 {
				t.Fatalf("a caller waited for %v", waited)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := e.atATime(); n > 1 {
			t.Errorf("%d refreshes at a time", n)
		}
	})
}
