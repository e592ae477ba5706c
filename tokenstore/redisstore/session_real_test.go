//go:build real && unix

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

// F12: a process with the old pair hears that it is dead. What it would write, or
// delete, is not the session any more.
func TestF12_ALoserDoesNotWipeTheWinner(t *testing.T) {
	server := startServer(t)
	winner, loser := server.open("", redisstore.Config{}), server.open("", redisstore.Config{})
	old := set(t, winner, "default", record("1"))
	version := set(t, winner, "default", over(old, "2"))
	dead := over(old, "1")
	dead.Dead = &tokenstore.Mark{Token: tokenstore.Fingerprint(dead.Tokens.RefreshToken), At: time.Now(), Code: "invalid_grant"}
	_, err := loser.Set(t.Context(), "default", dead)
	is(t, "Set of the verdict", err, tokenstore.ErrConflict)
	is(t, "Delete", loser.Delete(t.Context(), "default", old), tokenstore.ErrConflict)
	holds(t, winner, "default", "2", version)
}

// F13: whoever sees a session sees its lock, and nobody else does.
func TestF13_TheLockIsWhereTheSessionIs(t *testing.T) {
	server := startServer(t)
	s, same, apart := server.open("", redisstore.Config{}), server.open("", redisstore.Config{}), server.open("", redisstore.Config{Prefix: "other:"})
	version := set(t, s, "default", record("1"))
	lease := lock(t, s, "default")
	defer lease.Unlock()
	holds(t, same, "default", "1", version)
	wantLocked(t, same, "default")
	_, err := apart.Get(t.Context(), "default")
	is(t, "Get with another prefix", err, tokenstore.ErrNotFound)
	_ = lock(t, apart, "default").Unlock()
}

func TestHostsCountByTheClockOfRedis(t *testing.T) {
	server := startServer(t)
	teststore.CountByOneClock(t, func() tokenstore.Store { return server.open("", redisstore.Config{}) })
}

// newManager starts a manager with a session that is saved in s.
func newManager(t *testing.T, s tokenstore.Store, wait time.Duration) (*refresh.Manager, *oauthtest.Server) {
	t.Helper()
	auth := oauthtest.NewServer(oauthtest.Config{})
	t.Cleanup(auth.Close)
	tokens, err := auth.Login(oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(auth.OAuthConfig()), Store: s, MaxWait: wait})
	if err := m.Start(t.Context(), tokens); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m, auth
}

// F15: somebody has the lock for longer than one waits.
func TestF15_ALockThatCannotBeHad(t *testing.T) {
	server := startServer(t)
	s, other := server.open("", redisstore.Config{}), server.open("", redisstore.Config{})
	m, auth := newManager(t, s, 300*time.Millisecond)
	lease := lock(t, other, "default")
	defer lease.Unlock()
	before := m.GetTokens()
	var err error
	eventually(t, "Redis answers while the manager waits", func() bool {
		err = m.ForceRefresh(t.Context())
		return !errors.Is(err, tokenstore.ErrUnavailable)
	})
	is(t, "ForceRefresh", err, tokenstore.ErrLocked)
	if !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("ForceRefresh: %v; want it to be transient", err)
	}
	if got, err := m.TokenContext(t.Context()); err != nil || got.AccessToken != before.AccessToken {
		t.Errorf("the token that lives is not served: %v", err)
	}
	if n := len(auth.Spends()); n != 0 {
		t.Errorf("%d spends without a lock; want none", n)
	}
}

// F20: the wait for the lock ends, and the one who has it has saved by then.
func TestF20_WhoWaitedInVainLooksOnceMore(t *testing.T) {
	server := startServer(t)
	for wait := time.Second; !lookedOnceMore(t, server, wait); wait *= 2 {
		if wait > 16*time.Second {
			t.Fatal("ForceRefresh adopts no pair that was saved while it waited")
		}
	}
}

// lookedOnceMore saves a pair while a manager waits for the lock, and returns false if the
// manager does not adopt it: on a busy machine the pair may come too late.
func lookedOnceMore(t *testing.T, server *server, wait time.Duration) bool {
	t.Helper()
	prefix := redisstore.Config{Prefix: fmt.Sprintf("%v:", wait)}
	s, other := server.open("", prefix), server.open("", prefix)
	m, auth := newManager(t, s, wait)
	lease := lock(t, other, "default")
	defer lease.Unlock()
	c := server.direct()
	defer c.Close()
	asked := scripts(t, c)
	waited := make(chan error, 1)
	go func() { waited <- m.ForceRefresh(t.Context()) }()
	eventually(t, "the manager waits for the lock", func() bool { return scripts(t, c) >= asked+3 || len(waited) > 0 })

	rec, err := other.Get(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	next, err := oauth.NewClient(auth.OAuthConfig()).Refresh(t.Context(), rec.Tokens)
	if err != nil {
		t.Fatal(err)
	}
	rec.Supersede(next)
	set(t, other, "default", rec)
	if err := <-waited; err != nil {
		t.Logf("ForceRefresh, which waits for %v: %v", wait, err)
		return false
	}
	if got := m.GetTokens(); got.AccessToken != next.AccessToken {
		t.Error("the manager has another pair than the one saved")
	}
	if mistakes := auth.Audit(); len(mistakes) > 0 || len(auth.Spends()) != 1 {
		t.Errorf("mistakes %v, %d spends; want none, and 1", mistakes, len(auth.Spends()))
	}
	return true
}

// scripts returns how many scripts the server has run.
func scripts(t *testing.T, c *redis.Client) (calls int) {
	t.Helper()
	info, err := c.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(info, "cmdstat_evalsha:calls=")
	_, _ = fmt.Sscanf(after, "%d", &calls)
	return calls
}

// roundTrips counts what a client sends at once.
type roundTrips struct{ n atomic.Int32 }

func (r *roundTrips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *roundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.n.Add(1)
		return next(ctx, cmd)
	}
}

func (r *roundTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		r.n.Add(1)
		return next(ctx, cmds)
	}
}

func TestASavedRefreshIsTwoRoundTrips(t *testing.T) {
	server := startServer(t)
	for _, sealed := range []bool{false, true} {
		client, count := redis.NewClient(clientOptions(server.addr)), new(roundTrips)
		client.AddHook(count)
		key := tokenstore.NewKey()
		beneath := func(s tokenstore.Store) tokenstore.Store {
			if sealed {
				return tokenstore.NewSealed(s, tokenstore.Keys(key))
			}
			return s
		}
		store := beneath(newStore(t, client, redisstore.Config{Prefix: fmt.Sprintf("%v:", sealed)}))
		auth := oauthtest.NewServer(oauthtest.Config{})
		t.Cleanup(auth.Close)
		tokens, err := auth.Login(oauthtest.DefaultUser)
		if err != nil {
			t.Fatal(err)
		}
		var looks atomic.Int32
		m := refresh.NewManager(refresh.Config{
			OAuthClient: oauth.NewClient(auth.OAuthConfig()), Store: store, CheckInterval: time.Hour,
			OnEvent: func(e refresh.Event) {
				if e.Kind == refresh.EventChecked {
					looks.Add(1)
				}
			},
		})
		if err := m.Start(t.Context(), tokens); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Stop)
		other, others := redis.NewClient(clientOptions(server.addr)), new(roundTrips)
		other.AddHook(others)
		sibling := refresh.NewManager(refresh.Config{
			OAuthClient: oauth.NewClient(auth.OAuthConfig()), CheckInterval: time.Hour,
			Store: beneath(newStore(t, other, redisstore.Config{Prefix: fmt.Sprintf("%v:", sealed)})),
		})
		if err := sibling.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sibling.Stop)
		renew := func() {
			t.Helper()
			looked := looks.Load()
			if err := m.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			// The manager hears of its own save, and has a look for that.
			eventually(t, "the manager has looked", func() bool { return looks.Load() > looked })
			want := m.GetTokens().AccessToken
			eventually(t, "the sibling has adopted", func() bool { return sibling.GetTokens().AccessToken == want })
		}
		renew()
		renew()
		// A look that finds a refresh under way, as one for a notice that comes late, is made
		// up for: that is one more. It is not one in each refresh.
		spends := 2
		for cheap := 0; cheap < 8; spends++ {
			before, theirs := count.n.Load(), others.n.Load()
			renew()
			mine, theirs := count.n.Load()-before, others.n.Load()-theirs
			if mine < 2 || theirs < 1 {
				t.Fatalf("sealed=%v: %d round trips for a refresh, and %d for its adoption by another process", sealed, mine, theirs)
			}
			// Of a sealed record a notice cannot say that a spend has only begun.
			if mine == 2 && (theirs == 1 || sealed) {
				cheap++
			}
			if spends == 100 {
				t.Fatalf("sealed=%v: %d of 98 refreshes took 2 round trips, and 1 for another process", sealed, cheap)
			}
		}
		if mistakes := auth.Audit(); len(mistakes) > 0 || len(auth.Spends()) != spends {
			t.Errorf("mistakes %v, %d spends", mistakes, len(auth.Spends()))
		}
	}
}
