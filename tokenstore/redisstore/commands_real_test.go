//go:build real && unix

package redisstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

var errBroken = errors.New("the connection broke")

// A flaky is a hook that has one of a client's round trips fail, before it is made or when it
// is answered.
type flaky struct {
	mu     sync.Mutex // guards what follows
	n, nth int        // round trips since begin, and which of them fails
	after  bool
	failed redis.Cmder              // what failed last
	before func(cmds []redis.Cmder) // is called before each round trip; nil: nothing
}

func (f *flaky) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *flaky) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return f.pass([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (f *flaky) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return f.pass(cmds, func() error { return next(ctx, cmds) })
	}
}

func (f *flaky) pass(cmds []redis.Cmder, next func() error) error {
	if name := cmds[0].Name(); name == "hello" || name == "client" {
		return next() // a connection begins
	}
	f.mu.Lock()
	f.n++
	fails, after, before := f.n == f.nth, f.after, f.before
	f.mu.Unlock()
	if before != nil {
		before(cmds)
	}
	if fails && after {
		_ = next() // what it answers is lost
	}
	if !fails {
		return next()
	}
	f.mu.Lock()
	f.failed = cmds[0]
	f.mu.Unlock()
	for _, cmd := range cmds {
		cmd.SetErr(errBroken)
	}
	return errBroken
}

// begin has the nth round trip from now on fail, and returns how many there were before.
func (f *flaky) begin(nth int, after bool) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, f.n, f.nth, f.after = f.n, 0, nth, after
	return n
}

func (f *flaky) beforeEach(fn func(cmds []redis.Cmder)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = fn
}

// flaky returns a store whose round trips can be made to fail.
func (s *server) flaky(cfg redisstore.Config) (*redisstore.Store, *flaky) {
	s.t.Helper()
	client, f := redis.NewClient(clientOptions(s.addr)), new(flaky)
	client.AddHook(f)
	return newStore(s.t, client, cfg), f
}

// An operation is something that a Store can be asked for.
type operation struct {
	name    string
	prepare func(t *testing.T, s *redisstore.Store, c *redis.Client, prefix string)
	call    func(ctx context.Context, s *redisstore.Store) error
	fine    error // what the call returns if all goes well
	least   int   // how many round trips it takes
}

var operations = []operation{
	{"Get", saved, func(ctx context.Context, s *redisstore.Store) error { _, err := s.Get(ctx, "default"); return err }, nil, 1},
	{"Get of no session", nothing, func(ctx context.Context, s *redisstore.Store) error { _, err := s.Get(ctx, "default"); return err }, tokenstore.ErrNotFound, 1},
	{"Get of a lost one", lost, func(ctx context.Context, s *redisstore.Store) error { _, err := s.Get(ctx, "default"); return err }, tokenstore.ErrDamaged, 2},
	{"Set", nothing, func(ctx context.Context, s *redisstore.Store) error {
		_, err := s.Set(ctx, "default", record("b"))
		return err
	}, nil, 1},
	{"Set over another", saved, func(ctx context.Context, s *redisstore.Store) error {
		_, err := s.Set(ctx, "default", record("b"))
		return err
	}, tokenstore.ErrConflict, 1},
	{"Delete of another version", saved, func(ctx context.Context, s *redisstore.Store) error { return s.Delete(ctx, "default", 1) }, tokenstore.ErrConflict, 1},
	{"Delete of no session", nothing, func(ctx context.Context, s *redisstore.Store) error { return s.Delete(ctx, "default", 1) }, tokenstore.ErrNotFound, 1},
	{"Stamp", saved, func(ctx context.Context, s *redisstore.Store) error { _, err := s.Stamp(ctx, "default"); return err }, nil, 1},
	{"Stamp of a lost one", lost, func(ctx context.Context, s *redisstore.Store) error { _, err := s.Stamp(ctx, "default"); return err }, tokenstore.ErrDamaged, 2},
	{"Time", nothing, func(ctx context.Context, s *redisstore.Store) error { _, err := s.Time(ctx); return err }, nil, 1},
	{"Names", saved, func(ctx context.Context, s *redisstore.Store) error { _, err := s.Names(ctx); return err }, nil, 2},
	{"Records", saved, func(ctx context.Context, s *redisstore.Store) error { _, err := s.Records(ctx); return err }, nil, 2},
	{"Count", saved, func(ctx context.Context, s *redisstore.Store) error { _, err := s.Count(ctx); return err }, nil, 2},
	{"Pages", saved, func(ctx context.Context, s *redisstore.Store) (err error) {
		for _, failed := range s.Pages(ctx, 1) {
			err = errors.Join(err, failed)
		}
		return err
	}, nil, 2},
	{"Cleanup", func(t *testing.T, s *redisstore.Store, c *redis.Client, prefix string) {
		set(t, s, "spent", &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(-time.Hour)}})
		lost(t, s, c, prefix)
	}, func(ctx context.Context, s *redisstore.Store) error { _, err := s.Cleanup(ctx); return err }, nil, 9},
	{"Lock", nothing, func(ctx context.Context, s *redisstore.Store) error { return teststore.LockOnce(ctx, s) }, nil, 2},
	{"BeginSpend and Settle", saved, func(ctx context.Context, s *redisstore.Store) error { return teststore.SpendOnce(ctx, s) }, nil, 3},
}

func nothing(*testing.T, *redisstore.Store, *redis.Client, string) {}

func saved(t *testing.T, s *redisstore.Store, _ *redis.Client, _ string) {
	set(t, s, "default", record("a"))
}

// lost has Redis lose a session, whose name stays in the index.
func lost(t *testing.T, s *redisstore.Store, c *redis.Client, prefix string) {
	saved(t, s, c, prefix)
	if n, err := c.Del(t.Context(), prefix+"{de}:session:default").Result(); n != 1 || err != nil {
		t.Fatalf("%d keys deleted, %v", n, err)
	}
}

// releasesLock tells the call of the script that releases a lock: command, script, number
// of keys, key, owner.
func releasesLock(cmd redis.Cmder) bool {
	return cmd != nil && len(cmd.Args()) == 5 && strings.Contains(fmt.Sprint(cmd.Args()...), ":lock:")
}

// Whichever round trip of an operation fails, the caller learns that nothing is known; no
// lock is left behind, and the operation can be done again.
func TestF17_AnyRoundTripMayFail(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	warm := server.open("", redisstore.Config{Prefix: "warm:"}) // every script is known, or they would be sent twice
	for _, op := range operations {
		op.prepare(t, warm, c, "warm:")
		_ = op.call(t.Context(), warm)
		c.FlushAll(t.Context())
	}
	n := 0
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			for nth, more := 1, true; more; nth++ {
				for _, after := range []bool{false, true} {
					n++
					prefix := fmt.Sprintf("%d:", n)
					s, f := server.flaky(redisstore.Config{Prefix: prefix})
					op.prepare(t, s, c, prefix)
					f.begin(nth, after)
					err := op.call(t.Context(), s)
					took := f.begin(0, false)
					more = took >= nth
					switch {
					case !more && (took < op.least || !errors.Is(err, op.fine)):
						t.Errorf("without a fault, after %d round trips: %v", took, err)
					case more && (!errors.Is(err, tokenstore.ErrUnavailable) || !errors.Is(err, errBroken)):
						t.Errorf("round trip %d fails (answered: %v): %v; want %v and the reason", nth, after, err, tokenstore.ErrUnavailable)
					}
					if releasesLock(f.failed) {
						continue // that one ends by itself
					}
					for _, name := range []string{"default", "spent"} {
						begun := time.Now()
						if err := lock(t, s, name).Unlock(); err != nil {
							t.Errorf("afterwards: Unlock: %v", err)
						}
						if took := time.Since(begun); took > redisstore.DefaultLeaseTime/2 {
							t.Errorf("round trip %d fails (answered: %v): the lock was free after %s; want it released at once", nth, after, took)
						}
					}
				}
			}
		})
	}
}

// Cleanup looks once more under the lock: what another process has renewed, removed or
// spoilt in the meantime is not its own to remove, and no error.
func TestCleanupLooksAgainUnderTheLock(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	spent := &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(-time.Hour)}}
	for name, meanwhile := range map[string]func(other *redisstore.Store, key string, version uint64){
		"renewed": func(other *redisstore.Store, _ string, version uint64) { set(t, other, "default", over(version, "2")) },
		"deleted": func(other *redisstore.Store, _ string, version uint64) {
			_ = other.Delete(t.Context(), "default", version)
		},
		"damaged":  func(_ *redisstore.Store, key string, _ uint64) { c.HSet(t.Context(), key, "r", "garbage") },
		"newer":    func(_ *redisstore.Store, key string, _ uint64) { c.HSet(t.Context(), key, "r", `{"format":99}`) },
		"nothing":  func(*redisstore.Store, string, uint64) {},
		"was lost": func(_ *redisstore.Store, key string, _ uint64) { c.Del(t.Context(), key) },
	} {
		prefix := name + ":"
		s, f := server.flaky(redisstore.Config{Prefix: prefix})
		other := server.open("", redisstore.Config{Prefix: prefix})
		version := set(t, s, "default", spent)
		once := sync.OnceFunc(func() { meanwhile(other, prefix+"{de}:session:default", version) })
		f.beforeEach(func(cmds []redis.Cmder) {
			if asksForLock(cmds[0]) {
				once()
			}
		})
		n, err := s.Cleanup(t.Context())
		want := 0
		if name == "nothing" {
			want = 1
		}
		if n != want || err != nil {
			t.Errorf("%s: Cleanup: %d, %v; want %d", name, n, err, want)
		}
	}
}

// A page asks Redis for little more than it has: names are spread over many indexes.
func TestAPageReadsLittleMoreThanItHas(t *testing.T) {
	server := startServer(t)
	s, f := server.flaky(redisstore.Config{})
	const sessions, size = 2000, 100
	for i := range sessions {
		set(t, s, fmt.Sprintf("user-%d", i), record("1"))
	}
	var read, trips int
	f.beforeEach(func(cmds []redis.Cmder) {
		trips++
		for _, cmd := range cmds {
			if strings.EqualFold(cmd.Name(), "zrange") {
				count, ok := cmd.Args()[len(cmd.Args())-1].(int64)
				if !ok {
					t.Fatalf("%v has no limit", cmd)
				}
				read = max(read, int(count))
			}
		}
	})
	for _, err := range s.Pages(t.Context(), size) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if read == 0 || read > 10 {
		t.Errorf("pages of %d read up to %d names of each of 256 indexes", size, read)
	}
	if trips > 2*sessions/size+2 {
		t.Errorf("%d round trips for %d pages; want two each at most", trips, sessions/size)
	}
}

func TestWhatCannotBeKeptIsRefused(t *testing.T) {
	teststore.RefuseWhatCannotBeKept(t, startServer(t).open("", redisstore.Config{}))
}

// The names of a group come a few at a time, however many the others have. No list leaves
// one out, and Cleanup passes over what it has to leave alone, and ends.
func TestListsAreCompleteAlthoughOneGroupHasAll(t *testing.T) {
	server := startServer(t)
	s := server.open("", redisstore.Config{})
	var all []string
	spent := &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(-time.Hour)}}
	for i := 0; len(all) < 150; i++ {
		name := fmt.Sprintf("user-%06d", i)
		h := fnv.New32a()
		_, _ = h.Write([]byte(name))
		if h.Sum32()%256 == 0xde {
			all = append(all, name)
			set(t, s, name, spent)
		}
	}
	if names, err := s.Names(t.Context()); !slices.Equal(names, all) || err != nil {
		t.Errorf("Names: %d, %v; want %d", len(names), err, len(all))
	}
	if n, err := s.Count(t.Context()); n != len(all) || err != nil {
		t.Errorf("Count: %d, %v; want %d", n, err, len(all))
	}
	for _, size := range []int{1, 10, 149, 150, 4096, 1 << 20} {
		var got []string
		for page, err := range s.Pages(t.Context(), size) {
			if err != nil || len(page) > size {
				t.Fatalf("a page of %d, %v; want %d at most", len(page), err, size)
			}
			for _, e := range page {
				got = append(got, e.Name)
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("pages of %d have %d names; want %d", size, len(got), len(all))
		}
	}
	for page, err := range s.Pages(t.Context(), 10) {
		if len(page) == 0 || err != nil {
			t.Errorf("a page of %d, %v", len(page), err)
		}
		break // a caller may leave, though there are more parts
	}
	var held []tokenstore.Lease
	for _, name := range all[:100] {
		held = append(held, lock(t, s, name))
	}
	if n, err := s.Cleanup(t.Context()); n != 50 || err != nil {
		t.Errorf("Cleanup: %d, %v; want 50", n, err)
	}
	for _, lease := range held {
		if err := lease.Unlock(); err != nil {
			t.Error(err)
		}
	}
	if names, err := s.Names(t.Context()); !slices.Equal(names, all[:100]) || err != nil {
		t.Errorf("it leaves %d, %v; want 100", len(names), err)
	}
}

// Cleanup asks for no lock of a session that is not spent, which may be at work.
func TestCleanupLocksWhatIsSpentAlone(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	s, f := server.flaky(redisstore.Config{})
	for _, name := range []string{"default", "alive"} {
		set(t, s, name, record("1"))
	}
	c.HSet(t.Context(), recordKey, "r", "garbage")
	asked := 0
	f.beforeEach(func(cmds []redis.Cmder) {
		if asksForLock(cmds[0]) {
			asked++
		}
	})
	if n, err := s.Cleanup(t.Context()); n != 0 || err != nil || asked != 0 {
		t.Errorf("Cleanup: %d, %v, and %d locks; want none", n, err, asked)
	}
}

// What a Store has seen counts until it learns of the deletion, however it does, and then
// not any more: the trace of it ends after a month, and is not missed.
func TestADeletionIsKnownWhenItsTraceIsGone(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	for name, learn := range map[string]func(s, other *redisstore.Store, version uint64) error{
		"deletes": func(s, _ *redisstore.Store, version uint64) error { return s.Delete(t.Context(), "default", version) },
		"deletes it again": func(s, other *redisstore.Store, version uint64) error {
			_ = other.Delete(t.Context(), "default", version)
			if err := s.Delete(t.Context(), "default", version); !errors.Is(err, tokenstore.ErrNotFound) {
				return err
			}
			return nil
		},
		"reads that it is gone": func(s, other *redisstore.Store, version uint64) error {
			_ = other.Delete(t.Context(), "default", version)
			if _, err := s.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
				return err
			}
			return nil
		},
	} {
		s, other := server.open("", redisstore.Config{}), server.open("", redisstore.Config{})
		version := set(t, s, "default", record("1"))
		if err := learn(s, other, version); err != nil {
			t.Errorf("who %s: %v", name, err)
		}
		if n, err := c.Del(t.Context(), strings.Replace(recordKey, "session:", "deleted:", 1)).Result(); n != 1 || err != nil {
			t.Fatalf("who %s: %d traces, %v", name, n, err)
		}
		_, err := s.Get(t.Context(), "default")
		is(t, "Get by who "+name, err, tokenstore.ErrNotFound)
	}
	s := server.open("", redisstore.Config{})
	version := set(t, s, "default", record("1"))
	is(t, "Delete of another version", s.Delete(t.Context(), "default", version+1), tokenstore.ErrConflict)
	c.Del(t.Context(), recordKey)
	_, err := s.Get(t.Context(), "default")
	is(t, "Get of what Redis has lost", err, tokenstore.ErrDamaged)
}

// What a list has shown was seen, as by Get.
func TestALossIsNoticedByWhoHasReadPages(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	s, reader := server.open("", redisstore.Config{}), server.open("", redisstore.Config{})
	set(t, s, "default", record("1"))
	for _, err := range reader.Pages(t.Context(), 10) {
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Del(t.Context(), recordKey)
	_, err := reader.Get(t.Context(), "default")
	is(t, "Get", err, tokenstore.ErrDamaged)
	for page, err := range reader.Pages(t.Context(), 10) {
		t.Errorf("a page of %v, %v; want none", page, err)
	}
}

// A session whose record was moved aside is on a page, without a record.
func TestPagesHaveWhatWasMovedAside(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	s, f := server.flaky(redisstore.Config{})
	set(t, s, "default", record("1"))
	c.HSet(t.Context(), recordKey, "r", "garbage")
	for range 2 {
		f.begin(0, false)
		_, err := s.Get(t.Context(), "default")
		is(t, "Get", err, tokenstore.ErrDamaged)
	}
	if trips := f.begin(0, false); trips != 1 {
		t.Errorf("Get takes %d round trips when the record was moved aside; want 1", trips)
	}
	n := 0
	for page, err := range s.Pages(t.Context(), 10) {
		if n += len(page); err != nil || len(page) != 1 || page[0].Name != "default" || page[0].Record != nil || page[0].Stamp != 0 {
			t.Errorf("a page of %v, %v", page, err)
		}
	}
	if n != 1 {
		t.Errorf("%d sessions on pages; want 1", n)
	}
}

// However Watch ends, its connection does.
func TestLaw10_AWatchThatHasEndedLeavesNoConnection(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	p := newProxy(t, server)
	s := server.open(p.Addr(), redisstore.Config{LeaseTime: time.Second})
	subscribed := func() int {
		n, err := c.PubSubNumSub(t.Context(), "evertoken:changed").Result()
		if err != nil {
			t.Fatal(err)
		}
		return int(n["evertoken:changed"])
	}
	_, ended, _ := watch(t, s)
	eventually(t, "it listens", func() bool { return subscribed() == 1 || len(ended) > 0 })
	p.Hold() // and is silent for longer than it may be
	is(t, "Watch", <-ended, tokenstore.ErrUnavailable)
	p.Resume()
	eventually(t, "the connection is closed", func() bool { return subscribed() == 0 })
}

// The host that has saved the session had a clock that was ahead: its deletion has no later
// version than the record, and is a deletion all the same.
func TestADeletionOfAVersionFromTheFutureIsOne(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	s, other := server.open("", redisstore.Config{}), server.open("", redisstore.Config{})
	set(t, s, "default", record("1"))
	const future = 9006099743113000 // beyond all that clocks say, and a version still
	c.HSet(t.Context(), recordKey, "v", future)
	holds(t, s, "default", "1", future)
	if err := other.Delete(t.Context(), "default", future); err != nil {
		t.Fatal(err)
	}
	_, err := s.Get(t.Context(), "default")
	is(t, "Get", err, tokenstore.ErrNotFound)
}

// A record has one version, beside it, where scripts compare it; in the record there is none
// that could be another.
func TestTheVersionLiesBesideTheRecord(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	s := server.open("", redisstore.Config{})
	set(t, s, "default", over(set(t, s, "default", record("1")), "2"))
	var stored struct{ Version uint64 }
	if err := json.Unmarshal([]byte(c.HGet(t.Context(), recordKey, "r").Val()), &stored); err != nil || stored.Version != 0 {
		t.Errorf("the record says version %d, %v; want none", stored.Version, err)
	}
}
