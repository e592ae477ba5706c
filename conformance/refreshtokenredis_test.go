package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/tokenstore/refreshtoken"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken/ginjwt"
)

// startRedisNode starts an empty Redis that is a node of a cluster, and returns its address,
// and the port of its bus.
func startRedisNode(t *testing.T) (addr, bus string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		missing(t, "there is no redis-server")
	}
	port, bus := freePort(t), freePort(t)
	addr = "127.0.0.1:" + port
	startAt(t, addr, path, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir(),
		"--cluster-enabled", "yes", "--cluster-port", bus)
	return addr, bus
}

// newCluster returns a client of a cluster of two nodes.
func newCluster(t *testing.T) *redis.ClusterClient {
	t.Helper()
	ctx := t.Context()
	first, _ := startRedisNode(t)
	second, bus := startRedisNode(t)
	addrs := []string{first, second}
	var nodes []*redis.Client
	for i, slots := range [][2]int{{0, 8191}, {8192, 16383}} {
		node := redis.NewClient(&redis.Options{Addr: addrs[i]})
		t.Cleanup(func() { _ = node.Close() })
		if err := node.ClusterAddSlotsRange(ctx, slots[0], slots[1]).Err(); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, node)
	}
	if err := nodes[0].Do(ctx, "CLUSTER", "MEET", "127.0.0.1", second[len("127.0.0.1:"):], bus).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(stepLimit); ; time.Sleep(20 * time.Millisecond) {
		ready := true
		for _, node := range nodes {
			info, err := node.ClusterInfo(ctx).Result()
			ready = ready && err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2") &&
				strings.Contains(info, "cluster_slots_ok:16384")
		}
		if ready {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the cluster does not form")
		}
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newRing(t *testing.T) *redis.Ring {
	t.Helper()
	client := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": startRedis(t), "b": startRedis(t)}})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// clients are the kinds of Redis that a server can have.
var clients = map[string]func(*testing.T) redis.UniversalClient{
	"one node": func(t *testing.T) redis.UniversalClient { return newRedisClient(t) },
	"Cluster":  func(t *testing.T) redis.UniversalClient { return newCluster(t) },
	"Ring":     func(t *testing.T) redis.UniversalClient { return newRing(t) },
}

func TestRefreshTokensAreKeptByEachKindOfRedis(t *testing.T) {
	t.Parallel()
	for name, start := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := start(t)
			agree(t, refreshtoken.New(refreshtoken.Config{Client: client, NotFound: errUnknownToken, Prefix: "agree:"}))
			s := refreshtoken.New(refreshtoken.Config{Client: client, NotFound: errUnknownToken, GinJWTPrefix: "gin-jwt:"})
			spread(t, s, client)
		})
	}
}

// spread stores tokens that lie on all nodes, some of them by gin-jwt's own store.
func spread(t *testing.T, s *refreshtoken.Store, client redis.UniversalClient) {
	t.Helper()
	ctx, later := t.Context(), time.Now().Add(time.Hour)
	const ours, theirs = 40, 20
	for i := range ours {
		if err := s.Set(ctx, "ours "+strconv.Itoa(i), i, later); err != nil {
			t.Fatal(err)
		}
	}
	for i := range theirs {
		row, _ := json.Marshal(map[string]any{"user_data": i, "expiry": later, "created": time.Now()})
		if err := client.Set(ctx, "gin-jwt:theirs "+strconv.Itoa(i), row, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Count(ctx); n != ours+theirs || err != nil {
		t.Errorf("Count = %d, %v; want %d", n, err, ours+theirs)
	}
	for _, token := range []string{"ours 7", "theirs 7"} {
		if user, err := s.Get(ctx, token); user != 7.0 || err != nil {
			t.Errorf("Get(%q) = %v, %v", token, user, err)
		}
		if err := s.Delete(ctx, token); err != nil {
			t.Errorf("Delete(%q): %v", token, err)
		}
		if _, err := s.Get(ctx, token); err != errUnknownToken {
			t.Errorf("Get of the deleted %q: %v", token, err)
		}
	}
	if n, err := s.Count(ctx); n != ours+theirs-2 || err != nil {
		t.Errorf("Count = %d, %v; want %d", n, err, ours+theirs-2)
	}
}

type ginUser struct {
	Name string `json:"name"`
	ID   int64  `json:"id"`
}

func TestRedisReturnsUserDataInItsType(t *testing.T) {
	t.Parallel()
	client, ctx, later := newRedisClient(t), t.Context(), time.Now().Add(time.Hour)
	s := refreshtoken.New(refreshtoken.Config{
		Client: client, NotFound: errUnknownToken, Decode: ginjwt.UserData[*ginUser], GinJWTPrefix: "gin-jwt:",
	})
	alice := ginUser{"alice", 9007199254740993}
	if err := s.Set(ctx, "new", &alice, later); err != nil {
		t.Fatal(err)
	}
	row, _ := json.Marshal(map[string]any{"user_data": alice, "expiry": later, "created": time.Now()})
	if err := client.Set(ctx, "gin-jwt:old", row, time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"new", "old"} {
		got, err := s.Get(ctx, token)
		if user, ok := got.(*ginUser); err != nil || !ok || *user != alice {
			t.Errorf("%s: %v, %v; want %v", token, got, err, alice)
		}
	}
	for what, value := range map[string]string{
		"expired": `{"user_data":{"name":"bob"},"expiry":"2001-01-01T00:00:00Z","created":"2001-01-01T00:00:00Z"}`,
		"garbage": `PLANTED`,
		"other":   `{"user_data":"PLANTED","expiry":"2999-01-01T00:00:00Z"}`,
	} {
		if err := client.Set(ctx, "gin-jwt:"+what, value, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		_, err := s.Get(ctx, what)
		if (err == errUnknownToken) != (what == "expired") || err == nil || strings.Contains(fmt.Sprint(err), "PLANTED") {
			t.Errorf("%s: %v; want an error without what was stored", what, err)
		}
	}
	if err := s.Set(ctx, "new", &alice, time.Now().Add(-time.Hour)); err == nil {
		t.Error("a Set in the past succeeded")
	}
	if _, err := s.Get(ctx, "new"); err != nil {
		t.Errorf("after a Set that failed: %v; want what was there", err)
	}
	plain := refreshtoken.New(refreshtoken.Config{Client: client, NotFound: errUnknownToken})
	if _, err := plain.Get(context.WithoutCancel(ctx), "old"); err != errUnknownToken {
		t.Errorf("without GinJWTPrefix: %v; want that its rows are not looked at", err)
	}
}
