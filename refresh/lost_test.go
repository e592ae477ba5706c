package refresh_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// lostAnswer is a connection that breaks after the server has rotated.
var lostAnswer = oauthtest.Fault{Reset: true, AfterCommit: true}

func TestF26_AnswerLostWithinAGraceWindowIsAskedForAgain(t *testing.T) {
	for _, fork := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{Grace: 30 * time.Second, ForkSuccessors: fork}).start(t)
			f.server.Script(lostAnswer)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatalf("the session is lost: %v", err)
			}
			spends := f.server.Spends()
			if len(spends) != 2 || spends[0].TokenHash != spends[1].TokenHash {
				t.Fatalf("%d spends; want the same refresh token twice", len(spends))
			}
			if wait := spends[1].Arrived.Sub(spends[0].Ended); wait <= 0 || wait > 5*time.Second {
				t.Errorf("asked again after %v; want within 5 s", wait)
			}
			if rec := f.record(t); rec.Tokens.RefreshToken == f.first.RefreshToken || rec.Pending != nil {
				t.Errorf("the store holds %v, pending %v; want the successor and no mark", rec, rec.Pending)
			}
			for range 3 { // the successor is a good one
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			f.clean(t)
		})
	}
}

func TestF26_AnswerLostWithoutGraceIsALoginWithThatCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{}, told.use).start(t)
		f.server.Script(lostAnswer)
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient) // the replay may have met its own first request
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times before the second opinion", n)
		}
		time.Sleep(minute + time.Second)
		if heard := told.heard(); len(heard) != 1 || !strings.Contains(heard[0].Error(), "lost") {
			t.Errorf("OnRefreshFail heard %v; want the cause, once", heard)
		}
		if n := f.requests(); n != 3 {
			t.Errorf("%d requests; want the spend, its replay, and a second opinion", n)
		}
		f.clean(t)
	})
}

func TestF26_AnswerLostSeveralTimesIsAskedForWithinFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Grace: 30 * time.Second}).start(t)
		fault := lostAnswer
		fault.Times = 4
		f.server.Script(fault)
		start := time.Now()
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatalf("the session is lost: %v", err)
		}
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("four lost answers took %v to overcome; want at most 15 s", took)
		}
		if n := f.requests(); n != 5 {
			t.Errorf("%d requests; want 5", n)
		}
		f.clean(t)
	})
}

func TestF26_AnswerLostIsRememberedWhenTheNextAttemptDoesNotArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(lostAnswer, oauthtest.Fault{Down: true})
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		if rec := f.record(t); !rec.Pending.On(f.first.RefreshToken) {
			t.Error("an attempt that did not arrive took the mark of the one whose answer was lost")
		}
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		time.Sleep(minute)
		err := f.ForceRefresh(t.Context())
		is(t, err, oauth.ErrLoginRequired)
		if err == nil || !strings.Contains(err.Error(), "lost") {
			t.Errorf("error %v; want one that names the cause", err)
		}
		f.clean(t)
	})
}

func TestF26_AnswerLostWhileStoppingIsAskedForAtOnce(t *testing.T) {
	stops := map[string]time.Duration{
		"stopped before the answer was lost": time.Second,
		"stopped after the answer was lost":  2*time.Second + time.Second/2,
	}
	for name, at := range stops {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{Grace: 30 * time.Second}).start(t)
				f.server.Script(oauthtest.Fault{Delay: 2 * time.Second, Reset: true, AfterCommit: true})
				go f.ForceRefresh(t.Context())
				time.Sleep(at)
				f.Stop()
				if f.saved(t).RefreshToken == f.first.RefreshToken {
					t.Error("stopped with a spent refresh token in the store; its grace window will not wait for the next start")
				}
				if n := f.requests(); n != 2 {
					t.Errorf("%d requests; want 2", n)
				}
				f.clean(t)
			})
		})
	}
}

func TestF26_AnswerLostAgainWhileStoppingIsLeftToTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Grace: 30 * time.Second}).start(t)
		fault := forEver(lostAnswer)
		fault.Delay = time.Second
		f.server.Script(fault)
		go f.ForceRefresh(t.Context())
		time.Sleep(time.Second / 2)
		f.Stop()
		if n := f.requests(); n != 2 {
			t.Errorf("%d requests; want 2: Stop is not to take long", n)
		}
		if rec := f.record(t); !rec.Pending.On(f.first.RefreshToken) {
			t.Error("the next start will not know")
		}
		f.server.ClearScript()
		f.resume(t)
		time.Sleep(5 * time.Second)
		f.inState(t, refresh.StateValid)
		if f.saved(t).RefreshToken == f.first.RefreshToken {
			t.Error("the next start did not ask again within seconds")
		}
		f.clean(t)
	})
}

func TestF26_AnswerLostInACrashIsAskedForByTheNextProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Grace: 30 * time.Second})
		// A process announced, spent, and died before it could save.
		crash(t, f)
		time.Sleep(2 * time.Second)
		f.resume(t)
		time.Sleep(5 * time.Second) // the access token lives for another 14 minutes
		if n := f.requests(); n != 2 {
			t.Errorf("%d requests; want the same token again within seconds, before the grace window closes", n)
		}
		time.Sleep(14 * minute)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

// crash leaves the store and the server as a process does that is killed after
// the server has rotated and before it could save the answer.
func crash(t *testing.T, f *fixture) {
	t.Helper()
	rec := &tokenstore.Record{Tokens: f.first, Pending: &tokenstore.Mark{
		Token: tokenstore.Fingerprint(f.first.RefreshToken), At: time.Now().UTC().Round(0),
	}}
	if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
		t.Fatal(err)
	}
	if _, err := oauth.NewClient(f.server.OAuthConfig()).Refresh(t.Context(), f.first); err != nil {
		t.Fatal(err)
	}
	f.server.AnswerLost(f.first.RefreshToken)
}

func TestF27_CutBodyIsAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Grace: 30 * time.Second}).start(t)
		f.server.Script(oauthtest.Fault{CutBody: true})
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatalf("the session is lost: %v", err)
		}
		failed := f.events.of(refresh.EventRefreshFailed)
		if len(failed) != 1 {
			t.Fatalf("%d failures reported; want 1", len(failed))
		}
		is(t, failed[0].Err, oauth.ErrTransient)
		for _, secret := range []string{f.first.RefreshToken, "access_token", "eyJ"} {
			if strings.Contains(failed[0].Err.Error(), secret) {
				t.Errorf("the error quotes the answer: %v", failed[0].Err)
			}
		}
		if n := f.requests(); n != 2 {
			t.Errorf("%d requests; want 2", n)
		}
		f.clean(t)
	})
}

func TestF29_SaveFailsForTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		// The disk is full from the moment that the refresh has been announced.
		f := newFixture(t, oauthtest.Config{}, s.use, breakAtSpend(s)).start(t)
		other := f.sibling(t, func(cfg *refresh.Config) { cfg.Store = s.Store }).resume(t)

		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatalf("a full disk is not a reason for the refresh to fail: %v", err)
		}
		renewed := f.GetTokens()
		if renewed.AccessToken == f.first.AccessToken {
			t.Fatal("nothing was renewed")
		}
		if st := f.GetRefreshStatus(); !st.Unsaved || !strings.Contains(st.SaveError, errDiskFull.Error()) || st.State != refresh.StateValid {
			t.Errorf("status %+v; want valid and unsaved, with the reason", st)
		}
		for range 120 {
			time.Sleep(time.Second)
			f.serve(t, renewed)
		}
		if n := f.events.count(refresh.EventSaveFailed); n < 3 || n > 20 {
			t.Errorf("%d attempts to save within two minutes; want a few", n)
		}
		// Meanwhile the other process must not spend the refresh token that the store
		// still holds.
		is(t, other.ForceRefresh(t.Context()), oauth.ErrTransient, tokenstore.ErrLocked)

		s.full(false)
		time.Sleep(minute)
		if n := f.events.count(refresh.EventSaved); n != 1 {
			t.Errorf("the save was reported %d times; want once", n)
		}
		if st := f.GetRefreshStatus(); st.Unsaved || st.SaveError != "" {
			t.Errorf("status %+v; want saved", st)
		}
		if f.saved(t).RefreshToken != renewed.RefreshToken {
			t.Error("the pair is not saved")
		}
		time.Sleep(minute)
		other.serve(t, renewed)
		if err := other.ForceRefresh(t.Context()); err != nil {
			t.Errorf("the lock was not given back: %v", err)
		}
		f.clean(t)
	})
}

func TestF29_SaveNeverSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use, breakAtSpend(s)).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The session outlives its access token although nothing can be saved.
		for range 60 {
			time.Sleep(minute)
			if _, err := f.TokenContext(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		err := f.Close(ctx)
		is(t, err, refresh.ErrUnsaved, errDiskFull)
		if err == nil || !strings.Contains(err.Error(), `"default"`) {
			t.Errorf("error %v; want one that names the session", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("Close gave up after %v; want 10 s", took)
		}
		synctest.Wait()
		stopped := f.events.of(refresh.EventStopped)
		if len(stopped) != 1 || !errors.Is(stopped[0].Err, refresh.ErrUnsaved) {
			t.Errorf("stopped: %v; want one event that warns", stopped)
		}
		f.clean(t)
	})
}

// breakAtSpend fills the disk once a refresh has been announced.
func breakAtSpend(s *faultyStore) func(*refresh.Config) {
	return func(cfg *refresh.Config) {
		next := cfg.OnEvent
		cfg.OnEvent = func(e refresh.Event) {
			next(e)
			if e.Kind == refresh.EventRefreshing {
				s.full(true)
			}
		}
	}
}

func TestF29_SaveSucceedsWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use, breakAtSpend(s)).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(5 * time.Second)
			s.full(false)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Errorf("Close: %v; the disk had room again in time", err)
		}
		if f.saved(t).RefreshToken != f.GetTokens().RefreshToken {
			t.Error("the pair is not saved")
		}
		f.clean(t)
	})
}

func TestF29_TheUnsavedPairIsTheOneToStartAgainWith(t *testing.T) {
	starts := map[string]func(f *fixture) *oauth.TokenPair{
		"with nothing":  func(*fixture) *oauth.TokenPair { return nil },
		"with the seed": func(f *fixture) *oauth.TokenPair { return f.first },
	}
	for name, tokens := range starts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, s.use, breakAtSpend(s)).start(t)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				renewed := f.GetTokens()
				f.Stop()
				s.full(false)
				if err := f.Start(t.Context(), tokens(f)); err != nil {
					t.Fatal(err)
				}
				f.serve(t, renewed)
				time.Sleep(minute)
				if f.saved(t).RefreshToken != renewed.RefreshToken {
					t.Error("the manager went back to a refresh token that it had spent")
				}
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Error(err)
				}
				f.clean(t)
			})
		})
	}
}

func TestF29_SavedButReportedAsFailedEndsAsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		s.edit(func(s *faultyStore) {
			s.afterOK = func(rec *tokenstore.Record) error {
				if rec.Pending == nil {
					s.edit(func(s *faultyStore) { s.afterOK = nil })
					return errDiskFull // written, but the answer was lost
				}
				return nil
			}
		})
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * minute)
		if st := f.GetRefreshStatus(); st.Unsaved {
			t.Errorf("the pair is in the store, and the status says %q", st.SaveError)
		}
		if n := f.events.count(refresh.EventSaved); n != 1 {
			t.Errorf("the save was reported %d times; want once", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		lease, err := s.Lock(ctx, "default")
		if err != nil {
			t.Fatalf("the lock was kept although everything is saved: %v", err)
		}
		_ = lease.Unlock()
		f.clean(t)
	})
}

func TestF33_CloseDuringARefreshReturnsAfterTheSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
		go f.ForceRefresh(t.Context())
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := f.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("Close took %v; want the 4 s that the refresh still needed", took)
		}
		if f.saved(t).RefreshToken == f.first.RefreshToken {
			t.Error("the refresh under way was not saved")
		}
		f.clean(t)
	})
}

func TestF33_CloseDuringARefreshReturnsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: 20 * time.Second})
		go f.ForceRefresh(t.Context())
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		err := f.Close(ctx)
		is(t, err, refresh.ErrUnsaved, context.DeadlineExceeded)
		if err == nil || !strings.Contains(err.Error(), `"default"`) {
			t.Errorf("error %v; want one that names the session", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("Close returned after %v; want 5 s", took)
		}
		time.Sleep(minute) // the process was not ended after all
		if f.saved(t).RefreshToken == f.first.RefreshToken {
			t.Error("the refresh was given up with the wait")
		}
		f.clean(t)
	})
}
