//go:build real && unix

package redisstore_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

// tombKey is the trace of the session "default" that was deleted.
var tombKey = strings.Replace(recordKey, "session:", "deleted:", 1)

// The greatest of all versions is followed by one that can be read: another program may
// have written it, and the pair that a spend brings is the only good one.
func TestWhatFollowsTheGreatestVersionCanBeRead(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	for _, key := range []string{recordKey, tombKey} {
		c.FlushAll(t.Context())
		s := server.open("", redisstore.Config{})
		version := uint64(0)
		if key == recordKey {
			set(t, s, "default", record("1"))
			version = storeerr.MaxVersion
		}
		c.HSet(t.Context(), key, "v", uint64(storeerr.MaxVersion))
		if key == recordKey {
			holds(t, s, "default", "1", version)
		}
		spend, marked, err := s.BeginSpend(t.Context(), s, "default", over(version, "1"), false)
		if err != nil {
			t.Fatalf("%s: BeginSpend: %v", key, err)
		}
		holds(t, server.open("", redisstore.Config{}), "default", "1", marked)
		settled, err := spend.Settle(t.Context(), over(marked, "2"))
		if err != nil {
			t.Fatalf("%s: Settle: %v", key, err)
		}
		holds(t, server.open("", redisstore.Config{}), "default", "2", settled)
	}
}

// What another program has put into an index makes no list endless, has no session listed
// twice or left out, and keeps Cleanup from nothing.
func TestListsEndWhateverIsInTheIndex(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	const index = "evertoken:{de}:names" // that of "default"
	group := func(format string, n int) (names []string) {
		for i := 0; len(names) < n; i++ {
			if name := fmt.Sprintf(format, i); bucketOf(name) == 0xde {
				names = append(names, name)
			}
		}
		return names
	}
	for what, plant := range map[string]func(names []string) []redis.Z{
		"scores": func(names []string) (planted []redis.Z) {
			for i, name := range names {
				planted = append(planted, redis.Z{Score: float64(i%3 - 1), Member: name})
			}
			return planted
		},
		"a last name in front":    func(names []string) []redis.Z { return []redis.Z{{Score: -1, Member: names[len(names)-1]}} },
		"a first name at the end": func(names []string) []redis.Z { return []redis.Z{{Score: 1, Member: names[0]}} },
		"an empty name":           func([]string) []redis.Z { return []redis.Z{{Member: ""}} },
		"names that are none": func([]string) (planted []redis.Z) {
			for i := range 200 {
				planted = append(planted, redis.Z{Member: fmt.Sprintf("user-\xff%d", i)})
			}
			return planted
		},
	} {
		c.FlushAll(t.Context())
		s := server.open("", redisstore.Config{})
		names := group("user-%d", 60)
		spent := &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(-time.Hour)}}
		for _, name := range names {
			set(t, s, name, spent)
		}
		slices.Sort(names)
		if err := c.ZAdd(t.Context(), index, plant(names)...).Err(); err != nil {
			t.Fatal(err)
		}
		c.ZAdd(t.Context(), "evertoken:{00}:names", redis.Z{Member: names[5]}) // which is in its own index too
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if got, err := s.Names(ctx); !slices.Equal(got, names) || err != nil {
			t.Errorf("%s: Names: %q, %v; want each once", what, got, err)
		}
		if n, err := s.Count(ctx); n != len(names) || err != nil {
			t.Errorf("%s: Count: %d, %v; want %d", what, n, err, len(names))
		}
		for _, size := range []int{1, 9, 1000} {
			c.ZAdd(t.Context(), index, plant(names)...)
			var got []string
			for page, err := range s.Pages(ctx, size) {
				if err != nil {
					t.Fatalf("%s: Pages: %v", what, err)
				}
				for _, e := range page {
					got = append(got, e.Name)
				}
			}
			if !slices.Equal(got, names) {
				t.Errorf("%s: pages of %d have %q; want each once", what, size, got)
			}
		}
		c.ZAdd(t.Context(), index, plant(names)...)
		if n, err := s.Cleanup(ctx); n != len(names) || err != nil {
			t.Errorf("%s: Cleanup: %d, %v; want %d", what, n, err, len(names))
		}
	}
}

// A program that goes on to put names out of order while they are listed does not have the
// list go on for ever.
func TestListsEndWhileAnIndexIsPutOutOfOrder(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	s, f := server.flaky(redisstore.Config{})
	const index = "evertoken:{de}:names"
	for i := range 39 {
		c.ZAdd(t.Context(), index, redis.Z{Member: fmt.Sprintf("b%02d", i)})
	}
	f.beforeEach(func(cmds []redis.Cmder) {
		if cmds[0].Name() == "zrange" {
			c.ZAdd(context.Background(), index, redis.Z{Score: 1, Member: "a"}, redis.Z{Score: 2, Member: "z"})
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := s.Names(ctx); err != nil {
		t.Errorf("Names: %v", err)
	}
	if _, err := s.Cleanup(ctx); err != nil {
		t.Errorf("Cleanup: %v", err)
	}
}

// A user without a channel, as ACLs of Redis 7 make them, saves and deletes. That nothing
// is heard is said by Watch.
func TestAUserWithoutAChannelSavesAll(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	if err := c.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">pw", "~evertoken:*", "+@all", "resetchannels").Err(); err != nil {
		t.Fatal(err)
	}
	options := clientOptions(server.addr)
	options.Username, options.Password = "app", "pw"
	s := newStore(t, redis.NewClient(options), redisstore.Config{})
	version := set(t, s, "default", record("1"))
	holds(t, s, "default", "1", version)
	spend, marked, err := s.BeginSpend(t.Context(), s, "default", over(version, "1"), false)
	if err != nil {
		t.Fatalf("BeginSpend: %v", err)
	}
	settled, err := spend.Settle(t.Context(), over(marked, "2"))
	if err != nil {
		t.Fatalf("Settle: %v", err)
	}
	holds(t, s, "default", "2", settled)
	if err := s.Delete(t.Context(), "default", settled); err != nil {
		t.Errorf("Delete: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = s.Watch(ctx, func(tokenstore.Change) { t.Error("Watch says that it listens") })
	if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("Watch: %v; want what the server says", err)
	}
}

// A user of Redis that may do no more than the package's comment lists can do everything.
func TestAUserOfFewCommands(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	rules := []any{"ACL", "SETUSER", "app", "on", ">pw", "~test*", "&test*", "-@all", "+hello", "+auth", "+ping"}
	for _, command := range strings.Fields("get set del exists type rename persist pexpire pttl hget hmget hset hstrlen hexists hdel " +
		"zadd zrem zrange zcount zunionstore eval evalsha time publish subscribe") {
		rules = append(rules, "+"+command)
	}
	if err := c.Do(t.Context(), rules...).Err(); err != nil {
		t.Fatal(err)
	}
	suite(t, func() redis.UniversalClient {
		options := clientOptions(server.addr)
		options.Username, options.Password = "app", "pw"
		return redis.NewClient(options)
	}, plain)
	denied, err := c.Do(t.Context(), "ACL", "LOG").Slice()
	for _, entry := range denied {
		if said := fmt.Sprint(entry); !strings.Contains(said, "client|") {
			t.Errorf("denied: %v", said)
		}
	}
	if err != nil {
		t.Errorf("ACL LOG: %v", err)
	}
}

// A key of another type, which another program has put in the place of one of ours, wedges
// nothing. In the place of a record it is a damaged session, which the next login replaces,
// and is kept aside until the session is deleted.
func TestAKeyOfAnotherTypeWedgesNoSession(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	const index = "evertoken:{de}:names"
	aside := strings.Replace(recordKey, "session:", "damaged:", 1)
	for _, key := range []string{recordKey, tombKey, lockKey, index} {
		plant := func() {
			t.Helper()
			c.Del(t.Context(), key)
			if err := c.LPush(t.Context(), key, "planted").Err(); err != nil {
				t.Fatal(err)
			}
		}
		c.FlushAll(t.Context())
		s := server.open("", redisstore.Config{})
		set(t, s, "other", record("o"))
		plant()
		if key == recordKey {
			_, err := s.Get(t.Context(), "default")
			is(t, "Get", err, tokenstore.ErrDamaged)
			_, err = s.Stamp(t.Context(), "default")
			is(t, "Stamp", err, tokenstore.ErrDamaged)
			_, err = s.Set(t.Context(), "default", over(7, "1"))
			is(t, "Set over a version", err, tokenstore.ErrConflict)
		}
		version := set(t, s, "default", record("1"))
		holds(t, s, "default", "1", version)
		if key == recordKey {
			if kept := c.LRange(t.Context(), aside, 0, -1).Val(); !slices.Equal(kept, []string{"planted"}) {
				t.Errorf("aside lies %q; want what was planted", kept)
			}
			if err := s.Delete(t.Context(), "default", version); err != nil || c.Exists(t.Context(), aside, recordKey).Val() != 0 {
				t.Errorf("Delete: %v; want what lies aside gone too", err)
			}
			version = set(t, s, "default", record("1"))
			plant()
			is(t, "Delete of what was planted", s.Delete(t.Context(), "default", version), tokenstore.ErrNotFound)
			_, err := s.Get(t.Context(), "default")
			is(t, "Get after it", err, tokenstore.ErrNotFound)
			version = set(t, s, "default", record("1"))
		}
		plantOther := func() {
			if key != recordKey {
				plant()
			}
		}
		plantOther()
		if err := lock(t, s, "default").Unlock(); err != nil {
			t.Errorf("%s: Unlock: %v", key, err)
		}
		plantOther()
		spend, marked, err := s.BeginSpend(t.Context(), s, "default", over(version, "1"), false)
		if err != nil {
			t.Fatalf("%s: BeginSpend: %v", key, err)
		}
		plantOther()
		settled, err := spend.Settle(t.Context(), over(marked, "2"))
		if err != nil {
			t.Fatalf("%s: Settle: %v", key, err)
		}
		holds(t, s, "default", "2", settled)
		lease := lock(t, s, "default")
		if key == lockKey {
			plant()
			is(t, "Unlock of what was planted", lease.Unlock(), tokenstore.ErrLeaseLost)
		} else if err := lease.Unlock(); err != nil {
			t.Errorf("%s: Unlock: %v", key, err)
		}
		plantOther()
		if err := s.Delete(t.Context(), "default", settled); err != nil {
			t.Errorf("%s: Delete: %v", key, err)
		}
		_, err = s.Get(t.Context(), "default")
		is(t, "Get after Delete", err, tokenstore.ErrNotFound)
		set(t, s, "default", record("3"))
		c.Del(t.Context(), recordKey)
		plantOther()
		_, err = s.Get(t.Context(), "default")
		if key == tombKey {
			is(t, "Get of what is lost", err, tokenstore.ErrDamaged)
		}
	}
}

// One key of another type has no list fail: its session is listed as one that is damaged.
func TestAKeyOfAnotherTypeFailsNoList(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	s := server.open("", redisstore.Config{})
	for _, name := range []string{"default", "other"} {
		set(t, s, name, record("1"))
	}
	plant := func(key string) {
		c.Del(t.Context(), key)
		if err := c.LPush(t.Context(), key, "planted").Err(); err != nil {
			t.Fatal(err)
		}
	}
	plant(recordKey)
	plant("evertoken:{00}:names")
	var got []string
	for page, err := range s.Pages(t.Context(), 10) {
		if err != nil {
			t.Fatalf("Pages: %v", err)
		}
		for _, e := range page {
			got = append(got, fmt.Sprint(e.Name, " ", e.Record != nil))
		}
	}
	if want := []string{"default false", "other true"}; !slices.Equal(got, want) {
		t.Errorf("Pages have %q; want %q", got, want)
	}
	if names, err := s.Names(t.Context()); len(names) != 2 || err != nil {
		t.Errorf("Names: %q, %v; want both", names, err)
	}
	if n, err := s.Cleanup(t.Context()); n != 0 || err != nil {
		t.Errorf("Cleanup: %d, %v; want none", n, err)
	}
}

// bucketOf returns the bucket of a session.
func bucketOf(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return h.Sum32() % 256
}
