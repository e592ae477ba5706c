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

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

// short is a lease whose end a test can wait for, and that a busy machine can renew.
var short = redisstore.Config{LeaseTime: 2 * time.Second}

// lockKey is the lock of the session "default".
const lockKey = "evertoken:{de}:lock:default"

// F14: a call that takes longer than the lease goes on under it.
func TestF14_ALeaseIsRenewedWhileItIsHeld(t *testing.T) {
	server := startServer(t)
	for cfg := short; !outlasted(t, server, cfg); cfg.LeaseTime *= 2 {
		if cfg.LeaseTime > 16*time.Second {
			t.Fatal("no lease is renewed")
		}
	}
}

// outlasted holds the lock for longer than two leases. It returns false if the lease was lost, as
// it may be where the machine is too busy to renew it in time: before anybody else has the lock.
func outlasted(t *testing.T, server *server, cfg redisstore.Config) bool {
	t.Helper()
	s, other := server.open("", cfg), server.open("", cfg)
	lease := lock(t, s, "default")
	for begun := time.Now(); time.Since(begun) < 2*cfg.LeaseTime; {
		next, err := other.Lock(briefly(t), "default")
		lost := errors.Is(lease.Err(), tokenstore.ErrLeaseLost)
		if err == nil {
			_ = next.Unlock()
			if !lost {
				t.Fatalf("after %s another has the lock, too", time.Since(begun))
			}
		}
		if lost {
			_ = lease.Unlock()
			return false
		}
	}
	if err := lease.Unlock(); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	if err := lock(t, other, "default").Unlock(); err != nil {
		t.Errorf("Unlock by another: %v", err)
	}
	return true
}

// The holder cannot reach Redis any more, and others can. It knows that its lease is
// over before anybody else has it.
func TestALeaseIsLostBeforeAnybodyElseHasIt(t *testing.T) {
	server := startServer(t)
	p := newProxy(t, server)
	s, other := server.open(p.Addr(), short), server.open("", redisstore.Config{})
	for _, cut := range map[string]func(){"silent": p.Hold, "down": func() { p.SetDown(true) }} {
		lease := lock(t, s, "default")
		cut()
		next := lock(t, other, "default") // waits for the lease to end
		is(t, "Err when another has the lock", lease.Err(), tokenstore.ErrLeaseLost)
		p.SetDown(false)
		p.Resume()
		eventually(t, "Unlock says that it is somebody else's", func() bool {
			is(t, "Unlock", lease.Unlock(), tokenstore.ErrLeaseLost)
			return true
		})
		wantLocked(t, s, "default") // F18
		if err := next.Err(); err != nil {
			t.Errorf("the lease of the other: %v", err)
		}
		if err := next.Unlock(); err != nil {
			t.Errorf("Unlock by the other: %v", err)
		}
	}
}

// Redis has forgotten the lock, and another has taken it. The holder notices at its
// next renewal, and does not release what is not its own.
func TestF18_ALockThatWasForgottenIsNotReleased(t *testing.T) {
	server := startServer(t)
	s, other, c := server.open("", short), server.open("", redisstore.Config{}), server.direct()
	defer c.Close()
	lease := lock(t, s, "default")
	var next tokenstore.Lease
	eventually(t, "another has the lock", func() bool { // unless a renewal comes first
		c.Del(t.Context(), lockKey)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var err error
		next, err = other.Lock(ctx, "default")
		return err == nil
	})
	eventually(t, "the holder notices", func() bool { return lease.Err() != nil })
	is(t, "Err", lease.Err(), tokenstore.ErrLeaseLost)
	is(t, "Unlock", lease.Unlock(), tokenstore.ErrLeaseLost)
	wantLocked(t, server.open("", redisstore.Config{}), "default")
	if err := next.Unlock(); err != nil {
		t.Errorf("Unlock of the other: %v", err)
	}
}

// F19: whatever the lease says, an older pair does not replace a newer one; and a pair
// that came late, and that nobody has overtaken, is saved.
func TestF19_TheVersionIsTheFence(t *testing.T) {
	server := startServer(t)
	late, next := server.open("", short), server.open("", short)
	version := set(t, late, "default", record("1"))
	_ = lock(t, late, "default").Unlock()
	lease := lock(t, next, "default")
	defer lease.Unlock()

	saved := set(t, late, "default", over(version, "2")) // the answer came after its lease
	newer := set(t, next, "default", over(saved, "3"))
	_, err := late.Set(t.Context(), "default", over(saved, "stale"))
	is(t, "Set of an older pair", err, tokenstore.ErrConflict)
	holds(t, late, "default", "3", newer)
}

// A lockCounter counts how many requests for a lock are under way at once.
type lockCounter struct{ now, most atomic.Int32 }

func (*lockCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*lockCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *lockCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if asksForLock(cmd) {
			c.most.Store(max(c.most.Load(), c.now.Add(1)))
			defer c.now.Add(-1)
		}
		return next(ctx, cmd)
	}
}

// asksForLock tells the call of the script that takes or renews a lock: script, number
// of keys, key, owner, milliseconds.
func asksForLock(cmd redis.Cmder) bool {
	return len(cmd.Args()) == 6 && strings.Contains(fmt.Sprint(cmd.Args()...), ":lock:")
}

// Goroutines of a process do not all ask Redis.
func TestGoroutinesQueueInTheirProcess(t *testing.T) {
	server := startServer(t)
	client, counter := redis.NewClient(clientOptions(server.addr)), new(lockCounter)
	client.AddHook(counter)
	s := newStore(t, client, redisstore.Config{})
	const goroutines = 50
	holder := server.open("", redisstore.Config{})
	lease := lock(t, holder, "default")
	done := make(chan error, goroutines)
	for range goroutines {
		go func() {
			l, err := s.Lock(t.Context(), "default")
			if err == nil {
				err = l.Unlock()
			}
			done <- err
		}()
	}
	eventually(t, "one of them asks", func() bool { return counter.most.Load() > 0 })
	if err := lease.Unlock(); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	for range goroutines {
		if err := <-done; err != nil {
			t.Errorf("Lock: %v", err)
		}
	}
	if n := counter.most.Load(); n != 1 {
		t.Errorf("%d goroutines ask for one lock at once; want 1", n)
	}
}

// A latecomer holds the request for a lock back until whoever asked has given up, and
// has tried to give the lock back.
type latecomer struct{ released, carried chan struct{} }

func (latecomer) DialHook(next redis.DialHook) redis.DialHook { return next }

func (latecomer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l latecomer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if asksForLock(cmd) {
			<-ctx.Done()
			<-l.released
			err := next(context.WithoutCancel(ctx), cmd)
			l.carried <- struct{}{}
			return err
		}
		err := next(ctx, cmd)
		select {
		case l.released <- struct{}{}:
		default:
		}
		return err
	}
}

func TestALockThatComesTooLateIsGivenBack(t *testing.T) {
	server := startServer(t)
	client := redis.NewClient(clientOptions(server.addr))
	s, other := newStore(t, client, redisstore.Config{}), server.open("", redisstore.Config{})
	_ = lock(t, s, "default").Unlock() // the scripts are known
	late := latecomer{make(chan struct{}, 1), make(chan struct{}, 1)}
	client.AddHook(late)
	_, err := s.Lock(briefly(t), "default")
	is(t, "Lock", err, tokenstore.ErrUnavailable)
	<-late.carried
	begun := time.Now()
	_ = lock(t, other, "default").Unlock()
	if took := time.Since(begun); took > redisstore.DefaultLeaseTime/2 {
		t.Errorf("the lock was free after %s; want it given back at once", took)
	}
}

// No holder of ours has a lock that lasts for ever, or for years. A caller that waits for
// it waits for a lease; and a lock of a longer lease than its own is left alone.
func TestALockWithoutAnEndEndsAfterALease(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	for what, ttl := range map[string]time.Duration{"no end": 0, "an end in ten years": 10 * 365 * 24 * time.Hour} {
		for _, begin := range []bool{false, true} {
			s := server.open("", short)
			c.FlushAll(t.Context())
			version := set(t, s, "default", record("1"))
			if err := c.Set(t.Context(), lockKey, "another program", ttl).Err(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			var lease tokenstore.Lease
			var err error
			if begin {
				lease, _, err = s.BeginSpend(ctx, s, "default", over(version, "1"), false)
			} else {
				lease, err = s.Lock(ctx, "default")
			}
			cancel()
			if err != nil {
				t.Errorf("a lock with %s, BeginSpend %t: %v", what, begin, err)
				continue
			}
			if err := lease.Unlock(); err != nil && !errors.Is(err, tokenstore.ErrLeaseLost) { // it is short
				t.Error(err)
			}
		}
	}
	s, other := server.open("", redisstore.Config{LeaseTime: time.Hour}), server.open("", short)
	lease := lock(t, s, "default")
	wantLocked(t, other, "default")
	if left := c.PTTL(t.Context(), lockKey).Val(); left < time.Hour/2 {
		t.Errorf("a lease of an hour ends in %s, because another asked for the lock", left)
	}
	if err := lease.Unlock(); err != nil {
		t.Error(err)
	}
}
