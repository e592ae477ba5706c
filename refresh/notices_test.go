package refresh_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/notice"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A hub is a store that several processes share, which says what is written. Each of
// them has a view of its own.
type hub struct {
	tokenstore.Memory

	mu    sync.Mutex
	views []*view
}

// A view counts what its process asks the hub for.
type view struct {
	*hub
	heard               chan tokenstore.Change
	broken              chan error
	gets, stamps, locks atomic.Int64
	stampTakes          atomic.Int64 // nanoseconds from reading the stamp to the answer

	died  atomic.Bool // the process has
	mu    sync.Mutex
	lease tokenstore.Lease // the last one it got
}

var _ tokenstore.Watcher = (*view)(nil)

func (h *hub) view() *view {
	v := &view{hub: h, heard: make(chan tokenstore.Change, 1000), broken: make(chan error)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.views = append(h.views, v)
	return v
}

func (h *hub) tell(c tokenstore.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.views {
		v.heard <- c
	}
}

func (h *hub) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	version, err := h.Memory.Set(ctx, name, rec)
	if err == nil {
		h.tell(tokenstore.Change{Name: name, Begun: notice.Of(rec) == notice.Begun})
	}
	return version, err
}

func (v *view) away() error {
	if v.died.Load() {
		return tokenstore.ErrUnavailable
	}
	return nil
}

func (v *view) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	if err := v.away(); err != nil {
		return nil, err
	}
	v.gets.Add(1)
	return v.hub.Get(ctx, name)
}

func (v *view) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if err := v.away(); err != nil {
		return 0, err
	}
	return v.hub.Set(ctx, name, rec)
}

func (v *view) Stamp(ctx context.Context, name string) (uint64, error) {
	if err := v.away(); err != nil {
		return 0, err
	}
	v.stamps.Add(1)
	stamp, err := v.hub.Stamp(ctx, name)
	time.Sleep(time.Duration(v.stampTakes.Load()))
	return stamp, err
}

func (v *view) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	if err := v.away(); err != nil {
		return nil, err
	}
	v.locks.Add(1)
	lease, err := v.hub.Lock(ctx, name)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lease = lease
	return lease, err
}

func (v *view) Watch(ctx context.Context, changed func(tokenstore.Change)) error {
	for changed(tokenstore.Change{}); ; {
		select {
		case c := <-v.heard:
			changed(c)
		case err := <-v.broken:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// die ends the process: its lock ends, and nothing is heard of it any more.
func (v *view) die() {
	v.died.Store(true)
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.lease.Unlock()
}

// asked returns how many stamps, reads and locks the process has asked for.
func (v *view) asked() [3]int64 { return [3]int64{v.stamps.Load(), v.gets.Load(), v.locks.Load()} }

// siblings runs a test with two processes that share alice's session: one of which a
// manager with its view is returned for, not started, and one in which the session is
// at rest, or awake.
func siblings(t *testing.T, test func(t *testing.T, f *fixture, spender, sibling *view, other *refresh.Manager), edits ...func(*refresh.Config)) {
	for name, pooled := range map[string]bool{"at rest": true, "awake": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := new(hub)
				spender, sibling := h.view(), h.view()
				seldom := func(cfg *refresh.Config) { cfg.CheckInterval, cfg.Session = 8*minute, "alice" }
				f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 24 * time.Hour}, append(edits, seldom, func(cfg *refresh.Config) { cfg.Store = spender })...)
				if err := tokenstore.Func(h, "alice")(t.Context(), f.first); err != nil {
					t.Fatal(err)
				}
				cfg := refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: sibling}
				seldom(&cfg)
				other := refresh.NewManager(cfg)
				if pooled {
					p := refresh.NewPool(refresh.PoolConfig{Config: cfg})
					if err := p.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(p.Stop)
					var err error
					if other, err = p.Session(t.Context(), "alice"); err != nil {
						t.Fatal(err)
					}
				} else {
					if err := other.Start(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(other.Stop)
				}
				if err := f.Start(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(minute)
				synctest.Wait()
				test(t, f, spender, sibling, other)
				f.clean(t)
			})
		})
	}
}

// What a renewal costs those who only hear of it.
func TestASiblingDoesNothingAtAnAnnouncementAndReadsASaveOnce(t *testing.T) {
	siblings(t, func(t *testing.T, f *fixture, spender, sibling *view, other *refresh.Manager) {
		f.server.Script(oauthtest.Fault{Delay: 4 * time.Second})
		before, own := sibling.asked(), spender.asked()
		done := make(chan error)
		go func() { done <- f.ForceRefresh(t.Context()) }()
		time.Sleep(3 * time.Second)
		if got := sibling.asked(); got != before {
			t.Errorf("stamps, reads and locks after an announcement: %v; want %v still", got, before)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * minute)
		if got, want := sibling.asked(), [3]int64{before[0] + 1, before[1] + 1, before[2]}; got != want {
			t.Errorf("stamps, reads and locks after a renewal by somebody else: %v; want %v", got, want)
		}
		// The spender reads before and after it locks, and what it has heard of itself.
		if got := spender.asked(); got[0]-own[0] > 2 || got[1]-own[1] > 3 || got[2]-own[2] != 1 {
			t.Errorf("a renewal cost the spender %d stamps, %d reads and %d locks", got[0]-own[0], got[1]-own[1], got[2]-own[2])
		}
		if got, want := other.GetTokens(), f.GetTokens(); got.AccessToken != want.AccessToken {
			t.Error("the new pair was not adopted")
		}
	})
}

// The logout of somebody else costs no more.
func TestASiblingFollowsALogoutByOneStampAndOneRead(t *testing.T) {
	siblings(t, func(t *testing.T, f *fixture, spender, sibling *view, other *refresh.Manager) {
		rec, err := spender.hub.Get(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		before := sibling.asked()
		if err := spender.hub.Delete(t.Context(), "alice", rec.Version); err != nil {
			t.Fatal(err)
		}
		spender.hub.tell(tokenstore.Change{Name: "alice"})
		time.Sleep(time.Second)
		if st := other.GetRefreshStatus().State; st != refresh.StateLoggedOut {
			t.Errorf("the session is %q", st)
		}
		if got, want := sibling.asked(), [3]int64{before[0] + 1, before[1] + 1, before[2]}; got != want {
			t.Errorf("stamps, reads and locks: %v; want %v", got, want)
		}
	})
}

// The announcement is all that is heard of whoever dies after it.
func TestWhoDiesAfterTheAnnouncementIsTakenOver(t *testing.T) {
	hangs := refresh.RefresherFunc(func(ctx context.Context, _ *oauth.TokenPair) (*oauth.TokenPair, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	siblings(t, func(t *testing.T, f *fixture, spender, sibling *view, other *refresh.Manager) {
		before := sibling.asked()
		go func() { _ = f.ForceRefresh(t.Context()) }()
		synctest.Wait()
		spender.die()
		time.Sleep(4900 * time.Millisecond)
		if got := sibling.asked(); got != before || f.server.Refreshes() != 0 {
			t.Errorf("stamps, reads and locks while the spender may be alive: %v; want %v still", got, before)
		}
		time.Sleep(200 * time.Millisecond)
		if n := f.server.Refreshes(); n != 1 {
			t.Fatalf("%d refreshes five seconds after the announcement of one who died; want 1", n)
		}
		if got := other.GetTokens(); got.AccessToken == f.first.AccessToken {
			t.Error("the session was not taken over")
		}
	}, func(cfg *refresh.Config) { cfg.OAuthClient = hangs })
}

// Otherwise a session that is announced again and again would never be looked at.
func TestAnAnnouncementPutsNoLookOff(t *testing.T) {
	siblings(t, func(t *testing.T, f *fixture, spender, sibling *view, other *refresh.Manager) {
		before := sibling.stamps.Load()
		for range 4 {
			spender.hub.tell(tokenstore.Change{Name: "alice", Begun: true})
			time.Sleep(time.Second)
		}
		time.Sleep(1100 * time.Millisecond)
		if n := sibling.stamps.Load() - before; n != 1 {
			t.Errorf("%d looks five seconds after the first of four announcements; want 1", n)
		}
	})
}
