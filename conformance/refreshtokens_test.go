package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken"
)

// newRedisClient returns a client of a new Redis.
func newRedisClient(t *testing.T) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: startRedis(t)})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

var errUnknownToken = errors.New("unknown to this program")

// TestRefreshTokenStoresAgree asks the same of the stores that servers can keep
// refresh tokens in.
func TestRefreshTokenStoresAgree(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]oauthtest.RefreshTokenStore{
		"memory": &refreshtokens.Memory{NotFound: errUnknownToken},
		"Redis":  refreshtoken.New(refreshtoken.Config{Client: newRedisClient(t), NotFound: errUnknownToken}),
	} {
		t.Run(name, func(t *testing.T) { agree(t, s) })
	}
}

func agree(t *testing.T, s oauthtest.RefreshTokenStore) {
	ctx, later := t.Context(), time.Now().Add(time.Hour)
	holds := func(token string, want any) {
		t.Helper()
		got, err := s.Get(ctx, token)
		if want == nil && err != errUnknownToken { // gin-jwt compares like this, too
			t.Errorf("Get(%q) = %v, %v; want the error for unknown tokens", token, got, err)
		}
		if want != nil && (err != nil || got != want) {
			t.Errorf("Get(%q) = %v, %v; want %v", token, got, err, want)
		}
	}
	set := func(token string, user any, expiry time.Time) {
		t.Helper()
		if err := s.Set(ctx, token, user, expiry); err != nil {
			t.Errorf("Set(%q): %v", token, err)
		}
	}
	counts := func(want int) {
		t.Helper()
		if n, err := s.Count(ctx); err != nil || n != want {
			t.Errorf("Count = %d, %v; want %d", n, err, want)
		}
	}
	const odd = "t:+/=\"* \x00\xff ä\n"
	holds("t", nil)
	counts(0)
	set("t", "alice", later)
	set(odd, "bob", later)
	holds("t", "alice")
	holds(odd, "bob")
	set("t", "carol", later)
	holds("t", "carol")
	counts(2)
	for range 2 {
		if err := s.Delete(ctx, odd); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	holds(odd, nil)
	counts(1)
	if err := s.Set(ctx, "", "alice", later); err == nil {
		t.Error("an empty token was stored")
	}
	holds("", nil)
	if n, err := s.Cleanup(ctx); err != nil || n != 0 {
		t.Errorf("Cleanup = %d, %v; want nothing to do", n, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Get(ended, "t"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get with a context that has ended: %v", err)
	}
	if _, err := s.Cleanup(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Cleanup with a context that has ended: %v", err)
	}
}

func TestRedisRemovesExpiredRefreshTokens(t *testing.T) {
	t.Parallel()
	client := newRedisClient(t)
	s := refreshtoken.New(refreshtoken.Config{Client: client, NotFound: errUnknownToken})
	ctx := t.Context()
	for token, life := range map[string]time.Duration{"short": 3 * time.Second, "long": time.Hour} {
		if err := s.Set(ctx, token, "alice", time.Now().Add(life)); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(stepLimit); ; {
		_, err := s.Get(ctx, "short")
		if err == errUnknownToken {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the token outlives its time: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n, err := client.DBSize(ctx).Result(); err != nil || n != 1 {
		t.Errorf("Redis holds %d keys (%v), want the one that lives", n, err)
	}
	if _, err := s.Get(ctx, "long"); err != nil {
		t.Errorf("the other token: %v", err)
	}
}

// TestRedisNeverSeesARefreshToken looks at all that Redis holds. The prefix is one
// that would match other stores' keys, were it a pattern.
func TestRedisNeverSeesARefreshToken(t *testing.T) {
	t.Parallel()
	client, ctx := newRedisClient(t), t.Context()
	const token = "PLANTED"
	starred := refreshtoken.New(refreshtoken.Config{Client: client, Prefix: "*"})
	for _, s := range []*refreshtoken.Store{starred, refreshtoken.New(refreshtoken.Config{Client: client})} {
		if err := s.Set(ctx, token, "alice", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := client.Keys(ctx, "*").Result()
	if err != nil || len(keys) != 2 {
		t.Fatalf("keys %q, %v; want two", keys, err)
	}
	for _, key := range keys {
		value, err := client.Get(ctx, key).Result()
		if err != nil || strings.Contains(key+value, token) {
			t.Errorf("Redis holds %q under %q (%v), which shows the token", value, key, err)
		}
	}
	if n, err := starred.Count(ctx); err != nil || n != 1 {
		t.Errorf("the store with the prefix * counts %d (%v), want its own", n, err)
	}
}

// TestGinJWTOnOurStoreOutlivesItself restarts gin-jwt between two refreshes.
func TestGinJWTOnOurStoreOutlivesItself(t *testing.T) {
	t.Parallel()
	s := startGinJWTOnOurs(t, serverOptions{life: defaultLife})
	k := s.keep(t, newStore(t), s.login(t, nil), nil)
	last := k.refresh()
	s.die()
	s.run()
	if k.refresh().RefreshToken == last.RefreshToken {
		t.Error("the pair is the one from before the restart")
	}
	k.well()
}
