package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

const answerTimeout = 3 * minute // the default of Config.RefreshTimeout

// A server that pauses takes the token when it goes on, and only its answer has the
// successor: callers leave, the request stays, and nothing is sent beside it.
func TestF81_TheAnswerOfAServerThatPausesIsTaken(t *testing.T) {
	for _, pause := range []time.Duration{31 * time.Second, 45 * time.Second, 100 * time.Second, 175 * time.Second} {
		for _, dead := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, dead token: %v", pause, dead), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, oauthtest.Config{}, httpTimeout(30*time.Second))
					if dead {
						time.Sleep(time.Hour)
					}
					f.server.Script(oauthtest.Fault{Delay: pause})
					f.start(t)
					other := f.sibling(t).resume(t)
					begun := time.Now()
					go f.ForceRefresh(t.Context())
					synctest.Wait()
					if dead {
						_, err := f.TokenContext(t.Context())
						is(t, err, oauth.ErrTransient)
						if waited := time.Since(begun); waited != 30*time.Second {
							t.Errorf("a caller waited %v; want MaxWait", waited)
						}
					} else {
						f.serve(t, f.first)
					}
					time.Sleep(time.Until(begun.Add(min(pause, 31*time.Second) - 1)))
					if st := f.GetRefreshStatus(); pause > 31*time.Second && (st.State != refresh.StateRetrying || st.LastError == "") {
						t.Errorf("status %+v; want one that tells of the silence", st)
					}
					time.Sleep(time.Until(begun.Add(pause + time.Second)))
					synctest.Wait()
					if n := f.requests(); n != 1 {
						t.Errorf("%d requests; want 1", n)
					}
					f.serve(t, f.saved(t))
					f.inState(t, refresh.StateValid)
					if f.saved(t).RefreshToken == f.first.RefreshToken {
						t.Error("the answer went to nobody")
					}
					time.Sleep(minute)
					other.serve(t, f.saved(t))
					f.clean(t)
				})
			})
		}
	}
}

// httpTimeout makes the http.Client give up after a time, as those of many programs do.
func httpTimeout(limit time.Duration) func(*refresh.Config) {
	return func(cfg *refresh.Config) {
		oc := cfg.OAuthClient.(*oauth.Client).Config()
		oc.HTTPClient.Timeout = limit
		cfg.OAuthClient = oauth.NewClient(oc)
	}
}

// A grace that is known and about to end allows a second sending, and no more; the first
// answer of the two counts. Without one there is none.
func TestF81_ASecondSendingOnlyBeforeAKnownGraceEnds(t *testing.T) {
	for _, tt := range []struct {
		grace time.Duration // as the preset says; zero: not known
		want  []time.Duration
	}{
		{0, []time.Duration{0}},
		{30 * time.Second, []time.Duration{0, 24 * time.Second}},
		{2 * minute, []time.Duration{0, 96 * time.Second}},
		{10 * minute, []time.Duration{0}},
	} {
		for _, first := range []bool{false, true} {
			t.Run(fmt.Sprintf("grace %v, the first is answered: %v", tt.grace, first), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, oauthtest.Config{Grace: tt.grace}, knownGrace(tt.grace)).start(t)
					lost, answered := oauthtest.Fault{Hang: true}, oauthtest.Fault{Delay: 150 * time.Second}
					switch {
					case first:
						f.server.Script(answered, lost)
					case len(tt.want) > 1:
						f.server.Script(lost)
					default:
						f.server.Script(answered)
					}
					begun := time.Now()
					if err := f.ForceRefresh(t.Context()); err != nil {
						t.Error(err)
					}
					var at []time.Duration
					for _, s := range f.server.Spends() {
						at = append(at, s.Arrived.Sub(begun))
					}
					if fmt.Sprint(at) != fmt.Sprint(tt.want) {
						t.Errorf("sent at %v; want %v", at, tt.want)
					}
					f.serve(t, f.saved(t))
					f.inState(t, refresh.StateValid)
					time.Sleep(5 * minute)
					for i, s := range f.server.Spends() {
						if s.Ended.IsZero() {
							t.Errorf("request %d goes on, and nobody wants its answer", i)
						}
					}
					for _, mistake := range f.server.Audit() {
						if mistake.Kind != oauthtest.SpentInParallel { // which is the point
							t.Errorf("the server saw a mistake: %v", mistake)
						}
					}
				})
			})
		}
	}
}

// Some servers give each sending a successor of its own, of which only the newest lives:
// the answer to the later sending counts, although the other one came first.
func TestF81_TheNewestOfForkedSuccessorsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := oauthtest.Config{Grace: 30 * time.Second, ForkSuccessors: true}
		f := newFixture(t, cfg, knownGrace(cfg.Grace)).start(t)
		f.server.Script(oauthtest.Fault{Delay: 50 * time.Second}, oauthtest.Fault{Delay: 30 * time.Second})
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		older := f.saved(t)
		f.serve(t, older)
		time.Sleep(5 * time.Second)
		if newest := f.saved(t); newest.RefreshToken == older.RefreshToken {
			t.Error("the later answer was not taken")
		}
		f.serve(t, f.saved(t))
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Errorf("the session is lost: %v", err)
		}
	})
}

// A sending at the last chance whose answer is lost is followed by one more, inside the
// grace, although the first still hangs.
func TestF81_ALostAnswerToTheSecondSendingIsAskedForInTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := oauthtest.Config{Grace: 30 * time.Second}
		f := newFixture(t, cfg, knownGrace(cfg.Grace)).start(t)
		f.server.Script(oauthtest.Fault{Hang: true}, oauthtest.Fault{AfterCommit: true, Reset: true})
		begun := time.Now()
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != 27*time.Second {
			t.Errorf("it took %v; want until a tenth of the grace was left", took)
		}
		f.serve(t, f.saved(t))
	})
}

// The second sending may be refused for the very reason that the first has succeeded.
func TestF81_ARefusalOfTheSecondSendingDoesNotEndTheWaitForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{NoReuseDetection: true}, knownGrace(30*time.Second)).start(t)
		f.server.Script(oauthtest.Fault{Delay: minute}, oauthtest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`})
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		f.serve(t, f.saved(t))
		f.inState(t, refresh.StateValid)
	})
}

func TestF81_OfTwoAnswersThatFailTheOneThatSaysMoreCounts(t *testing.T) {
	for _, refused := range []time.Duration{minute, 2 * minute} { // before and after the other one is lost
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}, knownGrace(30*time.Second)).start(t)
			f.server.Script(
				oauthtest.Fault{Delay: refused, Status: 400, Body: `{"error":"invalid_grant"}`},
				oauthtest.Fault{Delay: minute, Reset: true})
			is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
			if n := f.requests(); n != 2 {
				t.Errorf("%d requests; want 2", n)
			}
		})
	}
}

// Without the lock nothing is sent.
func TestF81_NoSecondSendingWithoutTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use, knownGrace(30*time.Second)).start(t)
		f.server.Script(oauthtest.Fault{Delay: minute})
		go f.ForceRefresh(t.Context())
		time.Sleep(time.Second)
		s.edit(func(s *faultyStore) { s.onLease = func() error { return tokenstore.ErrLeaseLost } })
		time.Sleep(2 * minute)
		f.serve(t, f.saved(t))
		f.clean(t)
	})
}

// knownGrace makes the client's preset say how long the server's grace is.
func knownGrace(grace time.Duration) func(*refresh.Config) {
	return func(cfg *refresh.Config) {
		oc := cfg.OAuthClient.(*oauth.Client).Config()
		oc.Preset.Grace = grace
		cfg.OAuthClient = oauth.NewClient(oc)
	}
}

// Stop waits as long as a caller would, and Close as long as the program says.
func TestF81_StopHasADeadlineOfItsOwn(t *testing.T) {
	for name, tt := range map[string]struct {
		pause, takes time.Duration
		end          func(t *testing.T, f *fixture)
		taken        bool
	}{
		"Stop, an answer in time": {25 * time.Second, 20 * time.Second, func(_ *testing.T, f *fixture) { f.Stop() }, true},
		"Stop, none":              {time.Hour, 30 * time.Second, func(_ *testing.T, f *fixture) { f.Stop() }, false},
		"Close, an answer": {100 * time.Second, 95 * time.Second, func(_ *testing.T, f *fixture) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*minute)
			defer cancel()
			_ = f.Close(ctx)
		}, true},
		"Close, none": {time.Hour, answerTimeout - 5*time.Second, func(_ *testing.T, f *fixture) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			_ = f.Close(ctx)
		}, false},
		"Close of a short time": {100 * time.Second, time.Second, func(t *testing.T, f *fixture) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			is(t, f.Close(ctx), refresh.ErrUnsaved)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}).start(t)
				f.server.Script(oauthtest.Fault{Delay: tt.pause})
				done := make(chan error, 1)
				go func() { done <- f.ForceRefresh(t.Context()) }()
				time.Sleep(5 * time.Second)
				begun := time.Now()
				tt.end(t, f)
				if took := time.Since(begun); took != tt.takes {
					t.Errorf("it took %v; want %v", took, tt.takes)
				}
				time.Sleep(time.Until(begun.Add(95*time.Second)) + 1)
				synctest.Wait()
				if taken := f.saved(t).RefreshToken != f.first.RefreshToken; taken != tt.taken {
					t.Errorf("the answer was taken: %v; want %v", taken, tt.taken)
				}
				if err := <-done; (err == nil) != tt.taken {
					t.Errorf("who waited for the refresh got %v", err)
				}
				_ = f.hold(t).Unlock() // would hang if the lock was left behind
			})
		})
	}
}

// The lock is held as long as the answer is waited for. If it is lost, the answer is
// still taken.
func TestF81_TheLockMeanwhile(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost: %v", lost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, s.use).start(t)
				f.server.Script(oauthtest.Fault{Delay: 100 * time.Second})
				go f.ForceRefresh(t.Context())
				time.Sleep(time.Second)
				if lost {
					s.edit(func(s *faultyStore) { s.onLease = func() error { return tokenstore.ErrLeaseLost } })
				} else {
					ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
					defer cancel()
					if _, err := f.store.(tokenstore.Locker).Lock(ctx, "default"); err == nil {
						t.Error("another process got the lock")
					}
				}
				time.Sleep(2 * minute)
				f.serve(t, f.saved(t))
				if n := f.requests(); n != 1 || f.saved(t).RefreshToken == f.first.RefreshToken {
					t.Errorf("%d requests; want 1, and its answer", n)
				}
				f.clean(t)
			})
		})
	}
}

// What another writer has saved ends the wait: there is nothing to wait for any more.
func TestF81_ALoginElsewhereEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, withoutLocks)
		time.Sleep(time.Hour)
		f.server.Script(oauthtest.Fault{Hang: true})
		f.start(t)
		go f.TokenContext(t.Context())
		time.Sleep(5 * time.Second)
		fresh := f.loginElsewhere(t, "alice")
		time.Sleep(minute)
		f.serve(t, fresh)
	})
}

// A machine that sleeps stops timers, but the deadline passes.
func TestF81_TheDeadlinePassesWhileTheMachineSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mock := clock.NewMock()
		mock.Set(time.Now())
		f := newFixture(t, oauthtest.Config{Now: mock.Now}, drivenBy(mock)).start(t)
		f.server.Script(oauthtest.Fault{Hang: true})
		go f.ForceRefresh(t.Context())
		synctest.Wait()
		for range 8 { // which takes no real time
			mock.Add(minute)
			synctest.Wait()
		}
		if n := f.requests(); n < 2 {
			t.Error("it still waits for the answer to a request of eight minutes ago")
		}
	})
}

// A server that works on some sessions for long is known to be slow before those
// requests end, and their workers serve others.
func TestF81_ACrowdBehindAServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &endpoint{name: "https://hangs", takes: 10 * time.Hour, life: -time.Hour}
		p, _ := manySessions(t, hangs, 0, func(cfg *refresh.PoolConfig) { cfg.Workers = 8 })
		for i := range 300 {
			if _, err := p.Add(t.Context(), fmt.Sprint(i), hangs.pair()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(100 * time.Second)
		if s := p.Stats().Servers[0]; !s.Down {
			t.Errorf("after 100 s of silence: %+v; want a server that is down", s)
		}
		// Eight at first, then a probe now and then, of which each may take half a minute.
		if n := hangs.atATime(); n > 24 {
			t.Errorf("%d requests at a time at a server that answers none", n)
		}
		hangs.live(10 * time.Hour)
		hangs.slow(0)
		back := false
		for range 5 * 60 {
			time.Sleep(time.Second)
			s := p.Stats().Servers[0]
			if back && s.Down {
				t.Fatalf("requests of before made a server that is back count as down: %+v", s)
			}
			back = back || !s.Down
		}
		if !back {
			t.Error("the server is back, and nobody knows")
		}
	})
}

// Where one worker is all there is, a request that is worked on for long does not have it.
func TestF81_TheWorkerServesOthersMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &endpoint{name: "https://hangs", takes: 10 * time.Hour, life: -time.Hour}
		works := &endpoint{name: "https://works", life: -time.Hour}
		p, _ := manySessions(t, hangs, 1, func(cfg *refresh.PoolConfig) {
			cfg.Workers = 1
			cfg.Configure = func(session string, cfg *refresh.Config) {
				if session == "w" {
					cfg.OAuthClient = works
				}
			}
		})
		time.Sleep(time.Second)
		m, err := p.Add(t.Context(), "w", works.pair())
		if err != nil {
			t.Fatal(err)
		}
		works.live(10 * time.Hour)
		time.Sleep(35 * time.Second)
		alive(t, []*refresh.Manager{m})
	})
}

// A replay of a lost answer at the very end of the grace has no second one beside it.
func TestF81_NoSecondSendingAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Grace: minute}, knownGrace(30*time.Second)).start(t)
		f.server.Script(oauthtest.Fault{Delay: 26500 * time.Millisecond, Reset: true}, oauthtest.Fault{Delay: 20 * time.Second})
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		spends := f.server.Spends()
		if len(spends) != 2 {
			t.Fatalf("%d requests; want 2", len(spends))
		}
		if after := spends[1].Arrived.Sub(spends[0].Arrived); after != 24*time.Second {
			t.Errorf("sent again after %v; want when two tenths of the grace are left", after)
		}
	})
}

// A Refresher of the program's that does what it must not.
type stubborn struct {
	next  refresh.Refresher
	calls atomic.Int32
	first func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) // what the first call does
}

func (s *stubborn) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	if s.calls.Add(1) == 1 {
		return s.first(ctx, t)
	}
	return s.next.Refresh(ctx, t)
}

func (s *stubborn) use(cfg *refresh.Config) { s.next, cfg.OAuthClient = cfg.OAuthClient, s }

// after renews the pair whatever its context says, and returns that after a time.
func (s *stubborn) after(wait time.Duration) *stubborn {
	s.first = func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
		ctx = context.WithoutCancel(ctx)
		next, err := s.next.Refresh(ctx, t)
		time.Sleep(wait)
		return next, err
	}
	return s
}

// No Refresher holds a flight, the lock or Stop beyond its deadline.
func TestF82_ARefresherThatIgnoresItsContext(t *testing.T) {
	const longer = time.Hour
	badly := map[string]func() error{
		"returns an error": func() error { return errors.New("late") },
		"panics":           func() error { panic("late") },
		"ends its goroutine": func() error {
			runtime.Goexit()
			return nil
		},
	}
	for name, end := range badly {
		for _, stop := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stopped: %v", name, stop), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &stubborn{first: func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
						time.Sleep(longer)
						return nil, end()
					}}
					f := newFixture(t, oauthtest.Config{}, s.use).start(t)
					begun, done := time.Now(), make(chan error, 1)
					go func() { done <- f.ForceRefresh(t.Context()) }()
					time.Sleep(time.Second)
					want := answerTimeout + time.Second
					if stop {
						f.Stop()
						want = 32 * time.Second // MaxWait after a second, and a second to obey
						if took := time.Since(begun); took != want {
							t.Errorf("stopped after %v; want %v", took, want)
						}
					}
					err := <-done
					if took := time.Since(begun); took != want || err == nil {
						t.Errorf("the flight landed after %v with %v; want %v", took, err, want)
					}
					synctest.Wait()
					_ = f.hold(t).Unlock() // would hang if the lock was left behind
					if rec := f.record(t); !rec.Pending.On(f.first.RefreshToken) {
						t.Error("the outcome is unknown, and not marked so")
					}
					if stop {
						f.resume(t)
					}
					time.Sleep(2 * longer)
					f.inState(t, refresh.StateValid)
					f.serve(t, f.saved(t))
					f.clean(t)
				})
			})
		}
	}
}

// A call that ends at once in an odd way does not hang either.
func TestF82_ARefresherThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stubborn{first: func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			runtime.Goexit()
			return nil, nil
		}}
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil { // the second attempt
			t.Error(err)
		}
		f.clean(t)
	})
}

// What comes after the deadline is saved if the session has not gone on without it.
func TestF82_APairThatComesLateIsTakenIfItIsTheSuccessor(t *testing.T) {
	const late = 5 * minute
	for name, tt := range map[string]struct {
		meanwhile func(t *testing.T, f *fixture)
		taken     bool
	}{
		"nothing happened":                   {func(*testing.T, *fixture) {}, true},
		"it was stopped":                     {func(_ *testing.T, f *fixture) { f.Stop() }, true},
		"it was stopped before the deadline": {nil, true},
		"it was started again": {func(t *testing.T, f *fixture) {
			f.Stop()
			f.server.Script(forEver(oauthtest.Fault{Status: 503}))
			f.resume(t)
		}, true},
		"a login": {func(t *testing.T, f *fixture) {
			fresh, err := f.server.Login("alice")
			if err != nil || f.UpdateTokens(fresh) != nil {
				t.Error(err)
			}
		}, false},
		"a login elsewhere": {func(t *testing.T, f *fixture) { f.loginElsewhere(t, "alice") }, false},
		"a logout":          {func(t *testing.T, f *fixture) { _ = f.Logout(t.Context()) }, false},
		"a logout after Stop": {func(t *testing.T, f *fixture) {
			f.Stop()
			_ = f.Logout(t.Context())
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(stubborn).after(late)
				f := newFixture(t, oauthtest.Config{NoReuseDetection: true}, s.use).start(t)
				begun := time.Now()
				go f.ForceRefresh(t.Context())
				time.Sleep(time.Second)
				f.server.Script(forEver(oauthtest.Fault{Status: 503})) // so that nothing else renews it
				if tt.meanwhile == nil {
					f.Stop()
				} else {
					time.Sleep(answerTimeout + 2*time.Second)
					tt.meanwhile(t, f)
				}
				before, _ := f.store.Get(t.Context(), "default")
				time.Sleep(time.Until(begun.Add(late + time.Second)))
				synctest.Wait()
				after, _ := f.store.Get(t.Context(), "default")
				switch {
				case !tt.taken && before == nil && after != nil:
					t.Error("it brought the session back")
				case !tt.taken && before != nil && after.Tokens.RefreshToken != before.Tokens.RefreshToken:
					t.Error("it replaced what had come in its place")
				case tt.taken && (after.Tokens.RefreshToken == f.first.RefreshToken || after.Pending != nil):
					t.Error("it is not saved")
				case tt.taken:
					f.serve(t, after.Tokens)
					f.inState(t, refresh.StateValid)
				}
			})
		})
	}
}

// While a second attempt waits for the answer, that to the first is as good.
func TestF82_ALateAnswerServesTheAttemptThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(stubborn).after(5 * minute)
		f := newFixture(t, oauthtest.Config{NoReuseDetection: true}, s.use)
		time.Sleep(time.Hour)
		f.start(t)
		begun := time.Now()
		go f.TokenContext(t.Context())
		time.Sleep(time.Second)
		f.server.Script(forEver(oauthtest.Fault{Hang: true}))
		time.Sleep(time.Until(begun.Add(5*minute - time.Second)))
		if s.calls.Load() < 2 {
			t.Fatal("there is no second attempt")
		}
		pair, err := f.TokenContext(t.Context())
		if err != nil || pair.RefreshToken == f.first.RefreshToken {
			t.Errorf("got %v, %v; want what the first call has brought", pair, err)
		}
		if took := time.Since(begun); took != 5*minute {
			t.Errorf("after %v; want 5 min", took)
		}
		synctest.Wait()
		f.serve(t, f.saved(t))
	})
}

// A store that cannot be reached at that moment is told later, as any save.
func TestF82_ALatePairThatCannotBeSavedIsServedAndSavedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFaultyStore()
		s := new(stubborn).after(5 * minute)
		f := newFixture(t, oauthtest.Config{NoReuseDetection: true}, store.use, s.use).start(t)
		go f.ForceRefresh(t.Context())
		time.Sleep(time.Second)
		f.server.Script(forEver(oauthtest.Fault{Status: 503}))
		time.Sleep(4 * minute)
		store.edit(func(s *faultyStore) {
			s.onSet = func(context.Context, *tokenstore.Record) error { return errors.New("disk full") }
		})
		time.Sleep(2 * minute)
		if f.GetTokens().RefreshToken == f.first.RefreshToken {
			t.Error("it was not taken")
		}
		store.edit(func(s *faultyStore) { s.onSet = nil })
		time.Sleep(2 * minute)
		f.serve(t, f.saved(t))
	})
}
