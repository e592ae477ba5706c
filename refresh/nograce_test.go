package refresh_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// noGrace makes the manager know that a spent token is never taken again.
func noGrace(cfg *refresh.Config) { cfg.Grace = oauth.GraceNone }

// gone is a request whose outcome stays unknown.
var gone = map[string]oauthtest.Fault{
	"answer lost":                    {Reset: true, AfterCommit: true},
	"request lost":                   {Reset: true},
	"cut off":                        {CutBody: true, Edit: func(fields map[string]any) { clear(fields); fields["x"] = strings.Repeat("x", 99) }},
	"no answer in time":              {Hang: true, AfterCommit: true},
	"a gateway's word":               {Status: 502, HTML: true, AfterCommit: true},
	"a gateway's word, too late":     {Status: 504, HTML: true, AfterCommit: true},
	"a success without tokens":       {Body: `{}`, AfterCommit: true},
	"a success that says no":         {Body: `{"success":false}`, AfterCommit: true},
	"a success that is a page":       {HTML: true, AfterCommit: true},
	"answer lost, nothing spent yet": {Reset: true},
}

// The person has a session on another device, which reuse would end as well.
func TestF86_WithGraceNoneNothingIsSentAgain(t *testing.T) {
	for name, fault := range gone {
		for _, alone := range []bool{false, true} { // without a Store
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var told failures
					f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 2 * time.Hour}, noGrace, told.use)
					if alone {
						f = newFixture(t, oauthtest.Config{AccessTokenLifetime: 2 * time.Hour}, noGrace, told.use, func(cfg *refresh.Config) { cfg.Store = nil })
					}
					other, err := f.server.Login("alice")
					if err != nil {
						t.Fatal(err)
					}
					f.start(t)
					f.server.Script(fault)
					is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
					if n := f.requests(); n != 1 {
						t.Fatalf("%d requests; want 1", n)
					}
					for range 5 {
						_ = f.ForceRefresh(t.Context())
						time.Sleep(10 * minute)
						if pair, err := f.TokenContext(t.Context()); err != nil || pair.AccessToken != f.first.AccessToken {
							t.Errorf("a token that lives is not served: %v", err)
						}
					}
					if heard := told.heard(); len(heard) != 0 {
						t.Errorf("while the token lives, OnRefreshFail heard %v", heard)
					}
					time.Sleep(day)
					_, err = f.TokenContext(t.Context())
					is(t, err, oauth.ErrLoginRequired)
					is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
					f.inState(t, refresh.StateLoginRequired)
					if heard := told.heard(); len(heard) != 1 || !strings.Contains(heard[0].Error(), "was lost") {
						t.Errorf("OnRefreshFail heard %v; want the cause, once", heard)
					}
					f.Stop()
					if err := f.Start(t.Context(), nil); err != nil && !alone {
						t.Fatal(err)
					}
					time.Sleep(time.Hour)
					if n := f.requests(); n != 1 {
						t.Errorf("%d requests in a day, and after a restart; want 1", n)
					}
					if next, err := oauth.NewClient(f.server.OAuthConfig()).Refresh(t.Context(), other); err != nil {
						t.Errorf("the other device's session is over: %v", err)
					} else if err := f.UpdateTokens(next); err != nil {
						t.Error(err)
					}
					if err := f.ForceRefresh(t.Context()); err != nil {
						t.Errorf("a login does not mend it: %v", err)
					}
					f.clean(t)
				})
			})
		}
	}
}

func TestF86_WhatWasNotSpentIsSentAgainAlsoWithGraceNone(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"not arrived": {Down: true, Times: 3},
		"unavailable": {Status: 503, Times: 3},
		"an error":    {Status: 500, Times: 3},
		"throttled":   {Status: 429, RetryAfter: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}, noGrace).start(t)
				f.server.Script(fault)
				is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
				time.Sleep(2 * minute)
				if f.server.Refreshes() != 1 {
					t.Errorf("%d refreshes; want 1", f.server.Refreshes())
				}
				f.inState(t, refresh.StateValid)
				f.clean(t)
			})
		})
	}
}

// Where not even a mark can be left in the Store, the process remembers.
func TestF86_WithGraceNoneALostAnswerIsRememberedWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFaultyStore()
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 10 * minute}, noGrace, store.use).start(t)
		time.Sleep(4 * minute)
		store.full(true)
		time.Sleep(6*minute + time.Second) // nothing is announced, and so nothing is spent, while the token lives
		f.server.Script(lostAnswer)
		time.Sleep(minute)
		store.full(false)
		time.Sleep(time.Hour)
		if n := f.requests(); n > 1 {
			t.Errorf("%d requests; want 1", n)
		}
		f.inState(t, refresh.StateLoginRequired)
		f.clean(t)
	})
}

// What another process has saved meanwhile counts, and so does what it is about to save.
func TestF86_WithGraceNoneNewsFromTheStoreIsTaken(t *testing.T) {
	for name, pause := range map[string]time.Duration{"soon": time.Second, "before it is told": minute + 50*time.Second, "after it was told": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told failures
				f := newFixture(t, oauthtest.Config{AccessTokenLifetime: minute}, noGrace, told.use).start(t)
				f.server.Script(oauthtest.Fault{Reset: true}) // so that the token is good
				is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
				time.Sleep(pause)
				if heard := told.heard(); (len(heard) != 0) != (pause == time.Hour) {
					t.Errorf("OnRefreshFail heard %v", heard)
				}
				if pause != time.Hour {
					is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
				}
				next := f.renewElsewhere(t)
				time.Sleep(minute + time.Second)
				if pair, err := f.TokenContext(t.Context()); err != nil || next == nil {
					t.Errorf("the newer pair is not taken: %v, %v", pair, err)
				}
				f.inState(t, refresh.StateValid)
				f.clean(t)
			})
		})
	}
}

// A process that finds the mark of one whose request is under way waits for it.
func TestF86_WithGraceNoneARequestUnderWayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: minute}, noGrace).start(t)
		sibling := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: f.store, Grace: oauth.GraceNone, CheckInterval: time.Second})
		if err := sibling.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		defer sibling.Stop()
		f.server.Script(oauthtest.Fault{Delay: 20 * time.Second})
		go f.ForceRefresh(context.Background())
		time.Sleep(time.Second)
		if err := sibling.ForceRefresh(t.Context()); err != nil {
			t.Errorf("the sibling got %v; want the pair that comes", err)
		}
		if sibling.GetTokens().AccessToken == f.first.AccessToken {
			t.Error("the sibling has the old pair")
		}
		f.clean(t)
	})
}

// The process that announced it has died.
func TestF86_WithGraceNoneAMarkOfAnotherProcessIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 10 * minute}, noGrace, told.use)
		rec := &tokenstore.Record{Tokens: f.first, Pending: &tokenstore.Mark{Token: tokenstore.Fingerprint(f.first.RefreshToken), At: time.Now()}}
		if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
			t.Fatal(err)
		}
		cfg := refresh.Config{Grace: oauth.GraceNone}
		for after, want := range map[time.Duration]refresh.State{minute: refresh.StateRetrying, time.Hour: refresh.StateLoginRequired} {
			if st := refresh.Judge(cfg, rec, time.Now().Add(after)); st.State != want {
				t.Errorf("after %v judged %v (%v); want %v", after, st.State, st.LastError, want)
			}
		}
		if err := f.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * minute)
		f.inState(t, refresh.StateRetrying)
		time.Sleep(2 * minute)
		f.inState(t, refresh.StateLoginRequired)
		if n := f.requests(); n != 0 || len(told.heard()) != 1 {
			t.Errorf("%d requests, OnRefreshFail heard %v; want none, and one", n, told.heard())
		}
		f.clean(t)
	})
}

// An API that refuses the token leaves nothing that could be served.
func TestF86_WithGraceNoneARejectedTokenIsNotWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: day, RevokeOldAccess: true}, noGrace, told.use).start(t)
		client, _ := f.wired()
		f.server.Script(lostAnswer)
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		for range 5 {
			get(t, client, f.server.Resource())
			time.Sleep(minute)
		}
		if len(told.heard()) != 1 {
			t.Errorf("OnRefreshFail heard %v; want that a login is needed", told.heard())
		}
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}
		f.clean(t)
	})
}

// An announcement stays in the Store without anything having been sent: the Store took it and
// said that it had not, the lock was lost before the request, or the announcement could not be
// taken back after an answer that spends nothing. The process that has made it knows that.
func TestF86_AnAnnouncementWithoutARequestEndsNothingWithGraceNone(t *testing.T) {
	once := func(what func(rec *tokenstore.Record) bool) func(*tokenstore.Record) error {
		var done atomic.Bool
		return func(rec *tokenstore.Record) error {
			if what(rec) && done.CompareAndSwap(false, true) {
				return errors.New("i/o timeout")
			}
			return nil
		}
	}
	for name, tt := range map[string]struct {
		store func(s *faultyStore)
		fault oauthtest.Fault
	}{
		"written and reported as failed": {store: func(s *faultyStore) {
			s.afterOK = once(func(rec *tokenstore.Record) bool { return rec.Pending != nil })
		}},
		"the lock lost": {store: func(s *faultyStore) {
			lost := once(func(*tokenstore.Record) bool { return true })
			s.onLease = func() error { return lost(nil) }
		}},
		"not taken back, nobody there":  {notTakenBack(once), oauthtest.Fault{Down: true}},
		"not taken back, a busy server": {notTakenBack(once), oauthtest.Fault{Status: http.StatusServiceUnavailable}},
		"not taken back, too many":      {notTakenBack(once), oauthtest.Fault{Status: http.StatusTooManyRequests}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told failures
				store := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, noGrace, told.use, store.use).start(t)
				store.edit(tt.store)
				f.server.Script(tt.fault)
				time.Sleep(2 * time.Hour)
				f.inState(t, refresh.StateValid)
				if heard := told.heard(); len(heard) > 0 {
					t.Errorf("told %v", heard)
				}
				f.clean(t)
			})
		})
	}
}

// notTakenBack makes the first write after an announcement fail that is none itself.
func notTakenBack(once func(func(*tokenstore.Record) bool) func(*tokenstore.Record) error) func(*faultyStore) {
	return func(s *faultyStore) {
		announced := false
		fails := once(func(rec *tokenstore.Record) bool { return announced && rec.Pending == nil })
		s.onSet = func(_ context.Context, rec *tokenstore.Record) error {
			announced = announced || rec.Pending != nil
			return fails(rec)
		}
	}
}
