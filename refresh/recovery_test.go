package refresh_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A lane is the way to a token endpoint, for a real oauth.Client: it fails as networks
// and servers do, and notes when it was used.
type lane struct {
	mu      sync.Mutex
	trouble *trouble // nil: all is well
	life    time.Duration
	asked   []time.Time
}

// A trouble is how requests fail that begin while it lasts.
type trouble struct {
	name       string
	takes      time.Duration // until a request fails
	err        error
	status     int           // if there is an answer
	retryAfter time.Duration // what it asks for
}

func dialError(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

type timedOut struct{}

func (timedOut) Error() string   { return "i/o timeout" }
func (timedOut) Timeout() bool   { return true }
func (timedOut) Temporary() bool { return true }

var waysDown = []trouble{
	{name: "refused", err: dialError(os.NewSyscallError("connect", syscall.ECONNREFUSED))},
	{name: "DNS", takes: 300 * time.Millisecond, err: dialError(&net.DNSError{Err: "server misbehaving", Name: "as.example", IsTemporary: true})},
	{name: "proxy", err: &net.OpError{Op: "proxyconnect", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}},
	{name: "reset", err: &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}},
	{name: "503", status: 503},
	{name: "429", status: 429},
	{name: "503 with Retry-After", status: 503, retryAfter: 5 * time.Second},
	{name: "slow 503", status: 503, takes: 4 * time.Second},
	{name: "connecting times out", takes: 5 * time.Second, err: dialError(timedOut{})},
	{name: "no answer", takes: 5 * time.Second, err: &net.OpError{Op: "read", Net: "tcp", Err: timedOut{}}},
}

func (l *lane) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.asked = append(l.asked, time.Now())
	trouble, life := l.trouble, l.life
	l.mu.Unlock()
	takes := 20 * time.Millisecond
	if trouble != nil {
		takes = trouble.takes
	}
	if err := sleep.For(r.Context(), takes); err != nil {
		return nil, err
	}
	answer := func(status int, body string) *http.Response {
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
			Body: io.NopCloser(strings.NewReader(body)),
		}
	}
	switch {
	case trouble == nil:
		return answer(http.StatusOK, fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"token_type":"Bearer","expires_in":%d}`,
			rand.Text(), rand.Text(), int(life/time.Second))), nil
	case trouble.err != nil:
		return nil, trouble.err
	}
	a := answer(trouble.status, "")
	if trouble.retryAfter > 0 {
		a.Header.Set("Retry-After", fmt.Sprint(int(trouble.retryAfter/time.Second)))
	}
	return a, nil
}

func (l *lane) set(trouble *trouble, life time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble, l.life = trouble, life
}

func (l *lane) requests() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := l.asked
	l.asked = nil
	return asked
}

// A deployment is how many processes keep how many sessions alive.
type deployment struct {
	processes, sessions int
	shared              bool // the processes have the sessions in common
}

func (d deployment) String() string {
	switch {
	case d.processes == 1 && d.sessions == 1:
		return "one manager"
	case d.processes == 1:
		return fmt.Sprintf("a pool of %d", d.sessions)
	case d.shared:
		return fmt.Sprintf("%d processes with the same %d", d.processes, d.sessions)
	}
	return fmt.Sprintf("%d processes with %d each", d.processes, d.sessions)
}

// many reports whether playing it takes so long that it is played less often.
func (d deployment) many() bool { return d.processes > 1 || d.sessions > 8 }

var deployments = []deployment{
	{1, 1, false}, {1, 2, false}, {1, 64, false},
	{4, 1, true}, {4, 1, false}, {3, 8, true}, {3, 8, false}, {16, 1, true},
}

// start begins the processes, whose sessions' tokens live for some time.
func (d deployment) start(t *testing.T, l *lane, life time.Duration) (managers []*refresh.Manager) {
	t.Helper()
	store := new(tokenstore.Memory)
	client := func() *oauth.Client {
		return oauth.NewClient(oauth.Config{
			ClientID: "tool", TokenURL: "https://as.example/token", HTTPClient: &http.Client{Transport: l},
		})
	}
	for p := range d.processes {
		cfg := refresh.Config{OAuthClient: client(), Store: store}
		name := func(i int) string {
			if d.shared {
				return fmt.Sprint("s", i)
			}
			return fmt.Sprintf("p%d s%d", p, i)
		}
		for i := range d.sessions {
			if p > 0 && d.shared {
				break
			}
			pair := &oauth.TokenPair{AccessToken: rand.Text(), RefreshToken: rand.Text(), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(life)}
			if err := tokenstore.Func(store, name(i))(t.Context(), pair); err != nil {
				t.Fatal(err)
			}
		}
		if d.sessions == 1 {
			cfg.Session = name(0)
			m := refresh.NewManager(cfg)
			t.Cleanup(m.Stop)
			if err := m.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			managers = append(managers, m)
			continue
		}
		pool := refresh.NewPool(refresh.PoolConfig{Config: cfg})
		t.Cleanup(pool.Stop)
		if err := pool.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range d.sessions {
			m, err := pool.Session(t.Context(), name(i))
			if err != nil {
				t.Fatal(err)
			}
			managers = append(managers, m)
		}
	}
	return managers
}

// promptly is how long nine of ten callers may wait: two seconds, which is the longest pause between
// two probes, and the time of the probe itself. Of few outages nine of ten are nearly all.
const promptly = 2*time.Second + 50*time.Millisecond

// percentile returns the least duration that p of 100 do not exceed.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)*p/100, len(all)-1)]
}

// F83: while callers wait, one probe tells all sessions of a server that it is back.
func TestF83_CallersAreServedSoonAfterTheServerIsBack(t *testing.T) {
	for _, d := range deployments {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			var waits []time.Duration
			for _, trouble := range waysDown {
				t.Run(trouble.name, func(t *testing.T) {
					lengths := []time.Duration{time.Second, 3 * time.Second, 12 * time.Second, 40 * time.Second, 5 * minute, 8 * time.Hour}
					if d.many() {
						lengths = []time.Duration{3 * time.Second, 70 * time.Second} // all else is the same for many
					}
					for _, length := range lengths {
						for _, waited := range d.outage(t, &trouble, length, true) {
							waits = append(waits, waited-trouble.allowed())
						}
						if length > 5*minute {
							d.outage(t, &trouble, length, false)
						}
					}
				})
			}
			if p90 := percentile(waits, 90); p90 > promptly {
				t.Errorf("nine of ten callers were served within %v; want %v", p90, promptly)
			}
		})
	}
}

// F83, for tokens that the API refuses although they should live: after a restart without
// its memory, for one. Callers learn of that at once, and call again and again.
func TestF83_CallersWhoseTokenIsRefusedAreServedSoonAfterTheServerIsBack(t *testing.T) {
	for _, d := range deployments {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			var waits []time.Duration
			for _, trouble := range waysDown {
				lengths := []time.Duration{3 * time.Second, 12 * time.Second, 70 * time.Second}
				if d.many() {
					lengths = lengths[2:]
				}
				for _, length := range lengths {
					for _, waited := range d.refused(t, &trouble, length) {
						waits = append(waits, waited-trouble.allowed())
					}
				}
			}
			if p90 := percentile(waits, 90); p90 > promptly {
				t.Errorf("nine of ten callers were served within %v; want %v", p90, promptly)
			}
		})
	}
}

// refused plays an outage in which the API refuses all tokens from before, and returns how
// long callers waited after it.
func (d deployment) refused(t *testing.T, trouble *trouble, length time.Duration) (waits []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		l := &lane{life: 2 * time.Hour}
		managers := d.start(t, l, l.life)
		old := make(map[string]bool)
		for _, m := range managers {
			pair, err := m.TokenContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			old["Bearer "+pair.AccessToken] = true
		}
		api := roundTripper(func(r *http.Request) (*http.Response, error) {
			status := http.StatusOK
			if old[r.Header.Get("Authorization")] {
				status = http.StatusUnauthorized
			}
			return &http.Response{StatusCode: status, Body: http.NoBody, Request: r}, nil
		})
		l.set(trouble, l.life)
		back := time.Now().Add(length)
		again := 100 * time.Millisecond
		if d.many() {
			again = 500 * time.Millisecond
		}
		var mu sync.Mutex
		var crowd sync.WaitGroup
		for i, m := range managers {
			crowd.Go(func() {
				client := &http.Client{Transport: m.Transport(api)}
				time.Sleep(time.Duration(i) * time.Millisecond)
				for get(t, client, "https://api.example/") != http.StatusOK {
					time.Sleep(again)
				}
				mu.Lock()
				defer mu.Unlock()
				waits = append(waits, max(0, time.Since(back)))
			})
		}
		time.Sleep(time.Until(back))
		during := l.requests()
		if d.processes > 1 { // when one of them knows, all can
			known := back.Add(trouble.takes - length)
			during = slices.DeleteFunc(during, func(at time.Time) bool { return at.Before(known.Add(time.Second)) })
		}
		l.set(nil, 2*time.Hour)
		crowd.Wait()
		if n := densest(during, minute); n > 60 {
			t.Errorf("%s, %v: %d requests in a minute; want at most 60", trouble.name, length, n)
		}
		if most := percentile(waits, 100); most > 3*time.Second+trouble.allowed() {
			t.Errorf("%s, %v: a caller waited for %v after the server was back; want 3s at most", trouble.name, length, most)
		}
	})
	return waits
}

// F83, where the process that has the session's lock, and asks again and again for a lost
// answer, has no callers: those of another one wait for the lock.
func TestF83_CallersOfAnotherProcessAreServedSoonAfterTheServerIsBack(t *testing.T) {
	for _, trouble := range waysDown {
		t.Run(trouble.name, func(t *testing.T) {
			for _, length := range []time.Duration{2 * time.Second, 4500 * time.Millisecond, 8 * time.Second, 20 * time.Second} {
				synctest.Test(t, func(t *testing.T) {
					l := &lane{life: 2 * time.Hour, trouble: &trouble}
					managers := deployment{2, 1, true}.start(t, l, 0)
					back := time.Now().Add(length)
					go func() {
						time.Sleep(time.Until(back))
						l.set(nil, l.life)
					}()
					time.Sleep(time.Second)
					for {
						_, err := managers[1].TokenContext(t.Context())
						if err == nil {
							break
						}
						time.Sleep(100 * time.Millisecond)
					}
					if waited := time.Since(back); waited > 3*time.Second+trouble.allowed() {
						t.Errorf("%v: the caller waited for %v after the server was back; want 3s at most", length, waited)
					}
				})
			}
		})
	}
}

// allowed is what a caller may wait for longer: what the server asked for, and for the
// end of a request that began before the server was back.
func (x *trouble) allowed() time.Duration { return x.retryAfter + x.takes }

// outage plays an outage, and returns how long callers waited after it. The processes
// start in it, with tokens that are dead, or, if it is long, have seen better days.
func (d deployment) outage(t *testing.T, trouble *trouble, length time.Duration, cold bool) (waits []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		life := 2 * time.Hour
		l := &lane{life: life}
		random := func(most time.Duration) time.Duration { return time.Duration(mathrand.Int64N(int64(most))) }
		back := time.Now().Add(length + random(1500*time.Millisecond))
		dies := time.Now()
		if cold {
			l.set(trouble, life)
		} else {
			back, dies = back.Add(life), dies.Add(life+length/3)
		}
		managers := d.start(t, l, time.Until(dies))
		if !cold {
			time.Sleep(life)
			l.requests()
			l.set(trouble, life)
		}
		arrive := dies.Add(10 * time.Millisecond)
		if late := back.Add(-80 * time.Second); late.After(arrive) {
			arrive = late
		}
		time.Sleep(time.Until(arrive))
		var mu sync.Mutex
		var crowd sync.WaitGroup
		for _, m := range managers {
			crowd.Go(func() {
				for {
					_, err := m.TokenContext(t.Context())
					if err == nil {
						mu.Lock()
						defer mu.Unlock()
						if time.Now().After(back) {
							waits = append(waits, time.Since(back))
						}
						return
					}
					if !errors.Is(err, oauth.ErrTransient) {
						t.Error(err)
						return
					}
					time.Sleep(10 * time.Millisecond) // told at once to come again later
				}
			})
		}
		time.Sleep(time.Until(back))
		during := l.requests()
		l.set(nil, life)
		crowd.Wait()
		if known := back.Add(-length).Add(trouble.takes); cold && d.processes > 1 { // when one of them knows, all can
			during = slices.DeleteFunc(during, func(at time.Time) bool { return at.Before(known) })
		}
		if n := densest(during, minute); n > 60 {
			t.Errorf("%v: %d requests in a minute; want at most 60", length, n)
		}
		if most := percentile(waits, 100); most > 3*time.Second+trouble.allowed() {
			t.Errorf("%v: a caller waited for %v after the server was back; want 3s at most", length, most)
		}
	})
	return waits
}

// F83, for trouble that answers in the server's place or in its words, or that a Refresher
// of a program tells of.
func TestF83_TroubleThatAnswersIsTroubleToo(t *testing.T) {
	page := oauthtest.Fault{HTML: true, Times: -1}
	missing, word := page, oauthtest.Fault{Status: 400, Body: `{"error":"temporarily_unavailable"}`, Times: -1}
	missing.Status = 404
	for name, tt := range map[string]struct {
		fault oauthtest.Fault
		fails func() error // of the Refresher; nil: it is the server that does
	}{
		"a web page":                   {page, nil},
		"a web page under 404":         {missing, nil},
		"a word of trouble under 400":  {word, nil},
		"a Refresher's bare transient": {page, func() error { return fmt.Errorf("odd: %w", oauth.ErrTransient) }},
		"a Refresher that panics":      {page, func() error { panic("odd") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := oauthtest.New(oauthtest.Config{AccessTokenLifetime: 10 * minute})
				client := oauth.NewClient(server.OAuthConfig())
				var mu sync.Mutex
				var asked []time.Time
				away := false
				pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{
					Store: new(tokenstore.Memory),
					OAuthClient: refresh.RefresherFunc(func(ctx context.Context, p *oauth.TokenPair) (*oauth.TokenPair, error) {
						mu.Lock()
						asked = append(asked, time.Now())
						fails := away && tt.fails != nil
						mu.Unlock()
						time.Sleep(10 * time.Millisecond)
						if fails {
							return nil, tt.fails()
						}
						return client.Refresh(ctx, p)
					}),
				}})
				if err := pool.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer pool.Stop()
				var managers []*refresh.Manager
				for i := range 40 {
					pair, err := server.Login("alice")
					if err != nil {
						t.Fatal(err)
					}
					m, err := pool.Add(t.Context(), fmt.Sprint(i), pair)
					if err != nil {
						t.Fatal(err)
					}
					managers = append(managers, m)
				}
				time.Sleep(5 * minute)
				mu.Lock()
				away = true
				mu.Unlock()
				server.Script(tt.fault)
				time.Sleep(5*minute + time.Second) // all tokens are dead
				back := time.Now().Add(2 * minute)
				var crowd sync.WaitGroup
				var waits []time.Duration
				for _, m := range managers {
					crowd.Go(func() {
						for {
							_, err := m.TokenContext(t.Context())
							if err == nil {
								mu.Lock()
								defer mu.Unlock()
								waits = append(waits, time.Since(back))
								return
							}
							time.Sleep(10 * time.Millisecond) // told at once to come again later
						}
					})
				}
				time.Sleep(time.Until(back))
				mu.Lock()
				away = false
				during := asked
				mu.Unlock()
				server.ClearScript()
				crowd.Wait()
				if n := densest(during, minute); n > 60 {
					t.Errorf("%d requests in a minute; want at most 60", n)
				}
				if p90, most := percentile(waits, 90), percentile(waits, 100); p90 > 2*time.Second || most > 3*time.Second {
					t.Errorf("nine of ten callers were served within %v and all within %v; want 2s and 3s", p90, most)
				}
			})
		})
	}
}

// F84: an attempt is made in time for the token's death, however long the waits are by
// then.
func TestF84_NoStallIfTheServerIsBackASecondBeforeTheTokenDies(t *testing.T) {
	for _, d := range deployments {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			for _, trouble := range waysDown {
				if trouble.takes > time.Second || trouble.retryAfter > 0 {
					continue // a request may be in progress then, or the server has asked to wait
				}
				t.Run(trouble.name, func(t *testing.T) {
					lengths := []time.Duration{2 * time.Second, 20 * time.Second, 2 * minute, 8 * time.Hour}
					if d.many() {
						lengths = lengths[1:2]
					}
					for _, length := range lengths {
						for _, early := range []time.Duration{time.Second, 7 * time.Second} {
							d.justInTime(t, &trouble, length, early)
						}
					}
				})
			}
		})
	}
}

func (d deployment) justInTime(t *testing.T, trouble *trouble, length, early time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		life := 10 * time.Hour
		l := &lane{life: life}
		// All are due a while before they die.
		managers := d.start(t, l, life)
		dies := time.Now().Add(life)
		back := dies.Add(-early)
		l.set(&trouble0, life) // until the outage begins nothing is renewed either
		time.Sleep(time.Until(back.Add(-length)))
		l.set(trouble, life)
		l.requests()
		time.Sleep(time.Until(back))
		during := l.requests()
		l.set(nil, life)
		stalls := make(chan time.Duration, len(managers))
		var crowd sync.WaitGroup
		for i, m := range managers {
			crowd.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond / 7)
				for end := dies.Add(3 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					begun := time.Now()
					if _, err := m.TokenContext(t.Context()); err != nil {
						t.Error(err)
					}
					if waited := time.Since(begun); waited > 0 {
						stalls <- waited
						return
					}
				}
			})
		}
		crowd.Wait()
		if n := len(stalls); n > 0 {
			t.Errorf("back %v before the tokens died, after %v: %d of %d sessions stalled, one for %v", early, length, n, len(managers), <-stalls)
		}
		if n := densest(during, minute); n > 60 {
			t.Errorf("%d requests in a minute; want at most 60", n)
		}
	})
}

// trouble0 keeps sessions from being renewed before an outage begins.
var trouble0 = waysDown[0]

// asks makes the endpoint ask some sessions, by refresh token, to wait, with a status.
type asks struct {
	*endpoint
	mu     sync.Mutex
	of     map[string]bool
	status int
	wait   time.Duration
}

func (a *asks) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	a.mu.Lock()
	told, status, wait := a.of[t.RefreshToken], a.status, a.wait
	a.mu.Unlock()
	next, err := a.endpoint.Refresh(ctx, t)
	if told {
		return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Status: status, RetryAt: time.Now().Add(wait)}
	}
	return next, err
}

// F85: what one session is told concerns that one; what several are told, or a 503, all of
// them, but that one tries now and then for those whose tokens die.
func TestF85_RetryAfterKeepsNoOtherSessionWithoutAToken(t *testing.T) {
	for _, n := range []int{2, 16} {
		for name, tt := range map[string]struct{ status, told int }{
			"one is told 429": {429, 1}, "one is told 503": {503, 1}, "two are told 429": {429, 2}, "most are told 429": {429, n - 1},
		} {
			if tt.told >= n {
				continue
			}
			for what, callers := range map[string]bool{"with callers": true, "without": false} {
				// Where many die at once that would be told, too, there is no chance for each.
				var most time.Duration
				if tt.told > 2 {
					most = 5 * time.Second
				}
				inBubble(t, fmt.Sprintf("%d sessions, %s, %s", n, name, what), func(t *testing.T) {
					const wait = 50 * minute
					a := &asks{
						endpoint: &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: 20 * minute},
						of:       make(map[string]bool), status: tt.status, wait: wait,
					}
					p := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: a}})
					t.Cleanup(p.Stop)
					if err := p.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					var told, others []*refresh.Manager
					for i := range n {
						pair := a.pair()
						m, err := p.Add(t.Context(), fmt.Sprint(i), pair)
						if err != nil {
							t.Fatal(err)
						}
						if i < tt.told {
							a.of[pair.RefreshToken] = true
							told = append(told, m)
						} else {
							others = append(others, m)
						}
					}
					time.Sleep(5 * minute)
					for _, m := range told {
						is(t, m.ForceRefresh(t.Context()), oauth.ErrTransient)
					}
					from := time.Now()
					a.requests()
					for time.Since(from) < wait-time.Second {
						for _, m := range others {
							begun := time.Now()
							if callers {
								if _, err := m.TokenContext(t.Context()); err != nil || time.Since(begun) > most {
									t.Fatalf("%v later another session has a token after %v, error %v; want it within %v", time.Since(from), time.Since(begun), err, most)
								}
							} else if m.GetRefreshStatus().TimeUntilExpiry <= 0 && most == 0 {
								t.Fatalf("%v later another session has no token", time.Since(from))
							}
						}
						time.Sleep(time.Second)
					}
					for _, m := range told {
						if !m.GetLastRefreshAt().IsZero() {
							t.Error("a session that was told to wait did not")
						}
					}
					a.mu.Lock()
					a.of = nil
					a.mu.Unlock()
					time.Sleep(wait + 2*minute) // some hear of it only when the others are served again
					alive(t, told)
				})
			}
		}
	}
}

// While all are told to wait, few requests find out whether that is still so.
func TestF85_AServerThatTellsAllToWaitIsAskedSeldom(t *testing.T) {
	inBubble(t, "64 sessions", func(t *testing.T) {
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: 10 * minute}
		_, managers := manySessions(t, e, 64)
		e.fail(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Status: 503, RetryAt: time.Now().Add(2 * time.Hour)})
		var callers sync.WaitGroup
		until := time.Now().Add(time.Hour)
		for _, m := range managers {
			callers.Go(func() {
				for time.Now().Before(until) {
					_, _ = m.TokenContext(t.Context())
					time.Sleep(time.Second)
				}
			})
		}
		callers.Wait()
		if n := len(e.requests()); n > 80 {
			t.Errorf("%d requests in an hour in which the server wants to be left alone by 64 sessions", n)
		}
		e.fail(nil)
		e.live(10 * time.Hour)
		time.Sleep(time.Hour + 2*minute)
		alive(t, managers)
	})
}
