package teststore

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/wrongclock"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// CountByOneClock has two hosts that are ten minutes apart share a session whose
// tokens live for half of that. open returns, each time, a store over the same data.
func CountByOneClock(t *testing.T, open func() tokenstore.Store) {
	t.Helper()
	const life, slack = 5 * time.Minute, time.Minute // of machines that are slow
	server := oauthtest.NewServer(oauthtest.Config{AccessTokenLifetime: life})
	t.Cleanup(server.Close)
	issued := time.Now()
	first, err := server.Login(oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	Set(t, open(), "default", &tokenstore.Record{Tokens: first})
	for i, off := range []time.Duration{-5 * time.Minute, 5 * time.Minute, -5 * time.Minute} {
		cfg := server.OAuthConfig()
		cfg.Now = wrongclock.By(off).Now
		m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(cfg), Store: open(), Clock: wrongclock.By(off)})
		if err := m.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := m.TokenContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := m.GetRefreshStatus().TimeUntilExpiry; left > life+slack || left < life-time.Since(issued)-slack {
			t.Errorf("a token of %v lives for %v, says a host that is off by %v", life, left, off)
		}
		if n := len(server.Spends()); n != i {
			t.Fatalf("%d refreshes; want %d: what one host has saved, another one takes for expired", n, i)
		}
		issued = time.Now()
		if err := m.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Stop()
	}
	for _, mistake := range server.Audit() {
		t.Errorf("the server saw a mistake: %v", mistake)
	}
}
