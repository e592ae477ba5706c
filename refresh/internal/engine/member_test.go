package engine

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/reach"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/tokenstore"
)

// A caller who has the turn when a look is due makes up for it at once: the next look is a
// check interval later.
func TestALookThatFoundTheTurnTakenIsMadeUpFor(t *testing.T) {
	for name, busy := range map[string]func(m *Member, f func() error) error{
		"by a caller who changes the session": func(m *Member, f func() error) error {
			return m.WithTurn(context.Background(), func(*session.Session) error { return f() })
		},
		"by one who holds it": func(m *Member, f func() error) error {
			c := m.hold()
			defer m.release(c)
			return m.inTurn(context.Background(), c, f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var looks atomic.Int64
				m := started(t, func(e session.Event) {
					if e.Kind == session.EventChecked {
						looks.Add(1)
					}
				})
				_ = busy(m, func() error {
					before := looks.Load()
					time.Sleep(time.Minute + time.Second)
					synctest.Wait()
					if looks.Load() == before {
						t.Error("no look came while the turn was taken")
					}
					looks.Store(0)
					return nil
				})
				synctest.Wait()
				if n := looks.Load(); n != 1 {
					t.Errorf("%d looks when the turn is free; want the one that was left out", n)
				}
			})
		})
	}
}

// When a Store is back that was away, all sessions are looked at soon, once per check
// interval at most: that one call of it fails all the time is no reason to look all the time.
func TestLooksComeSoonerWhenTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		m := started(t, func(e session.Event) {
			if e.Kind == session.EventChecked {
				looks.Add(1)
			}
		})
		line := m.cfg.Session.Reach
		flap := func() {
			line.Read(context.Background(), m.Now(), tokenstore.ErrUnavailable)
			time.Sleep(2 * time.Second)
			line.Read(context.Background(), m.Now(), nil)
		}
		within := func(while time.Duration, want int64) {
			t.Helper()
			looks.Store(0)
			time.Sleep(while)
			synctest.Wait()
			if n := looks.Load(); n != want {
				t.Errorf("%d looks within %v; want %d", n, while, want)
			}
		}
		time.Sleep(time.Second) // the first look has been
		flap()
		within(11*time.Second, 1)
		for range 10 {
			flap()
		}
		within(10*time.Second, 0)
		time.Sleep(time.Minute)
		flap()
		within(11*time.Second, 1)
	})
}

// What waits for a Store to be back is the engine, which is started many times.
func TestALifeIsForgottenWhenItHasEnded(t *testing.T) {
	var life weak.Pointer[life]
	synctest.Test(t, func(t *testing.T) {
		m := started(t, func(session.Event) {})
		m.engine.mu.Lock()
		life = weak.Make(m.engine.life)
		m.engine.mu.Unlock()
		if err := m.Close(context.Background(), false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // for what is on its way out
		for range 3 {
			runtime.GC()
		}
		if life.Value() != nil {
			t.Error("an engine that was stopped keeps what it ran with")
		}
		runtime.KeepAlive(m)
	})
}

// The program's Locker is called by a login, on a goroutine of its own after OnRefreshFail,
// and by a logout: neither ends the process, nor goes on without a lease.
func TestALockerThatPanicsOrGivesNoLeaseFailsTheCall(t *testing.T) {
	panics := locker(func() (tokenstore.Lease, error) { panic("odd") })
	none := locker(func() (tokenstore.Lease, error) { return nil, nil })
	for name, call := range map[string]func(t *testing.T, m *Member) error{
		"login": func(t *testing.T, m *Member) error {
			return m.LoginOnce(t.Context(), func(context.Context) (*oauth.TokenPair, error) {
				t.Error("a person is asked without the lock")
				return nil, oauth.ErrTransient
			}, m.Update)
		},
		"logout": func(t *testing.T, m *Member) error { return m.Logout(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := started(t, func(session.Event) {})
				m.cfg.Session.Locker = panics
				if panicked := new(failure.PanicError); !errors.As(call(t, m), &panicked) || panicked.Where != "Store.Lock" {
					t.Errorf("a panic became %v", panicked)
				}
				m.cfg.Session.Locker = none
				if err := call(t, m); err == nil {
					t.Error("no error without a lease")
				}
				if cur, _ := m.View(); cur == nil {
					t.Error("the session is gone")
				}
			})
		})
	}
}

type locker func() (tokenstore.Lease, error)

func (l locker) Lock(context.Context, string) (tokenstore.Lease, error) { return l() }

// started returns a session that runs alone, and whose token lives for a day.
func started(t *testing.T, emit func(session.Event)) *Member {
	t.Helper()
	clk := clock.New()
	cfg := &Config{
		Session: &session.Config{
			Refresh: func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return nil, oauth.ErrTransient },
			Reach:   new(reach.Line),
			Gate:    gate.New("as", gate.Limits{}, 1), Clock: clk, Logger: slog.New(slog.DiscardHandler),
			RefreshThreshold: 5 * time.Minute, CheckInterval: time.Minute, RefreshTimeout: 30 * time.Second, MaxWait: 30 * time.Second,
			ConfigID: "config", RenewsGrant: func(string) bool { return false },
		},
		Emit: func(_ string, e session.Event, _ time.Time) { emit(e) },
	}
	m := new(Member)
	m.Init(New(Options{Clock: clk, CheckInterval: time.Minute, Logger: cfg.Session.Logger, Alone: true}), cfg, "session", nil)
	now := time.Now().UTC()
	if err := m.Start(t.Context(), &oauth.TokenPair{AccessToken: "a", RefreshToken: "r", IssuedAt: now, ExpiresAt: now.Add(24 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background(), false) })
	synctest.Wait()
	return m
}
