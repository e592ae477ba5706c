package refresh_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// leaseTime is how long the locks of a hosted store outlive a host that cannot renew them.
const leaseTime = 15 * time.Second

// A hosted store is one that hosts share. Its locks end with their time.
type hosted struct {
	*tokenstore.Memory

	lease time.Duration // how long a lock outlives a host that is cut off

	mu      sync.Mutex // guards what follows
	holders map[string]*hostLease
}

// A hostWay is one host's way to a hosted store. It can be cut off.
type hostWay struct {
	*hosted
	cut   bool // guarded by hosted.mu, as since is
	since time.Time
}

func newHosted() *hosted {
	return &hosted{Memory: new(tokenstore.Memory), lease: leaseTime, holders: make(map[string]*hostLease)}
}

func (h *hosted) way() *hostWay { return &hostWay{hosted: h} }

func (w *hostWay) use(cfg *refresh.Config) { cfg.Store = w }

// cutOff takes the store out of reach, or brings it back.
func (w *hostWay) cutOff(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.since = cut, time.Now()
}

func (w *hostWay) reach() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return fmt.Errorf("connection refused: %w", tokenstore.ErrUnavailable)
	}
	return nil
}

func (w *hostWay) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	if err := w.reach(); err != nil {
		return nil, err
	}
	return w.Memory.Get(ctx, name)
}

func (w *hostWay) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if err := w.reach(); err != nil {
		return 0, err
	}
	return w.Memory.Set(ctx, name, rec)
}

func (w *hostWay) Stamp(ctx context.Context, name string) (uint64, error) {
	if err := w.reach(); err != nil {
		return 0, err
	}
	return w.Memory.Stamp(ctx, name)
}

// A hostLease is lost when its host was cut off for its time.
type hostLease struct {
	w    *hostWay
	name string
}

func (w *hostWay) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	for {
		if err := w.reach(); err != nil {
			return nil, err
		}
		w.mu.Lock()
		if old := w.holders[name]; old == nil || old.lostLocked() {
			l := &hostLease{w, name}
			w.holders[name] = l
			w.mu.Unlock()
			return l, nil
		}
		w.mu.Unlock()
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", tokenstore.ErrLocked, ctx.Err())
		}
	}
}

func (l *hostLease) lostLocked() bool { return l.w.cut && time.Since(l.w.since) >= l.w.lease }

func (l *hostLease) Err() error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.w.holders[l.name] != l || l.lostLocked() {
		return tokenstore.ErrLeaseLost
	}
	return nil
}

func (l *hostLease) Unlock() error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.w.holders[l.name] == l {
		l.w.holders[l.name] = nil
	}
	return nil
}

// spendUnsaved has f renew the session and lose its way to the store before it can save.
func (f *fixture) spendUnsaved(t *testing.T, w *hostWay, others ...*hostWay) {
	t.Helper()
	f.server.Script(oauthtest.Fault{Delay: 2 * time.Second})
	done := make(chan error)
	go func() { done <- f.ForceRefresh(t.Context()) }()
	time.Sleep(time.Second)
	for _, way := range append(others, w) {
		way.cutOff(true)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !f.GetRefreshStatus().Unsaved {
		t.Fatal("the new pair is saved")
	}
}

// However long the store is away, and whatever the other host wants meanwhile and when it
// is back: nobody sends the old token while its successor is in the first one's memory.
func TestF76_TheOldTokenIsLeftToWhoeverHasItsSuccessor(t *testing.T) {
	for _, away := range []time.Duration{leaseTime + time.Second, minute, 5 * minute, 14 * minute, 2 * time.Hour} {
		for _, grace := range []time.Duration{0, 30 * time.Second} {
			for _, callers := range []bool{false, true} {
				for _, begins := range []bool{false, true} { // the other one starts when the store is back
					name := fmt.Sprintf("away %v, grace %v, callers %v, other begins %v", away, grace, callers, begins)
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { leftToTheHolder(t, away, grace, callers, begins) })
					})
				}
			}
		}
	}
}

func leftToTheHolder(t *testing.T, away, grace time.Duration, callers, begins bool) {
	shared, told := newHosted(), new(failures)
	mine, theirs := shared.way(), shared.way()
	f := newFixture(t, oauthtest.Config{Grace: grace}, mine.use, told.use).start(t)
	other := f.sibling(t, theirs.use, told.use)
	if !begins {
		other.resume(t)
	}
	synctest.Wait()
	f.spendUnsaved(t, mine, theirs)
	time.Sleep(away)
	// What the writer holds may have been renewed in the meantime, as nothing forbids that.
	mine.cutOff(false)
	theirs.cutOff(false)
	if begins {
		other.resume(t)
	}
	stop := make(chan struct{})
	var asking sync.WaitGroup
	if callers {
		asking.Go(func() {
			for {
				_, _ = other.TokenContext(t.Context())
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
				}
			}
		})
	}
	time.Sleep(minute + 5*time.Second)
	if f.GetRefreshStatus().Unsaved {
		t.Error("the pair is not saved a check interval after the store is back")
	}
	time.Sleep(2 * minute)
	close(stop)
	asking.Wait()
	for _, host := range []*fixture{f, other} {
		host.inState(t, refresh.StateValid)
		if host.GetTokens().RefreshToken != f.saved(t).RefreshToken {
			t.Error("a host does not have what is saved")
		}
	}
	if heard := told.heard(); len(heard) != 0 {
		t.Errorf("OnRefreshFail heard %v", heard)
	}
	f.clean(t)
}

// The other host has found the announcement, and loses its way to the store as well: when
// that is back, the writer has its time from the beginning.
func TestF76_AnOutageBeginsTheWaitAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newHosted()
		mine, theirs := shared.way(), shared.way()
		f := newFixture(t, oauthtest.Config{}, mine.use).start(t)
		other := f.sibling(t, theirs.use).resume(t)
		synctest.Wait()
		f.spendUnsaved(t, mine)
		time.Sleep(leaseTime + time.Minute)
		if n := other.events.count(refresh.EventRefreshFailed); n == 0 {
			t.Fatal("the other host has not found the announcement")
		}
		theirs.cutOff(true)
		time.Sleep(5 * minute)
		mine.cutOff(false)
		theirs.cutOff(false)
		time.Sleep(3 * minute)
		other.serve(t, f.GetTokens())
		f.clean(t)
	})
}

// A listeningWay has a connection over which the store says what changes, until it breaks.
type listeningWay struct {
	*hostWay
	broken chan struct{}
}

func (w *listeningWay) Watch(ctx context.Context, changed func(tokenstore.Change)) error {
	if err := w.reach(); err != nil {
		return err
	}
	changed(tokenstore.Change{})
	select {
	case <-w.broken:
		return fmt.Errorf("connection reset: %w", tokenstore.ErrUnavailable)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The store was away for a moment in which the other host made no call. That it does not
// hear of changes any more tells it of the outage, and the writer gets its time.
func TestF76_AnOutageWithoutACallIsNoticedByTheBrokenConnection(t *testing.T) {
	for _, pooled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			shared := newHosted()
			shared.lease = 3 * time.Second
			mine, theirs := shared.way(), &listeningWay{shared.way(), make(chan struct{})}
			f := newFixture(t, oauthtest.Config{}, mine.use).start(t)
			renew := theirs.sibling(t, f, pooled)
			synctest.Wait()
			f.spendUnsaved(t, mine)
			theirs.cutOff(true)
			close(theirs.broken)
			time.Sleep(5 * time.Second)
			theirs.cutOff(false)
			_ = renew(t.Context()) // of a living token, within the time in which a lost answer is asked for again
			time.Sleep(5 * time.Second)
			mine.cutOff(false)
			time.Sleep(3 * minute)
			f.inState(t, refresh.StateValid)
			if f.GetTokens().RefreshToken != f.saved(t).RefreshToken {
				t.Error("the first host does not have what is saved")
			}
			f.clean(t)
		})
	}
}

// sibling starts another host of f's session, alone or in a pool that configures each
// session, and returns what renews it there.
func (w *listeningWay) sibling(t *testing.T, f *fixture, pooled bool) (renew func(context.Context) error) {
	t.Helper()
	cfg := refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: w}
	if !pooled {
		return f.sibling(t, func(own *refresh.Config) { *own = cfg }).resume(t).ForceRefresh
	}
	pool := refresh.NewPool(refresh.PoolConfig{Config: cfg, Configure: func(string, *refresh.Config) {}})
	if err := pool.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Stop)
	m, err := pool.Session(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return m.ForceRefresh
}

// The host with the successor is gone for good: the others go on when it has had its time.
func TestF76_AWriterThatIsGoneIsNotWaitedForForEver(t *testing.T) {
	for _, callers := range []bool{false, true} {
		for _, short := range []bool{false, true} {
			t.Run(fmt.Sprintf("callers %v, short-lived %v", callers, short), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					shared := newHosted()
					f := newFixture(t, oauthtest.Config{Grace: 24 * time.Hour}, shared.way().use)
					crash(t, f)
					f.server.AnswerLost(f.first.RefreshToken)
					time.Sleep(time.Hour) // the token is dead
					begun := time.Now()
					for {
						other := f.sibling(t, shared.way().use, func(cfg *refresh.Config) { cfg.ShortLived = short }).resume(t)
						if !callers {
							time.Sleep(30 * time.Second)
						}
						_, err := other.TokenContext(t.Context())
						if !short {
							for err != nil && time.Since(begun) < 5*minute {
								_, err = other.TokenContext(t.Context())
							}
						}
						other.Stop()
						if err == nil {
							break
						}
						is(t, err, oauth.ErrTransient)
						if time.Since(begun) > 5*minute {
							t.Fatalf("no token after five minutes: %v", err)
						}
						time.Sleep(time.Second) // a command that is run again
					}
					if took := time.Since(begun); took < minute {
						t.Errorf("the writer had %v; want more than a check interval", took)
					}
					f.clean(t)
				})
			})
		}
	}
}

// What this process has announced itself it need not wait for.
func TestF76_OurOwnAnnouncementIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, newHosted().way().use).start(t)
		f.server.Script(oauthtest.Fault{Reset: true, Times: 8}) // and nothing of it arrives
		_ = f.ForceRefresh(t.Context())
		if !f.record(t).Pending.On(f.first.RefreshToken) {
			t.Fatal("the announcement is gone")
		}
		time.Sleep(45 * time.Second)
		if f.saved(t).RefreshToken == f.first.RefreshToken {
			t.Error("not renewed 45 seconds later")
		}
		f.clean(t)
	})
}

// An answer that is lost is asked for again within the grace, whatever had failed before
// it: what did not arrive, as the process cannot know, or certainly did not.
func TestLaw5_AnAnswerLostAfterOtherFailuresIsAskedForAgainSoon(t *testing.T) {
	lost := lostAnswer
	for name, faults := range map[string][]oauthtest.Fault{
		"requests that may have arrived": {{Reset: true, Times: 25}, lost},
		"requests that did not arrive":   {{Reset: true, Times: 5}, {Down: true, Times: 3}, lost, lost, lost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{Grace: 30 * time.Second}).start(t)
				f.server.Script(faults...)
				_ = f.ForceRefresh(t.Context())
				time.Sleep(20 * minute)
				f.inState(t, refresh.StateValid)
				if f.saved(t).RefreshToken == f.first.RefreshToken {
					t.Error("not renewed")
				}
				f.clean(t)
			})
		})
	}
}

// A lock that ends only with its process tells that the writer is gone.
func TestF76_ALockOfTheSystemTellsThatTheWriterIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Grace: 24 * time.Hour})
		crash(t, f)
		time.Sleep(time.Hour)
		f.resume(t)
		begun := time.Now()
		if _, err := f.TokenContext(t.Context()); err != nil || time.Since(begun) > time.Second {
			t.Errorf("%v after %v; want a token at once", err, time.Since(begun))
		}
		f.clean(t)
	})
}

// Any call that gets through has all sessions saved that could not be.
func TestF76_WhatIsUnsavedIsSavedAtTheMomentOfReconnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newHosted()
		mine := shared.way()
		server := oauthtest.New(oauthtest.Config{Users: map[string]string{"a": "x", "b": "x", "c": "x"}})
		pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: mine}})
		if err := pool.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer pool.Stop()
		var all []*refresh.Manager
		for _, user := range []string{"a", "b", "c"} {
			pair, err := server.Login(user)
			if err != nil {
				t.Fatal(err)
			}
			m, err := pool.Add(t.Context(), user, pair)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		synctest.Wait()
		server.Script(oauthtest.Fault{Delay: 20 * time.Second, Times: 3})
		var done sync.WaitGroup
		for _, m := range all {
			done.Go(func() {
				if err := m.ForceRefresh(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(10 * time.Second)
		mine.cutOff(true)
		done.Wait()
		time.Sleep(9*minute + 7*time.Second) // backoff is at its longest
		mine.cutOff(false)
		_, _ = pool.Session(t.Context(), "new") // which there is not
		synctest.Wait()
		for _, m := range all {
			if m.GetRefreshStatus().Unsaved {
				t.Error("a session is not saved at the moment that the store is back")
			}
		}
	})
}
