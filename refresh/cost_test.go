package refresh_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// What a refresh costs beyond that of the OAuthClient, which here is nothing but
// the new pair and its two tokens. A Store in memory writes and reads JSON twice, and each call
// of a Store has a goroutine of its own. The race detector makes pools forget at random, which
// costs some more.
func TestARefreshCostsFewAllocations(t *testing.T) {
	if *resting {
		return // the session would be packed and unpacked each time
	}
	for _, tt := range []struct {
		name  string
		store tokenstore.Store
		most  float64
	}{{"no Store", nil, 64}, {"Memory", new(tokenstore.Memory), 440}} {
		n := 0
		m := refresh.NewManager(refresh.Config{Store: tt.store, OAuthClient: refresh.RefresherFunc(
			func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				n++
				return &oauth.TokenPair{AccessToken: fmt.Sprint("access-", n), RefreshToken: fmt.Sprint("refresh-", n), ExpiresIn: 3600}, nil
			})})
		if err := m.Start(t.Context(), &oauth.TokenPair{AccessToken: "a", RefreshToken: "r", ExpiresIn: 3600}); err != nil {
			t.Fatal(err)
		}
		if got := allocations(t, func() error { return m.ForceRefresh(context.Background()) }); got > tt.most {
			t.Errorf("%s: %v allocations; want at most %v", tt.name, got, tt.most)
		}
		m.Stop()
	}
}

// Who cannot leave does the work himself; that must not be seen.
func TestForceRefreshIsSharedByThoseWhoCanLeaveAndThoseWhoCannot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: time.Second})
		forever := context.Background()
		soon, cancel := context.WithTimeout(forever, time.Minute)
		defer cancel()
		results, begun := make(chan error), time.Now()
		for _, ctx := range []context.Context{forever, soon, forever, soon} {
			go func() { results <- f.ForceRefresh(ctx) }()
		}
		for range 4 {
			if err := <-results; err != nil || time.Since(begun) != time.Second {
				t.Errorf("back after %v, error %v; want all to be back with the new token, after 1s", time.Since(begun), err)
			}
		}
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes; want 1", n)
		}
		f.Stop()
		f.clean(t)
	})
}

// Stop waits for a refresh that runs on its caller's goroutine too.
func TestStopWaitsForARefreshOfWhoCannotLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: time.Second})
		go func() { _ = f.ForceRefresh(context.Background()) }()
		synctest.Wait()
		f.Stop()
		rec, err := f.store.Get(t.Context(), "default")
		if err != nil || f.server.Refreshes() != 1 || rec.Tokens.RefreshToken == f.first.RefreshToken {
			t.Errorf("%d refreshes, error %v; want the new pair to be saved when Stop returns", f.server.Refreshes(), err)
		}
		f.clean(t)
	})
}

func TestALoggerHearsWhatItsLevelAllows(t *testing.T) {
	for level, want := range map[slog.Level][]string{
		slog.LevelDebug: {"started", "refreshing", "refreshed", "refreshing", "refresh_failed", "stopped"},
		slog.LevelInfo:  {"started", "refreshed", "refresh_failed", "stopped"},
		slog.LevelWarn:  {"refresh_failed"},
		slog.LevelError: nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			f := newFixture(t, oauthtest.Config{}, func(c *refresh.Config) {
				c.OnEvent = nil
				c.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))
			}).start(t)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.server.Script(oauthtest.Fault{Status: 503})
			if err := f.ForceRefresh(t.Context()); err == nil {
				t.Fatal("the server was in trouble")
			}
			f.Stop()
			var got []string
			for line := range strings.Lines(out.String()) {
				_, said, _ := strings.Cut(line, "msg=")
				said, rest, _ := strings.Cut(said, " ")
				got = append(got, said)
				if !strings.HasPrefix(rest, "session=default") {
					t.Errorf("%q does not name the session", line)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v: %v; want %v", level, got, want)
			}
		})
	}
}
