package refresh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// Where only the refresh token's end is known, a clock that is set back does not put off what
// is due before it: neither the renewal nor the news that the end comes near. It does not
// matter whether the session rests meanwhile, or its program is started after that.
func TestLaw9_TimesOfARefreshTokenCountByBothClocks(t *testing.T) {
	const life = 4 * time.Hour
	for name, tt := range map[string]struct {
		pool, restart, paused bool
	}{"a manager": {}, "a session at rest": {pool: true}, "started again": {restart: true}, "renewed by nobody": {paused: true}, "at rest, by nobody": {pool: true, paused: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk, events := newWallClock(t, monoStays), new(recorder)
				server := oauthtest.New(oauthtest.Config{Now: time.Now, AnnounceRefreshLifetime: true, RefreshTokenLifetime: life, AccessTokenLifetime: 100 * time.Hour})
				server.Script(oauthtest.Fault{ExpiresIn: oauthtest.Missing, Times: -1})
				first, err := server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				first.ExpiresAt, first.ExpiresIn = time.Time{}, 0
				first.IssuedAt = time.Now()
				cfg := refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: new(tokenstore.Memory), OnEvent: events.add}
				drivenBy(clk)(&cfg)
				if tt.paused {
					cfg.Renewal = refresh.RenewNever
				}
				m := refresh.NewManager(cfg)
				look := func() {}
				if tt.pool {
					p := refresh.NewPool(refresh.PoolConfig{Config: cfg})
					if err := p.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					defer p.Stop()
					pooled, err := p.Add(t.Context(), "alice", first)
					if err != nil {
						t.Fatal(err)
					}
					look = func() { _, _ = pooled.TokenContext(t.Context()) } // wakes it, and it goes to rest again
				} else if err := m.Start(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * minute)
				if tt.restart {
					m.Stop()
				}
				clk.move(-6 * time.Hour)
				if tt.restart {
					m = refresh.NewManager(cfg)
					if err := m.Start(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
				}
				defer m.Stop()
				look()
				time.Sleep(life - 10*minute)
				switch n, told := server.Refreshes(), events.count(refresh.EventRefreshTokenEnding); {
				case tt.paused && told != 1:
					t.Errorf("told %d times of the end", told)
				case !tt.paused && n != 1:
					t.Errorf("%d refreshes; want 1, before the refresh token's end", n)
				}
				if !tt.paused && !tt.pool {
					if err := m.ForceRefresh(context.Background()); err != nil {
						t.Error(err)
					}
				}
				if mistakes := server.Audit(); len(mistakes) > 0 {
					t.Errorf("mistakes: %v", mistakes)
				}
			})
		})
	}
}
