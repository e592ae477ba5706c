//go:build real && unix

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

const recordKey = "evertoken:{de}:session:default"

func TestARestartWithPersistenceLosesNothing(t *testing.T) {
	server := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	s, other := server.open("", redisstore.Config{}), server.open("", redisstore.Config{})
	version := set(t, s, "default", record("1"))
	lease := lock(t, s, "default")
	server.kill()
	_, err := s.Get(t.Context(), "default")
	is(t, "Get without a Redis", err, tokenstore.ErrUnavailable)
	server.start()
	holds(t, s, "default", "1", version)
	wantLocked(t, other, "default")
	if err := lease.Unlock(); err != nil {
		t.Errorf("Unlock: %v", err)
	}
}

// What Redis loses is told from what somebody has deleted, however it was lost.
func TestALossIsNotALogout(t *testing.T) {
	for name, lose := range map[string]func(s *server, c *redis.Client) error{
		"restart without persistence": func(s *server, _ *redis.Client) error { s.kill(); s.start(); return nil },
		"flush":                       func(_ *server, c *redis.Client) error { return c.FlushAll(context.Background()).Err() },
		"eviction":                    func(_ *server, c *redis.Client) error { return c.Del(context.Background(), recordKey).Err() },
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t)
			s, reader, stranger, c := server.open("", redisstore.Config{}), server.open("", redisstore.Config{}), server.open("", redisstore.Config{}), server.direct()
			defer c.Close()
			version := set(t, s, "default", record("1"))
			holds(t, reader, "default", "1", version)
			if err := lose(server, c); err != nil {
				t.Fatal(err)
			}
			for what, store := range map[string]*redisstore.Store{"who saved it": s, "who read it": reader} {
				_, err := store.Get(t.Context(), "default")
				is(t, "Get by "+what, err, tokenstore.ErrDamaged)
				_, err = store.Stamp(t.Context(), "default")
				is(t, "Stamp by "+what, err, tokenstore.ErrDamaged)
			}
			_, err := stranger.Get(t.Context(), "default")
			is(t, "Get by who has never seen it", err, tokenstore.ErrNotFound)
			_, err = s.Get(t.Context(), "other")
			is(t, "Get of one that never was", err, tokenstore.ErrNotFound)

			healed := set(t, s, "default", record("1"))
			if healed <= version {
				t.Errorf("version %d comes after %d", healed, version)
			}
			holds(t, reader, "default", "1", healed)
			if err := s.Delete(t.Context(), "default", healed); err != nil {
				t.Fatalf("Delete: %v", err)
			}
			_, err = reader.Get(t.Context(), "default")
			is(t, "Get after a logout", err, tokenstore.ErrNotFound)
		})
	}
}

// A logout of a lost session is one too: nobody may save it again.
func TestALostSessionCanBeDeleted(t *testing.T) {
	server := startServer(t)
	s, other, c := server.open("", redisstore.Config{}), server.open("", redisstore.Config{}), server.direct()
	defer c.Close()
	version := set(t, s, "default", record("1"))
	holds(t, other, "default", "1", version)
	c.FlushAll(t.Context())
	is(t, "Delete", s.Delete(t.Context(), "default", version), tokenstore.ErrNotFound)
	_, err := s.Get(t.Context(), "default")
	is(t, "Get", err, tokenstore.ErrNotFound)
	_, err = other.Get(t.Context(), "default")
	is(t, "Get by another", err, tokenstore.ErrNotFound)
}

// A session that was deleted, came again, and is lost then: the trace of the deletion
// is older than it.
func TestALossAfterALogout(t *testing.T) {
	server := startServer(t)
	s, c := server.open("", redisstore.Config{}), server.direct()
	defer c.Close()
	if err := s.Delete(t.Context(), "default", set(t, s, "default", record("1"))); err != nil {
		t.Fatal(err)
	}
	set(t, s, "default", record("2"))
	c.Del(t.Context(), recordKey)
	_, err := s.Get(t.Context(), "default")
	is(t, "Get", err, tokenstore.ErrDamaged)
}

// The whole way: a manager goes on through a Redis that is down, and saves its session
// again in one that came back empty.
func TestAManagerOutlivesItsRedis(t *testing.T) {
	server := startServer(t)
	auth := oauthtest.NewServer(oauthtest.Config{})
	defer auth.Close()
	tokens, err := auth.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	s := server.open("", redisstore.Config{})
	m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(auth.OAuthConfig()), Store: s, CheckInterval: 50 * time.Millisecond})
	if err := m.Start(t.Context(), tokens); err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	server.kill()
	if err := m.ForceRefresh(t.Context()); !errors.Is(err, tokenstore.ErrUnavailable) || !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("ForceRefresh without a Redis: %v; want ErrUnavailable, and transient", err)
	}
	if got, err := m.TokenContext(t.Context()); err != nil || got.AccessToken != tokens.AccessToken {
		t.Errorf("the token that lives is not served: %v", err)
	}
	if n := len(auth.Spends()); n != 0 {
		t.Errorf("%d spends without a lock; want none", n)
	}
	server.start()
	reader := server.open("", redisstore.Config{})
	eventually(t, "the session is saved again", func() bool {
		rec, err := reader.Get(t.Context(), "default")
		return err == nil && rec.Tokens.RefreshToken == m.GetTokens().RefreshToken
	})
	eventually(t, "it is refreshed again", func() bool { return m.ForceRefresh(t.Context()) == nil })
	if mistakes := auth.Audit(); len(mistakes) > 0 {
		t.Errorf("mistakes: %v", mistakes)
	}
}

// What somebody else wrote there is moved aside and kept.
func TestADamagedRecordIsMovedAside(t *testing.T) {
	server := startServer(t)
	s, c := server.open("", redisstore.Config{}), server.direct()
	defer c.Close()
	version := set(t, s, "default", record("1"))
	c.HSet(t.Context(), recordKey, "r", "garbage")
	for range 2 {
		_, err := s.Get(t.Context(), "default")
		is(t, "Get", err, tokenstore.ErrDamaged)
	}
	_, err := s.Set(t.Context(), "default", over(version, "2"))
	is(t, "Set over it", err, tokenstore.ErrConflict)
	if names, err := s.Names(t.Context()); len(names) != 1 || err != nil {
		t.Errorf("Names: %q, %v; want the damaged session too", names, err)
	}
	next := set(t, s, "default", record("2"))
	holds(t, s, "default", "2", next)
	if aside := c.HGet(t.Context(), recordKey, "d").Val(); aside != "garbage" || next <= version {
		t.Errorf("aside lies %q, and version %d follows %d", aside, next, version)
	}

	c.HSet(t.Context(), recordKey, "r", "garbage again")
	_, err = s.Get(t.Context(), "default")
	is(t, "Get", err, tokenstore.ErrDamaged)
	is(t, "Delete", s.Delete(t.Context(), "default", next), tokenstore.ErrNotFound)
	_, err = s.Get(t.Context(), "default")
	is(t, "Get after Delete", err, tokenstore.ErrNotFound)
}

// A record longer than any that is saved here is damaged, although it could be read, and
// moved aside without being read. One of the greatest length is none of these.
func TestARecordThatIsTooLongIsNotRead(t *testing.T) {
	server := startServer(t)
	s, c := server.open("", redisstore.Config{}), server.direct()
	defer c.Close()
	rec := record("1")
	version := set(t, s, "default", rec)
	stored := c.HGet(t.Context(), recordKey, "r").Val()
	padded := func(size int) string { return stored + strings.Repeat(" ", size-len(stored)) }

	c.HSet(t.Context(), recordKey, "r", padded(tokenstore.MaxRecord))
	holds(t, s, "default", "1", version)
	long := padded(tokenstore.MaxRecord + 1)
	c.HSet(t.Context(), recordKey, "r", long)
	for page, err := range s.Pages(t.Context(), 10) {
		if err != nil || len(page) != 1 || page[0].Record != nil {
			t.Errorf("a page of %v, %v; want the session without its record", page, err)
		}
	}
	_, err := s.Get(t.Context(), "default")
	is(t, "Get", err, tokenstore.ErrDamaged)
	if aside := c.HGet(t.Context(), recordKey, "d").Val(); aside != long {
		t.Errorf("aside lie %d bytes; want %d", len(aside), len(long))
	}
	holds(t, s, "default", "2", set(t, s, "default", record("2")))

	rec.Tokens.AccessToken = strings.Repeat("a", tokenstore.MaxRecord)
	if _, err := s.Set(t.Context(), "other", rec); err == nil || !strings.Contains(err.Error(), "may have 655360") {
		t.Errorf("Set of a longer one: %v; want how long it may be", err)
	}
}

// Redis has lost a session that a host with a clock ahead had saved, and its person logs out.
// The deleter knows the version, whatever its clock says, and so the logout is one for all.
func TestALogoutAfterALossCountsAlthoughTheClockIsBehind(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	s, other := server.open("", redisstore.Config{}), server.open("", redisstore.Config{})
	set(t, s, "default", record("1"))
	ahead := uint64(time.Now().Add(5*time.Minute).Unix()) << 20
	c.HSet(t.Context(), recordKey, "v", ahead) // as a host writes whose clock is five minutes ahead
	holds(t, s, "default", "1", ahead)
	holds(t, other, "default", "1", ahead)
	c.FlushAll(t.Context())
	_, err := other.Get(t.Context(), "default")
	is(t, "Get of what is lost", err, tokenstore.ErrDamaged)
	is(t, "Delete of what is lost", other.Delete(t.Context(), "default", ahead), tokenstore.ErrNotFound)
	_, err = s.Get(t.Context(), "default")
	is(t, "Get after the logout", err, tokenstore.ErrNotFound)
}

// badVersions are what another program may have written in place of a version.
var badVersions = []string{
	"", "abc", "-1", "0", "007", "1.5", "1e300", "nan", "inf", "9007199254740992", "9223372036854775808", "18446744073709551616", "-9223372036854775808", strings.Repeat("9", 400), "\x00",
}

// A version that is none makes the record a damaged one, and a login heals it.
func TestABadVersionWedgesNoSession(t *testing.T) {
	server := startServer(t)
	s, c := server.open("", redisstore.Config{}), server.direct()
	defer c.Close()
	for _, bad := range badVersions {
		version := set(t, s, "default", record("1"))
		c.HSet(t.Context(), recordKey, "v", bad)
		_, err := s.Stamp(t.Context(), "default")
		is(t, fmt.Sprintf("Stamp of version %.30q", bad), err, tokenstore.ErrDamaged)
		for page, err := range s.Pages(t.Context(), 10) {
			if err != nil || len(page) != 1 || page[0].Record != nil {
				t.Errorf("version %.30q: a page of %v, %v", bad, page, err)
			}
		}
		_, err = s.Get(t.Context(), "default")
		is(t, fmt.Sprintf("Get of version %.30q", bad), err, tokenstore.ErrDamaged)
		_, err = s.Set(t.Context(), "default", over(version, "2"))
		is(t, fmt.Sprintf("Set over version %.30q", bad), err, tokenstore.ErrConflict)
		_, _, err = s.BeginSpend(t.Context(), s, "default", over(version, "2"), false)
		is(t, fmt.Sprintf("BeginSpend over version %.30q", bad), err, tokenstore.ErrConflict)
		next := set(t, s, "default", record("3"))
		holds(t, s, "default", "3", next)
		c.HSet(t.Context(), recordKey, "v", bad)
		_, _ = s.Get(t.Context(), "default")
		is(t, fmt.Sprintf("Delete of version %.30q", bad), s.Delete(t.Context(), "default", next), tokenstore.ErrNotFound)
		next = set(t, s, "default", record("4"))
		if err := s.Delete(t.Context(), "default", next); err != nil {
			t.Errorf("after version %.30q: Delete: %v", bad, err)
		}
	}
}

// Nor does one of a session that was deleted.
func TestABadVersionOfATombstoneWedgesNoSession(t *testing.T) {
	server := startServer(t)
	s, c := server.open("", redisstore.Config{}), server.direct()
	defer c.Close()
	tomb := strings.Replace(recordKey, "session:", "deleted:", 1)
	for _, bad := range badVersions {
		version := set(t, s, "default", record("1"))
		if err := s.Delete(t.Context(), "default", version); err != nil {
			t.Fatal(err)
		}
		c.HSet(t.Context(), tomb, "v", bad)
		next := set(t, s, "default", record("2"))
		holds(t, s, "default", "2", next)
		c.HSet(t.Context(), tomb, "v", bad)
		if err := s.Delete(t.Context(), "default", next); err != nil {
			t.Errorf("tombstone %.30q: Delete: %v", bad, err)
		}
	}
}

func TestAFailoverGoesOn(t *testing.T) {
	sentinel, master, impatience := startSentinel(t)
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{sentinel}, ReadTimeout: patience})
	s := newStore(t, client, redisstore.Config{})
	version := set(t, s, "default", record("1"))
	if n, err := client.Wait(t.Context(), 1, patience).Result(); n != 1 || err != nil {
		t.Fatalf("%d replicas have it, %v", n, err)
	}
	impatience()
	master.kill()
	var next uint64
	eventually(t, "the replica takes over", func() bool {
		var err error
		next, err = s.Set(t.Context(), "default", over(version, "2"))
		if err != nil {
			is(t, "Set meanwhile", err, tokenstore.ErrUnavailable)
		}
		return err == nil
	})
	holds(t, s, "default", "2", next)
}
