//go:build real && unix

package redisstore_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/heldport"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

// patience is how long anything may take before a test gives up: far longer than the
// slowest machine needs.
const patience = 2 * time.Minute

// A server is a redis-server of the test's own, which it may kill.
type server struct {
	t    testing.TB
	args []string
	addr string
	cmd  *exec.Cmd
}

// startServer starts a redis-server that keeps nothing beyond its end, unless args
// say otherwise.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	return startProgram(t, "redis-server", append([]string{"--save", "", "--appendonly", "no"}, args...)...)
}

func startProgram(t testing.TB, program string, args ...string) *server {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("EVERTOKEN_REQUIRE_REAL") == "1" || os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("%v: run setup.sh", err)
	}
	port := holdPort(t)
	args = append(args, "--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--daemonize", "no")
	s := &server{t: t, args: append([]string{path}, args...), addr: "127.0.0.1:" + port}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// holdPort returns a port that nobody else is given until the test ends, nor the one ten
// thousand above it, where a cluster has its bus.
func holdPort(t testing.TB) string {
	t.Helper()
	for range 100 {
		p, err := heldport.Hold("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Release)
		port := netip.MustParseAddrPort(p.Addr).Port()
		if port > 55535 {
			continue
		}
		if bus, err := heldport.Hold(fmt.Sprintf("127.0.0.1:%d", port+10000)); err == nil {
			t.Cleanup(bus.Release)
			return strconv.Itoa(int(port))
		}
	}
	t.Fatal("no free port")
	return ""
}

// start starts the server, again on its port and in its directory, and returns when
// it answers.
func (s *server) start() {
	s.t.Helper()
	log, err := os.CreateTemp(s.t.TempDir(), "log")
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	c := s.direct()
	defer c.Close()
	eventually(s.t, "the server answers", func() bool { return c.Ping(context.Background()).Err() == nil })
}

// direct returns a client that fails at once.
func (s *server) direct() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: s.addr, DialTimeout: time.Second, DialerRetries: 1, MaxRetries: -1, DialerRetryTimeout: time.Millisecond,
	})
}

// kill ends the server by SIGKILL.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// open returns a store with a client of its own, which goes to addr, or to the server.
func (s *server) open(addr string, cfg redisstore.Config) *redisstore.Store {
	s.t.Helper()
	if addr == "" {
		addr = s.addr
	}
	return newStore(s.t, redis.NewClient(clientOptions(addr)), cfg)
}

// clientOptions are the ones that the documentation advises, with patience for a server that
// is well on a busy machine.
func clientOptions(addr string) *redis.Options {
	return &redis.Options{
		Addr: addr, ContextTimeoutEnabled: true, DialerRetries: 1, DialTimeout: patience,
		ReadTimeout: patience, MaxRetries: 2, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 10 * time.Millisecond,
	}
}

func newStore(t testing.TB, c redis.UniversalClient, cfg redisstore.Config) *redisstore.Store {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	s, err := redisstore.New(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startCluster starts a Cluster of three masters. One that is busy is not taken for dead.
func startCluster(t testing.TB) []string {
	t.Helper()
	var addrs []string
	for range 3 {
		s := startServer(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "120000")
		addrs = append(addrs, s.addr)
	}
	args := append([]string{"--cluster", "create"}, addrs...)
	out, err := exec.Command("redis-cli", append(args, "--cluster-replicas", "0", "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli: %v\n%s", err, out)
	}
	for _, addr := range addrs {
		c := redis.NewClient(&redis.Options{Addr: addr})
		eventually(t, "the cluster is whole", func() bool {
			info, err := c.ClusterInfo(context.Background()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
		c.Close()
	}
	return addrs
}

// startSentinel starts a master with a replica, and a Sentinel that watches them, and that takes a
// master which is busy for dead only after impatience was called.
func startSentinel(t testing.TB) (sentinel string, master *server, impatience func()) {
	t.Helper()
	master = startServer(t)
	_, port, _ := net.SplitHostPort(master.addr)
	startServer(t, "--replicaof", "127.0.0.1", port)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	config := fmt.Sprintf("sentinel monitor main 127.0.0.1 %s 1\nsentinel down-after-milliseconds main 120000\nsentinel failover-timeout main 3000\n", port)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startProgram(t, "redis-server", file, "--sentinel")
	c := redis.NewSentinelClient(&redis.Options{Addr: s.addr, ReadTimeout: patience})
	t.Cleanup(func() { c.Close() })
	eventually(t, "Sentinel knows the replica", func() bool {
		all, err := c.Replicas(context.Background(), "main").Result()
		return err == nil && len(all) == 1 && strings.HasPrefix(all[0]["flags"], "slave") && all[0]["master-link-status"] == "ok"
	})
	return s.addr, master, func() {
		t.Helper()
		if err := c.Set(context.Background(), "main", "down-after-milliseconds", "500").Err(); err != nil {
			t.Fatal(err)
		}
	}
}

const sigStop, sigCont = syscall.SIGSTOP, syscall.SIGCONT
