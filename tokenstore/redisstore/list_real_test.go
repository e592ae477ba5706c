//go:build real && unix

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

func TestPagesAreComplete(t *testing.T) {
	addrs := startCluster(t)
	s := newStore(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ReadTimeout: patience}), redisstore.Config{})
	var all []string
	for i := range 3000 {
		name := fmt.Sprintf("user-%d", i)
		set(t, s, name, record("1"))
		all = append(all, name)
	}
	slices.Sort(all)
	for _, size := range []int{97, 1000, 2999, 3000, 5000} {
		var got []string
		for page, err := range s.Pages(t.Context(), size) {
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				got = append(got, e.Name)
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("pages of %d: %d names; want %d", size, len(got), len(all))
		}
	}
	if names, err := s.Names(t.Context()); !slices.Equal(names, all) || err != nil {
		t.Errorf("Names: %d, %v; want %d", len(names), err, len(all))
	}
	if n, err := s.Count(t.Context()); n != len(all) || err != nil {
		t.Errorf("Count: %d, %v; want %d", n, err, len(all))
	}
}

// Redis removes a session by itself. Nobody lists it, and Cleanup takes its name away.
func TestWhatRedisRemovesIsNotListed(t *testing.T) {
	server := startServer(t)
	s, c := server.open("", redisstore.Config{}), server.direct()
	defer c.Close()
	rec := record("1")
	rec.Tokens.RefreshExpiresAt = time.Now().Add(24 * time.Hour)
	set(t, s, "default", rec)
	if ttl := c.PTTL(t.Context(), recordKey).Val(); ttl < 31*24*time.Hour-time.Minute || ttl > 31*24*time.Hour {
		t.Errorf("Redis keeps it for %s; want the refresh token's day and thirty more", ttl)
	}
	version := set(t, s, "other", record("2"))
	rec = over(version, "2")
	rec.Tokens.RefreshExpiresAt = time.Now().Add(time.Hour)
	rec.Version = set(t, s, "other", rec)
	rec.Tokens.RefreshExpiresAt = time.Time{}
	set(t, s, "other", rec)
	if ttl := c.PTTL(t.Context(), keyOf(t, c, "*:session:other")).Val(); ttl != -1 {
		t.Errorf("Redis keeps a session whose end is no longer known for %s; want for ever", ttl)
	}

	c.PExpire(t.Context(), recordKey, time.Millisecond)
	eventually(t, "the session is gone", func() bool { return c.Exists(t.Context(), recordKey).Val() == 0 })
	if names, err := s.Names(t.Context()); !slices.Equal(names, []string{"other"}) || err != nil {
		t.Errorf("Names: %q, %v; want only the other", names, err)
	}
	if n, err := s.Count(t.Context()); n != 1 || err != nil {
		t.Errorf("Count: %d, %v; want 1", n, err)
	}
	if n, err := s.Cleanup(t.Context()); n != 0 || err != nil {
		t.Errorf("Cleanup: %d, %v; want 0", n, err)
	}
	if left := c.ZCard(t.Context(), "evertoken:{de}:names").Val(); left != 0 {
		t.Errorf("%d names are left in the index", left)
	}
}

// keyOf returns the only key that matches the pattern.
func keyOf(t *testing.T, c *redis.Client, pattern string) string {
	t.Helper()
	keys, err := c.Keys(t.Context(), pattern).Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %q, %v; want one", keys, err)
	}
	return keys[0]
}

func TestStampChangesWithTheRecord(t *testing.T) {
	server := startServer(t)
	s, other := server.open("", redisstore.Config{}), server.open("", redisstore.Config{})
	_, err := s.Stamp(t.Context(), "default")
	is(t, "Stamp of none", err, tokenstore.ErrNotFound)
	version := set(t, s, "default", record("1"))
	stamp, err := other.Stamp(t.Context(), "default")
	if again, _ := s.Stamp(t.Context(), "default"); err != nil || stamp != again {
		t.Errorf("stamps %d and %d, %v; want the same", stamp, again, err)
	}
	version = set(t, s, "default", over(version, "2"))
	if next, err := other.Stamp(t.Context(), "default"); err != nil || next == stamp {
		t.Errorf("stamp %d after a change, %v; want another than %d", next, err, stamp)
	}
	if err := s.Delete(t.Context(), "default", version); err != nil {
		t.Fatal(err)
	}
	_, err = other.Stamp(t.Context(), "default")
	is(t, "Stamp after Delete", err, tokenstore.ErrNotFound)
}

// watch listens until it is stopped, and returns what it hears and how it ends.
func watch(t *testing.T, s tokenstore.Watcher) (heard chan tokenstore.Change, ended chan error, stop func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	heard, ended = make(chan tokenstore.Change, 1000), make(chan error, 1)
	go func() { ended <- s.Watch(ctx, func(c tokenstore.Change) { heard <- c }) }()
	return heard, ended, stop
}

// hears waits for the notice of a change; other ones may come before.
func hears(t *testing.T, heard <-chan tokenstore.Change, name string) {
	t.Helper()
	hearsOf(t, heard, tokenstore.Change{Name: name})
}

func hearsOf(t *testing.T, heard <-chan tokenstore.Change, want tokenstore.Change) {
	t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case got := <-heard:
			if got.Version = 0; got == want { // of whatever version
				return
			}
		case <-deadline:
			t.Fatalf("nothing is heard of %+v", want)
		}
	}
}

func TestWatchTellsOfChanges(t *testing.T) {
	server := startServer(t)
	p := newProxy(t, server)
	s, other := server.open(p.Addr(), redisstore.Config{}), server.open("", redisstore.Config{})
	sealed := tokenstore.NewSealed(s, tokenstore.Keys(tokenstore.NewKey()))
	heard, ended, stop := watch(t, sealed)
	if first := <-heard; first != (tokenstore.Change{}) {
		t.Errorf("the first call is for %+v; want any session", first)
	}
	version := set(t, other, "default", record("1"))
	hears(t, heard, "default")
	rec := over(version, "2")
	rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint("2"), At: time.Now()}
	rec.Version = set(t, s, "default", rec)
	hearsOf(t, heard, tokenstore.Change{Name: "default", Begun: true})
	rec.Pending = nil
	version = set(t, s, "default", rec)
	hears(t, heard, "default")
	if err := other.Delete(t.Context(), "default", version); err != nil {
		t.Fatal(err)
	}
	hears(t, heard, "default")

	again := func(what string) {
		t.Helper()
		heard, ended, stop = watch(t, sealed)
		hears(t, heard, "")
		set(t, other, what, record("1"))
		hears(t, heard, what)
	}
	for what, lose := range map[string]func(){"a cut": p.Cut, "a crash of Redis": server.kill} {
		lose()
		is(t, "Watch after "+what, <-ended, tokenstore.ErrUnavailable)
		if what != "a cut" {
			server.start()
		}
		again(what)
	}
	for what, silence := range map[string][2]func(){
		"silence of Redis":   {func() { server.signal(syscall.SIGSTOP) }, func() { server.signal(syscall.SIGCONT) }},
		"silence on its way": {p.Hold, p.Resume},
	} {
		stop()
		<-ended
		teststore.WatchUntilSilent(t, func(silence time.Duration) tokenstore.Watcher {
			return server.open(p.Addr(), redisstore.Config{LeaseTime: silence})
		}, silence[0], silence[1])
		again(what)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ended with %v; want its context's error", err)
	}
}

func TestWatchHearsTheWholeCluster(t *testing.T) {
	addrs := startCluster(t)
	open := func() *redisstore.Store {
		return newStore(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ReadTimeout: patience}), redisstore.Config{})
	}
	heard, _, _ := watch(t, open())
	hears(t, heard, "")
	s := open()
	for i := range 20 {
		name := fmt.Sprintf("user-%d", i)
		set(t, s, name, record("1"))
		hears(t, heard, name)
	}
}

func TestWatchEndsWithItsClient(t *testing.T) {
	server := startServer(t)
	client := redis.NewClient(clientOptions(server.addr))
	s := newStore(t, client, redisstore.Config{})
	heard, ended, _ := watch(t, s)
	hears(t, heard, "")
	client.Close()
	is(t, "Watch", <-ended, tokenstore.ErrUnavailable)
}
