package refresh_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A wait that was written down is as long as it was when it was written, whatever
// becomes of the clock, for each process that reads of it: it ends by either clock, and a
// process that reads it first when the clock has been set back waits for as long again
// at most, and leaves no more than that to the next.

// processes are those that may ask after another one was told to wait.
var processes = map[string]struct {
	starts string // when: "before" the answer, "after" it, or when the clock was "moved"
	short  bool   // it ends again, and the next one starts
}{
	"the one that was told":           {"", false},
	"one that runs":                   {"before", false},
	"one that starts":                 {"after", false},
	"one that starts when it is late": {"moved", false},
	"commands":                        {"moved", true},
}

func TestF78_AWaitIsWhatWasAskedThoughTheClockIsSet(t *testing.T) {
	const asked = 20 * time.Second
	for who, p := range processes {
		for _, step := range []time.Duration{0, -5 * time.Second, -30 * time.Second, -15 * minute, -59 * minute, -time.Hour, -year} {
			for _, moved := range []time.Duration{0, 10 * time.Second} {
				t.Run(fmt.Sprintf("%s, %v after %v", who, step, moved), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						clk := newWallClock(t, monoStays)
						f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 3 * year}, drivenBy(clk)).start(t)
						synctest.Wait()
						ask := f
						start := func(when string) {
							if p.starts == when && when != "" && !p.short {
								ask = f.sibling(t, drivenBy(clk)).resume(t)
							}
						}
						start("before")
						f.server.Script(oauthtest.Fault{RetryAfter: asked})
						is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
						told := time.Now()
						start("after")
						if ask != f {
							is(t, ask.ForceRefresh(t.Context()), oauth.ErrTransient)
						}
						time.Sleep(moved)
						clk.move(step)
						start("moved")
						late := asked
						if p.starts == "moved" && step < 0 {
							late += moved // it cannot know how long ago that was
						}
						for {
							var err error
							if p.short {
								err = f.command(t, clk)
							} else {
								err = ask.ForceRefresh(t.Context())
							}
							took := time.Since(told)
							if err == nil && took < asked && !(p.starts == "moved" && step < 0) {
								t.Errorf("asked again after %v; want no sooner than %v", took, asked)
							}
							if err != nil && took > late+time.Second {
								t.Fatalf("still waiting after %v; want no longer than %v: %v", took, late, err)
							}
							if err == nil {
								break
							}
							time.Sleep(time.Second)
						}
						if n := f.tokenRequests(); n > 3 { // the manager's own, and the one that was forced
							t.Errorf("%d requests; want 2 or 3", n)
						}
						f.clean(t)
					})
				})
			}
		}
	}
}

// command is a process that starts, renews the session and ends.
func (f *fixture) command(t *testing.T, clk *wallClock) error {
	t.Helper()
	c := f.sibling(t, drivenBy(clk), func(cfg *refresh.Config) { cfg.ShortLived = true }).resume(t)
	defer c.Stop()
	return c.ForceRefresh(t.Context())
}

// By itself, too, a manager renews when the wait is over and not before.
func TestF78_TheNextAttemptOfOurOwnIsWhenTheWaitIsOver(t *testing.T) {
	for _, step := range []time.Duration{-30 * time.Second, -10 * minute, -time.Hour, -year} {
		for _, asked := range []time.Duration{20 * time.Second, 4 * minute, time.Hour} {
			t.Run(fmt.Sprintf("%v asked, %v", asked, step), func(t *testing.T) {
				onEverySystem(t, func(t *testing.T, clk *wallClock) {
					if clk.mono != monoStays {
						return // what the wait is kept by is not set back
					}
					f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 3 * time.Hour}, drivenBy(clk)).start(t)
					f.untilDue()
					time.Sleep(minute)
					before := f.tokenRequests()
					f.server.Script(oauthtest.Fault{RetryAfter: asked})
					is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
					time.Sleep(asked / 2)
					clk.move(step)
					time.Sleep(asked/2 - time.Second)
					if n := f.tokenRequests() - before; n != 1 {
						t.Errorf("%d requests before the wait is over; want 1", n)
					}
					time.Sleep(time.Second + 2*minute)
					if n := f.tokenRequests() - before; n != 2 {
						t.Errorf("%d requests when the wait has been over for two minutes; want 2 (%+v)", n, f.GetRefreshStatus())
					}
					f.clean(t)
				})
			})
		}
	}
}

// What a server wants of all sessions, and whether it is down, processes tell each other
// by its record.
func TestF78_OtherProcessesHearOfAWaitThatDoesNotGrow(t *testing.T) {
	for _, step := range []time.Duration{-10 * time.Second, -15 * minute, -50 * minute} {
		t.Run(step.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, clk := new(tokenstore.Memory), newWallClock(t, monoStays)
				shared := func(cfg *refresh.PoolConfig) { cfg.Store, cfg.Clock = store, clk }
				here := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: 10 * time.Hour}
				there := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: 10 * time.Hour}
				_, ours := manySessions(t, here, 5, shared)
				_, theirs := manySessions(t, there, 5, func(cfg *refresh.PoolConfig) {
					shared(cfg)
					cfg.Store = renamed{store}
				})
				time.Sleep(minute)
				busy := *errDown // 503: for all
				busy.RetryAt = clk.wall().Add(30 * time.Second)
				here.fail(&busy)
				is(t, ours[0].ForceRefresh(t.Context()), oauth.ErrTransient)
				here.fail(nil)
				told := time.Now()
				is(t, theirs[0].ForceRefresh(t.Context()), oauth.ErrTransient) // has heard of it
				time.Sleep(10 * time.Second)
				clk.move(step)
				for who, list := range map[string][]*refresh.Manager{"the process that was told": ours, "another": theirs} {
					for i, m := range list[1:4] {
						for m.ForceRefresh(t.Context()) != nil && time.Since(told) < time.Hour {
							time.Sleep(time.Second)
						}
						if took := time.Since(told); i == 0 && took < 30*time.Second || took > 35*time.Second {
							t.Errorf("%s: session %d was renewed after %v; want 30s", who, i, took)
						}
					}
				}
			})
		})
	}
}

// renamed gives the sessions of a second pool names of their own in a shared store.
type renamed struct{ *tokenstore.Memory }

func (s renamed) name(name string) string {
	if tokenstore.IsServerRecord(name) {
		return name
	}
	return name + "'"
}

func (s renamed) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	return s.Memory.Get(ctx, s.name(name))
}

func (s renamed) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	return s.Memory.Set(ctx, s.name(name), rec)
}

func (s renamed) Delete(ctx context.Context, name string, version uint64) error {
	return s.Memory.Delete(ctx, s.name(name), version)
}

func (s renamed) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	return s.Memory.Lock(ctx, s.name(name))
}

func (s renamed) Stamp(ctx context.Context, name string) (uint64, error) {
	return s.Memory.Stamp(ctx, s.name(name))
}

// A session that is refused without a clear word is asked about at a falling rate. That
// is kept by marks in the record, for all processes.
func TestF78_TheFallingRateGoesOnThoughTheClockIsSet(t *testing.T) {
	asked := func(t *testing.T, step time.Duration) (n int) {
		synctest.Test(t, func(t *testing.T) {
			clk := newWallClock(t, monoStays)
			f := newFixture(t, oauthtest.Config{}, drivenBy(clk)).start(t)
			f.server.Script(forEver(oauthtest.Fault{Status: http.StatusForbidden, Body: `{"error":"forbidden"}`}))
			time.Sleep(40 * minute)
			clk.move(step)
			before := f.tokenRequests()
			time.Sleep(3 * time.Hour)
			n = f.tokenRequests() - before
		})
		return n
	}
	usual := asked(t, 0)
	for _, step := range []time.Duration{-10 * minute, -time.Hour, -6 * time.Hour} {
		if n := asked(t, step); n < usual-1 || n > 3*usual {
			t.Errorf("%d requests in three hours after a step of %v; %d without", n, step, usual)
		}
	}
}

// Records of earlier versions do not say when the wait was written.
func TestF78_AnOldRecordWithoutTheTimeIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		synctest.Wait()
		f.Stop()
		rec := f.record(t)
		rec.NotBefore = time.Now().Add(20 * minute)
		if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
			t.Fatal(err)
		}
		f.resume(t)
		time.Sleep(19 * minute)
		if n := f.tokenRequests(); n != 0 {
			t.Errorf("%d requests before the time is over", n)
		}
		time.Sleep(2 * minute)
		if n := f.tokenRequests(); n != 1 {
			t.Errorf("%d requests when the time is over; want 1", n)
		}
		f.clean(t)
	})
}
