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

	"github.com/evertoken/evertoken/internal/faultproxy"
	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

// points are the moments at which a connection breaks.
var points = map[string]faultproxy.Point{
	"before the request": faultproxy.BeforeRequest,
	"mid request":        faultproxy.MidRequest,
	"before the answer":  faultproxy.BeforeAnswer,
	"mid answer":         faultproxy.MidAnswer,
}

func newProxy(t *testing.T, s *server) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Listen(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func record(label string) *tokenstore.Record {
	return &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "access-" + label, RefreshToken: "refresh-" + label, ExpiresAt: time.Now().Add(time.Hour)}}
}

// over returns a record that replaces the given version.
func over(version uint64, label string) *tokenstore.Record {
	rec := record(label)
	rec.Version = version
	return rec
}

var set, lock, wantLocked, eventually = teststore.Set, teststore.Lock, teststore.WantLocked, teststore.Await

// holds requires that the session is the one with the label, at the version.
func holds(t *testing.T, s *redisstore.Store, name, label string, version uint64) {
	t.Helper()
	rec, err := s.Get(t.Context(), name)
	if err != nil || rec.Tokens.AccessToken != "access-"+label || rec.Version != version {
		t.Errorf("the store holds %v, %v; want %q at version %d", rec, err, label, version)
	}
}

// is requires that err is one of ours, and of the three that say why a lock does not
// help only that.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	for _, kind := range []error{tokenstore.ErrLocked, tokenstore.ErrUnavailable, tokenstore.ErrLeaseLost, tokenstore.ErrNotFound, tokenstore.ErrDamaged, tokenstore.ErrConflict} {
		if errors.Is(err, kind) != errors.Is(kind, want) {
			t.Errorf("%s: %v; want %v, and no other", what, err, want)
			return
		}
	}
}

// briefly gives a call a moment.
func briefly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// steps are all that changes something in Redis, each with the key that its script is
// known by on the wire.
var steps = map[string]struct {
	match string
	run   func(t *testing.T, s, other *redisstore.Store, arm func())
}{
	"create": {":session:", func(t *testing.T, s, other *redisstore.Store, arm func()) {
		arm()
		version := set(t, s, "default", record("1"))
		holds(t, other, "default", "1", version)
	}},
	"replace": {":session:", func(t *testing.T, s, other *redisstore.Store, arm func()) {
		old := set(t, s, "default", record("1"))
		arm()
		version := set(t, s, "default", over(old, "2"))
		holds(t, other, "default", "2", version)
	}},
	"delete": {":deleted:", func(t *testing.T, s, other *redisstore.Store, arm func()) {
		version := set(t, s, "default", record("1"))
		arm()
		if err := s.Delete(t.Context(), "default", version); err != nil {
			t.Errorf("Delete: %v", err)
		}
		_, err := other.Get(t.Context(), "default")
		is(t, "Get", err, tokenstore.ErrNotFound)
	}},
	"acquire": {":lock:", func(t *testing.T, s, other *redisstore.Store, arm func()) {
		arm()
		lease := lock(t, s, "default")
		if err := lease.Err(); err != nil {
			t.Errorf("Err: %v", err)
		}
		wantLocked(t, other, "default")
		if err := lease.Unlock(); err != nil {
			t.Errorf("Unlock: %v", err)
		}
	}},
	"release": {":lock:", func(t *testing.T, s, other *redisstore.Store, arm func()) {
		lease := lock(t, s, "default")
		arm()
		// Whether it was released by the call whose answer was lost is not known.
		if err := lease.Unlock(); err != nil && !errors.Is(err, tokenstore.ErrLeaseLost) {
			t.Errorf("Unlock: %v", err)
		}
		next := lock(t, other, "default")
		_ = next.Unlock()
	}},
}

func TestAConnectionThatBreaksChangesNothing(t *testing.T) {
	server := startServer(t)
	n := 0
	for step, tc := range steps {
		for point, at := range points {
			t.Run(step+" "+point, func(t *testing.T) {
				n++
				p := newProxy(t, server)
				cfg := redisstore.Config{Prefix: fmt.Sprintf("%d:", n)}
				s, other := server.open(p.Addr(), cfg), server.open("", cfg)
				var fired <-chan struct{}
				tc.run(t, s, other, func() { fired = p.Arm(faultproxy.Fault{Match: tc.match, At: at}) })
				select {
				case <-fired:
				default:
					t.Error("nothing broke")
				}
			})
		}
	}
}

// A client that repeats nothing passes the broken connection on, and nothing is left
// behind: what was to be saved is or is not, and no lock is held by nobody.
func TestABrokenConnectionIsUnavailable(t *testing.T) {
	server := startServer(t)
	n := 0
	for point, at := range points {
		t.Run(point, func(t *testing.T) {
			n++
			p := newProxy(t, server)
			prefix := redisstore.Config{Prefix: fmt.Sprintf("%d:", n)}
			options := clientOptions(p.Addr())
			options.MaxRetries = -1
			s, other := newStore(t, redis.NewClient(options), prefix), server.open("", prefix)
			_ = lock(t, other, "warm").Unlock() // or the answer that breaks is that a script is not known
			set(t, other, "warm", record("1"))
			arrives := at == faultproxy.BeforeAnswer || at == faultproxy.MidAnswer

			p.Arm(faultproxy.Fault{Match: ":session:", At: at})
			_, err := s.Set(t.Context(), "default", record("1"))
			is(t, "Set", err, tokenstore.ErrUnavailable)
			if _, err := other.Get(t.Context(), "default"); (err == nil) != arrives {
				t.Errorf("Get: %v; want a record: %t", err, arrives)
			}
			p.Arm(faultproxy.Fault{Match: ":lock:", At: at})
			_, err = s.Lock(t.Context(), "default")
			is(t, "Lock", err, tokenstore.ErrUnavailable)
			begun := time.Now()
			_ = lock(t, other, "default").Unlock()
			if took := time.Since(begun); took > redisstore.DefaultLeaseTime/2 {
				t.Errorf("the lock was free after %s; want it released at once", took)
			}
		})
	}
}

// The network is silent. Every call ends with its context.
func TestF17_ASilentNetworkIsNotABusyLock(t *testing.T) {
	server := startServer(t)
	p := newProxy(t, server)
	s := server.open(p.Addr(), redisstore.Config{})
	version := set(t, s, "default", record("1"))
	p.Hold()
	for what, call := range map[string]func(ctx context.Context) error{
		"Lock":    func(ctx context.Context) error { _, err := s.Lock(ctx, "default"); return err },
		"Get":     func(ctx context.Context) error { _, err := s.Get(ctx, "default"); return err },
		"Stamp":   func(ctx context.Context) error { _, err := s.Stamp(ctx, "default"); return err },
		"Names":   func(ctx context.Context) error { _, err := s.Names(ctx); return err },
		"Records": func(ctx context.Context) error { _, err := s.Records(ctx); return err },
		"Delete":  func(ctx context.Context) error { return s.Delete(ctx, "other", 1) },
	} {
		err := call(briefly(t))
		is(t, what, err, tokenstore.ErrUnavailable)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v; want the context's error", what, err)
		}
	}
	p.Resume()
	eventually(t, "the store works again", func() bool {
		rec, err := s.Get(t.Context(), "default")
		return err == nil && rec.Version == version
	})
}

func TestF17_DownBusyAndLostAreThreeErrors(t *testing.T) {
	server := startServer(t)
	cfg := redisstore.Config{LeaseTime: time.Second}
	s, other := server.open("", cfg), server.open("", cfg)
	lease, busy := lock(t, s, "default"), lock(t, server.open("", redisstore.Config{}), "busy")
	wantLocked(t, other, "busy")
	if err := busy.Unlock(); err != nil {
		t.Error(err)
	}
	server.kill()
	_, err := other.Lock(t.Context(), "default")
	is(t, "Lock without a Redis", err, tokenstore.ErrUnavailable)
	eventually(t, "the lease is over", func() bool { return lease.Err() != nil })
	is(t, "Err", lease.Err(), tokenstore.ErrLeaseLost)
	is(t, "Unlock without a Redis", lease.Unlock(), tokenstore.ErrUnavailable)
}

// Redis hangs, and goes on.
func TestARedisThatStandsStill(t *testing.T) {
	server := startServer(t)
	s := server.open("", redisstore.Config{})
	version := set(t, s, "default", record("1"))
	server.signal(sigStop)
	_, err := s.Lock(briefly(t), "default")
	is(t, "Lock", err, tokenstore.ErrUnavailable)
	_, err = s.Set(briefly(t), "default", over(version, "2"))
	is(t, "Set", err, tokenstore.ErrUnavailable)
	server.signal(sigCont)
	eventually(t, "the write that was given up is known", func() bool {
		_, err := s.Get(t.Context(), "default")
		return err == nil
	})
	lease := lock(t, s, "default")
	if err := lease.Unlock(); err != nil {
		t.Errorf("Unlock: %v", err)
	}
}

// A server that has forgotten the scripts gets them again.
func TestScriptsAreSentAgain(t *testing.T) {
	server := startServer(t)
	s, c := server.open("", redisstore.Config{}), server.direct()
	defer c.Close()
	version := set(t, s, "default", record("1"))
	if err := c.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	holds(t, s, "default", "2", set(t, s, "default", over(version, "2")))
}

// Law 8: of a command that it does not know, Redis quotes the arguments.
func TestNoErrorQuotesARecord(t *testing.T) {
	server := startServer(t, "--rename-command", "EVALSHA", "")
	s := server.open("", redisstore.Config{Prefix: "p"})
	rec := record("s3cr3t")
	_, err := s.Set(t.Context(), "x", rec)
	if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), "s3cr3t") {
		t.Errorf("Set: %v; want an error without a token", err)
	}
	if errors.Is(err, tokenstore.ErrUnavailable) {
		t.Errorf("Set: %v; a server that refuses is not one that is away", err)
	}
}
