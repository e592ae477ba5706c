package refresh_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A lease that ends while the request is on its way: the answer is followed
// through, and nothing is sent again.
func TestF14_LeaseShorterThanTheCall(t *testing.T) {
	for name, tt := range map[string]struct {
		fault    oauthtest.Fault
		requests int
	}{
		"the answer comes":   {oauthtest.Fault{Delay: 5 * time.Second}, 1},
		"the answer is lost": {oauthtest.Fault{Delay: 5 * time.Second, AfterCommit: true, Reset: true}, 1},
		"the server is down": {oauthtest.Fault{Delay: 5 * time.Second, Status: 502}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, s.use).start(t)
				synctest.Wait()
				f.server.Script(tt.fault)
				done := make(chan error, 1)
				go func() { done <- f.ForceRefresh(t.Context()) }()
				time.Sleep(2 * time.Second)
				s.edit(func(s *faultyStore) { s.onLease = func() error { return tokenstore.ErrLeaseLost } })
				err := <-done
				time.Sleep(30 * time.Second)
				if n := f.requests(); n != tt.requests {
					t.Errorf("%d requests with a lost lease; want %d", n, tt.requests)
				}
				if tt.fault.Status != 0 || tt.fault.Reset {
					is(t, err, oauth.ErrTransient)
					return
				}
				if err != nil {
					t.Errorf("the answer was there: %v", err)
				}
				if got := f.saved(t); got.AccessToken == f.first.AccessToken {
					t.Error("the new pair is not saved")
				}
				f.clean(t)
			})
		})
	}
}

// The lock service cannot be reached. Nobody can say who else is spending, so
// nobody spends; and people are told another thing than that it is busy.
func TestF17_LockServiceDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, down := newFaultyStore(), errors.New("connection refused")
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		synctest.Wait()
		s.edit(func(s *faultyStore) { s.onLock = func(context.Context) error { return down } })
		f.untilDue()
		time.Sleep(minute)
		f.serve(t, f.first) // which lives
		f.untilExpired()
		_, err := f.TokenContext(t.Context())
		is(t, err, oauth.ErrTransient, down)
		if errors.Is(err, tokenstore.ErrLocked) {
			t.Errorf("a service that is down is taken for a busy lock: %v", err)
		}
		if n := f.requests(); n != 0 {
			t.Errorf("%d requests without a lock; want none", n)
		}
		if n := f.events.count(refresh.EventRefreshFailed); n == 0 {
			t.Error("nobody was told")
		}
		s.edit(func(s *faultyStore) { s.onLock = nil })
		time.Sleep(minute)
		if _, err := f.TokenContext(t.Context()); err != nil {
			t.Errorf("the service is back: %v", err)
		}
		f.clean(t)
	})
}

// Three daemons hear of one dead grant and would all open a browser.
func TestReauthenticationRunsOnceForAllProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		first := newFixture(t, oauthtest.Config{})
		reauthenticates := func(cfg *refresh.Config) {
			cfg.OnRefreshFail = func(error) bool { return true }
			cfg.Reauthenticate = func(context.Context) (*oauth.TokenPair, error) {
				logins.Add(1)
				time.Sleep(2 * minute) // people take their time
				return first.server.Login("alice")
			}
		}
		var all []*fixture
		for range 3 {
			all = append(all, first.sibling(t, reauthenticates).start(t))
		}
		first.server.RevokeAll("alice")
		time.Sleep(18 * minute) // after the login, and before anybody renews what it brought
		for _, f := range all {
			f.inState(t, refresh.StateValid)
			if pair, err := f.TokenContext(t.Context()); err != nil || pair.AccessToken != first.saved(t).AccessToken {
				t.Errorf("%v, %v; want what is saved", pair, err)
			}
		}
		if n := logins.Load(); n != 1 {
			t.Errorf("%d logins of three processes; want 1", n)
		}
		first.clean(t)
	})
}

func TestReauthenticationThatCannotLockSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, down := newFaultyStore(), errors.New("connection refused")
		f := newFixture(t, oauthtest.Config{}, s.use, func(cfg *refresh.Config) {
			cfg.OnRefreshFail = func(error) bool {
				s.edit(func(s *faultyStore) { s.onLock = func(context.Context) error { return down } })
				return true
			}
			cfg.Reauthenticate = func(context.Context) (*oauth.TokenPair, error) {
				t.Error("it logs in, and others may as well")
				return nil, errors.New("no")
			}
		}).start(t)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		synctest.Wait()
		if told := f.events.of(refresh.EventReauthenticateFailed); len(told) != 1 || !errors.Is(told[0].Err, down) {
			t.Errorf("told %v; want that the lock could not be had", told)
		}
	})
}
