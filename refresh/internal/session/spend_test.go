package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// inOneStep makes the Store take the lock and announce the spend in one step.
func inOneStep(d *desk) { d.cfg.Spender = d.store }

// gives makes the server answer with a pair.
func (d *desk) gives(n string) {
	d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return pair(n), nil }
}

// sends fails the test unless those refresh tokens were sent.
func (d *desk) sends(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(d.sent, want) {
		t.Errorf("sent %v; want %v", d.sent, want)
	}
}

// stored returns the record.
func (d *desk) stored(t *testing.T) *tokenstore.Record {
	t.Helper()
	rec, err := d.store.Memory.Get(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// abandoned leaves the announcement of a process that has died.
func (d *desk) abandoned(t *testing.T) {
	t.Helper()
	d.store.edit(t, func(rec *tokenstore.Record) {
		rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint("r1"), At: time.Now().UTC()}
	})
}

// Where lock and announcement are one step, that step tells whether another process was
// faster, and with what.
func TestLaw1_WhatAnotherProcessDidBeforeTheOneStep(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk) error
		err    error
		shows  string
		sent   []string
		spends int // calls of BeginSpend
	}{
		"nothing":     {func(*testing.T, *desk) error { return nil }, nil, "a9", []string{"r1"}, 1},
		"it renewed":  {func(t *testing.T, d *desk) error { d.store.put(t, pair("2")); return nil }, nil, "a2", nil, 1},
		"it died":     {func(t *testing.T, d *desk) error { d.abandoned(t); return nil }, nil, "a9", []string{"r1"}, 2},
		"it was told": {func(t *testing.T, d *desk) error { d.store.edit(t, askedToWait); return nil }, oauth.ErrTransient, "a1", nil, 1},
		"logged out":  {func(t *testing.T, d *desk) error { d.store.remove(t); return nil }, ErrLoggedOut, "", nil, 1},
		"the Store fails then": {func(_ *testing.T, d *desk) error {
			d.store.fails = tokenstore.ErrUnavailable
			return tokenstore.ErrConflict
		}, oauth.ErrTransient, "a1", nil, 1},
		"it has the lock":            {func(*testing.T, *desk) error { return tokenstore.ErrLocked }, oauth.ErrTransient, "a1", nil, 1},
		"it has the lock, and saves": {func(t *testing.T, d *desk) error { d.store.put(t, pair("2")); return tokenstore.ErrLocked }, nil, "a2", nil, 1},
		"not in one step":            {func(*testing.T, *desk) error { return errors.ErrUnsupported }, nil, "a9", []string{"r1"}, 1},
		"the step fails":             {func(*testing.T, *desk) error { return tokenstore.ErrUnavailable }, nil, "a9", []string{"r1"}, 1},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t, inOneStep)
			d.gives("9")
			d.store.beforeSpend = func() error { return tt.before(t, d) }
			if err := d.renew(t); !errors.Is(err, tt.err) {
				t.Errorf("error %v; want %v", err, tt.err)
			}
			d.shows(t, tt.shows)
			d.sends(t, tt.sent...)
			d.holding(t, 0)
			if d.store.spends != tt.spends {
				t.Errorf("tried %d times; want %d", d.store.spends, tt.spends)
			}
		})
	}
}

func askedToWait(rec *tokenstore.Record) {
	rec.AskedAt, rec.NotBefore = time.Now().UTC(), time.Now().Add(time.Minute).UTC()
}

// A session that is well is not read before the step; one that is not may have been
// renewed elsewhere, and needs no lock then.
func TestTheStoreIsReadBeforeTheLockUnlessOneStepTells(t *testing.T) {
	for _, tt := range []struct {
		oneStep, well, renewed bool
		gets, locks            int
	}{
		{true, true, false, 0, 1},
		{true, true, true, 1, 0},
		{true, false, true, 1, 0},
		{false, true, true, 1, 0},
		{false, true, false, 2, 1},
	} {
		inBubble(t, fmt.Sprintf("%+v", tt), func(t *testing.T) {
			d := newDesk(t)
			if tt.oneStep {
				inOneStep(d)
			}
			if !tt.well {
				d.setHealth(func(h *Health) { h.State = StateRetrying })
			}
			if tt.renewed {
				d.store.put(t, pair("2"))
				d.store.beforeSpend = func() error {
					if !tt.well {
						t.Error("the step was tried without a look")
					}
					return tokenstore.ErrConflict
				}
			}
			d.gives("9")
			d.store.gets = 0
			if err := d.renew(t); err != nil {
				t.Fatal(err)
			}
			if d.store.gets != tt.gets || d.store.locks != tt.locks {
				t.Errorf("%d reads, %d locks; want %d and %d", d.store.gets, d.store.locks, tt.gets, tt.locks)
			}
		})
	}
}

// A Store that cannot do it in one step is not asked again.
func TestAStoreThatNeedsSeveralStepsIsAskedOnce(t *testing.T) {
	inBubble(t, "twice", func(t *testing.T) {
		d := newDesk(t, inOneStep)
		d.store.beforeSpend = func() error { return errors.ErrUnsupported }
		for _, n := range []string{"2", "3"} {
			d.gives(n)
			if err := d.renew(t); err != nil {
				t.Fatal(err)
			}
			time.Sleep(90 * time.Minute)
		}
		if d.store.spends != 1 || d.store.locks != 2 {
			t.Errorf("asked %d times, locked %d times; want 1 and 2", d.store.spends, d.store.locks)
		}
		d.sends(t, "r1", "r2")
	})
}

// A run that ends before the spend takes its announcement back, but not that of a process
// that has died.
func TestLaw10_AnEndingRunTakesItsAnnouncementBack(t *testing.T) {
	for _, died := range []bool{false, true} {
		inBubble(t, fmt.Sprint("another has died ", died), func(t *testing.T) {
			d, r := newDesk(t, inOneStep), new(run)
			if died {
				d.abandoned(t)
				if err := d.Adopt(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			d.store.lease = func(l tokenstore.Lease) tokenstore.Lease { r.over = true; return l }
			if err := d.Renew(t.Context(), r, Want{Stale: d.cur.Load(), Force: true}); !errors.Is(err, ErrStopped) {
				t.Errorf("error %v; want %v", err, ErrStopped)
			}
			if pending := d.stored(t).Pending != nil; pending != died {
				t.Errorf("announced: %v; want %v", pending, died)
			}
			d.sends(t)
			d.holding(t, 0)
		})
	}
	for _, oneStep := range []bool{false, true} {
		inBubble(t, fmt.Sprint("no lock, in one step ", oneStep), func(t *testing.T) {
			d, r := newDesk(t), new(run)
			if oneStep {
				inOneStep(d)
			}
			d.store.beforeSpend = func() error { r.over = true; return tokenstore.ErrLocked }
			if !oneStep {
				r.over = true
				if _, err := d.store.Lock(t.Context(), session); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Renew(t.Context(), r, Want{Stale: d.cur.Load(), Force: true}); !errors.Is(err, ErrStopped) {
				t.Errorf("error %v; want %v", err, ErrStopped)
			}
			d.sends(t)
			if d.Health().Failures != 0 {
				t.Error("the end of the run counts as a failure")
			}
		})
	}
}

// A process without the lock has renewed while the server was asked: the session is read
// again before anything else is sent.
func TestLaw1_AConflictAfterTheSpendIsReadAgain(t *testing.T) {
	for _, oneStep := range []bool{false, true} {
		inBubble(t, fmt.Sprint("in one step ", oneStep), func(t *testing.T) {
			d := newDesk(t)
			if oneStep {
				inOneStep(d)
			}
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				d.store.put(t, pair("2"))
				return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 400, Code: "temporarily_unavailable", Sent: true}
			}
			if err := d.renew(t); err != nil {
				t.Errorf("error %v; want the other's pair", err)
			}
			d.shows(t, "a2")
			d.sends(t, "r1")
			d.holding(t, 0)
		})
	}
}

// lost is what comes of a request to which no answer arrived.
var lost = &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true}

// An answer that is lost is asked for again several times, whoever sent the request and
// whatever came of others before: it may be the first that was worked on.
func TestLaw5_ALostAnswerIsAskedForAgainWhateverFailedBefore(t *testing.T) {
	for _, tt := range []struct {
		failing, died bool
		sent          int
	}{
		{false, false, 5}, {true, false, 5}, {false, true, 5}, {true, true, 5},
	} {
		inBubble(t, fmt.Sprintf("%+v", tt), func(t *testing.T) {
			d := newDesk(t)
			if tt.failing {
				d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
					return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503, Sent: true}
				}
				if err := d.renew(t); err == nil {
					t.Fatal("no error")
				}
				time.Sleep(time.Hour)
			}
			if tt.died {
				d.abandoned(t)
			}
			d.sent = nil
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return nil, lost }
			if err := d.renew(t); !errors.Is(err, oauth.ErrTransient) {
				t.Errorf("error %v", err)
			}
			if len(d.sent) != tt.sent {
				t.Errorf("sent %d times; want %d", len(d.sent), tt.sent)
			}
		})
	}
}

// While other sessions find the server in trouble it is not asked again, but for the first
// answer that is lost of a session whose attempts it had answered: at the end of the time
// in which servers take a token again.
func TestLaw5_TheFirstLostAnswerIsAskedForWhileOthersAreRefused(t *testing.T) {
	trouble := &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503, Sent: true}
	for _, answered := range []bool{true, false} {
		inBubble(t, fmt.Sprintf("answered before: %v", answered), func(t *testing.T) {
			d := newDesk(t)
			before := lost
			if answered {
				before = trouble
			}
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return nil, before }
			if err := d.renew(t); err == nil {
				t.Fatal("no error")
			}
			time.Sleep(time.Hour)

			others, end := context.WithCancel(t.Context())
			d.cfg.Gate.Join()
			refused := func() {
				for others.Err() == nil {
					now := d.now()
					d.cfg.Gate.Note(gate.Attempt{Session: "other", ConfigID: d.cfg.ConfigID, Err: trouble, Begun: now, Now: now, Interval: time.Minute})
					time.Sleep(100 * time.Millisecond)
				}
			}
			var sent []time.Time
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				if sent = append(sent, time.Now()); len(sent) == 1 {
					go refused()
				}
				return nil, lost
			}
			_ = d.renew(t)
			end()
			time.Sleep(time.Second)
			want := 1
			if answered {
				want = 2
			}
			if len(sent) != want {
				t.Fatalf("sent %d times; want %d", len(sent), want)
			}
			if answered && sent[1].Sub(sent[0]) != schedule.ReplayLimit(0) {
				t.Errorf("sent again after %v; want %v", sent[1].Sub(sent[0]), schedule.ReplayLimit(0))
			}
		})
	}
}

// The lock that is kept for an unsaved pair is used for the next spend, if it still holds.
func TestLaw1_AKeptLockIsUsedAgainIfItHolds(t *testing.T) {
	for _, expired := range []bool{false, true} {
		inBubble(t, fmt.Sprint("expired ", expired), func(t *testing.T) {
			d := newDesk(t)
			leases := []*limited{}
			d.store.lease = func(l tokenstore.Lease) tokenstore.Lease {
				leases = append(leases, &limited{Lease: l})
				return leases[len(leases)-1]
			}
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				d.store.fails = tokenstore.ErrUnavailable
				return pair("2"), nil
			}
			if err := d.renew(t); err != nil {
				t.Fatal(err)
			}
			d.holding(t, 1)
			time.Sleep(90 * time.Minute)
			d.store.fails = nil
			leases[0].expired = expired
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				d.holding(t, 1)
				return pair("3"), nil
			}
			if err := d.renew(t); err != nil {
				t.Fatal(err)
			}
			want := 1
			if expired {
				want = 2
			}
			if d.store.locks != want {
				t.Errorf("locked %d times; want %d", d.store.locks, want)
			}
			d.sends(t, "r1", "r2")
			d.holding(t, 0)
			if got := d.stored(t).Tokens.RefreshToken; got != "r3" {
				t.Errorf("saved %s; want r3", got)
			}
		})
	}
}

// A limited lease ends before its holder lets go of it.
type limited struct {
	tokenstore.Lease
	expired bool
	ends    time.Time // zero: only when it has expired
}

func (l *limited) Err() error {
	if l.expired || !l.ends.IsZero() && !time.Now().Before(l.ends) {
		return tokenstore.ErrLeaseLost
	}
	return l.Lease.Err()
}

func TestLaw1_AStoreWithoutALeaseMeansNoSpend(t *testing.T) {
	inBubble(t, "nil", func(t *testing.T) {
		d := newDesk(t)
		d.store.lease = func(l tokenstore.Lease) tokenstore.Lease {
			_ = l.Unlock()
			return nil
		}
		err := d.renew(t)
		if _, panicked := errors.AsType[*failure.PanicError](err); panicked || !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("error %v; want %v, and no panic", err, oauth.ErrTransient)
		}
		d.sends(t)
		if h := d.Health(); h.State != StateRetrying {
			t.Errorf("state %v", h.State)
		}
	})
}

// In a process that is about to end, nothing is spent while the pair before is in memory
// alone; another one goes on.
func TestF73_NothingIsSpentWhileThePairBeforeIsUnsaved(t *testing.T) {
	for _, shortLived := range []bool{false, true} {
		inBubble(t, fmt.Sprint("short-lived ", shortLived), func(t *testing.T) {
			trouble, saves := errors.New("no room"), 0
			d := newDesk(t, func(d *desk) {
				d.cfg.ShortLived = shortLived
				d.cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { saves++; return trouble }
			})
			d.unsaved.callback = true
			saves = 0
			d.gives("2")
			err := d.renew(t)
			if shortLived {
				if !errors.Is(err, errUnspent) || saves != 1 {
					t.Errorf("error %v after %d saves; want %v after one", err, saves, errUnspent)
				}
				d.sends(t)
			} else {
				if err != nil || saves != 1 {
					t.Errorf("error %v, %d saves; want one, of the new pair", err, saves)
				}
				d.sends(t, "r1")
			}
			d.holding(t, 0)
		})
	}
}

// That is so before the lock is waited for, which another process may keep for as long.
func TestF73_APairIsSavedBeforeTheLockIsWaitedFor(t *testing.T) {
	for _, works := range []bool{false, true} {
		inBubble(t, fmt.Sprint("the Store works ", works), func(t *testing.T) {
			d := newDesk(t, func(d *desk) { d.cfg.ShortLived = true })
			d.unsavedPair(t, pair("2"))
			d.releaseKept()
			time.Sleep(90 * time.Minute)
			d.store.locks = 0
			if !works {
				d.store.fails = tokenstore.ErrUnavailable
			}
			d.gives("3")
			err := d.renew(t)
			if works {
				if err != nil {
					t.Errorf("error %v", err)
				}
				d.sends(t, "r1", "r2")
			} else {
				if !errors.Is(err, errUnspent) || d.store.locks != 0 {
					t.Errorf("error %v, locked %d times; want %v without a lock", err, d.store.locks, errUnspent)
				}
				d.sends(t, "r1")
			}
			d.holding(t, 0)
		})
	}
}

// The right to save that a spend in one step brings ends with its lock.
func TestASpendingIsNotUsedForAnother(t *testing.T) {
	inBubble(t, "the spend failed", func(t *testing.T) {
		d := newDesk(t, inOneStep)
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503, Sent: true}
		}
		if err := d.renew(t); err == nil {
			t.Fatal("no error")
		}
		d.plain = true
		d.gives("2")
		if err := d.renew(t); err != nil {
			t.Fatal(err)
		}
		if d.store.settles != 0 {
			t.Error("the second pair was saved by the right of the first spend")
		}
		d.holding(t, 0)
	})
	inBubble(t, "its lock has expired", func(t *testing.T) {
		d, leases := newDesk(t, inOneStep), []*limited(nil)
		d.store.lease = func(l tokenstore.Lease) tokenstore.Lease {
			leases = append(leases, &limited{Lease: l})
			return leases[len(leases)-1]
		}
		d.unsavedPair(t, pair("2"))
		time.Sleep(90 * time.Minute)
		leases[0].expired = true
		d.store.settles = 0
		d.gives("3")
		if err := d.renew(t); err != nil {
			t.Fatal(err)
		}
		if d.store.settles != 0 || d.store.locks != 2 {
			t.Errorf("saved %d times by the right of the first spend, locked %d times", d.store.settles, d.store.locks)
		}
		d.holding(t, 0)
	})
	inBubble(t, "an old copy was written over", func(t *testing.T) {
		d := newDesk(t, inOneStep)
		d.unsavedPair(t, pair("2"))
		d.held = d.rec.Version + 1
		if err := d.SaveAtLast(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if !d.claims() {
			t.Error("a session that is saved is not spent in one step")
		}
	})
}

// A refresh token that was answered with tokens nothing could find is sent again only if
// the program insists, and trouble then does not hide what there is to mend.
func TestAnUnreadAnswerStaysTheLast(t *testing.T) {
	for _, insist := range []bool{false, true} {
		inBubble(t, fmt.Sprint("the program insists ", insist), func(t *testing.T) {
			d := newDesk(t)
			d.store.edit(t, func(rec *tokenstore.Record) {
				rec.Refused = &tokenstore.Mark{Token: tokenstore.Fingerprint("r1"), At: time.Now().UTC(), Last: time.Now().UTC(), Code: codeUnread, By: "config", Count: 1}
			})
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503, Sent: true}
			}
			err := d.Renew(t.Context(), new(run), Want{Stale: d.cur.Load(), Force: true, Insist: insist})
			if err == nil {
				t.Error("no error")
			}
			if sent := len(d.sent) == 1; sent != insist {
				t.Errorf("sent %v", d.sent)
			}
			if h := d.Health(); h.State != StateMisconfigured {
				t.Errorf("state %v; want %v", h.State, StateMisconfigured)
			}
		})
	}
}

// Processes that share a session share the rate at which a refused token is tried, but that
// each asks once by itself.
func TestARefusedTokenIsTriedAtOneRateByAllProcesses(t *testing.T) {
	for name, tt := range map[string]struct {
		again func(t *testing.T, d *desk)
		sent  int
	}{
		"a moment later":            {func(*testing.T, *desk) {}, 1},
		"three hours later":         {func(*testing.T, *desk) { time.Sleep(3 * time.Hour) }, 2},
		"just asked elsewhere":      {func(t *testing.T, d *desk) { time.Sleep(3 * time.Hour); d.askedElsewhere(t) }, 1},
		"an hour ago elsewhere":     {func(t *testing.T, d *desk) { time.Sleep(3 * time.Hour); d.askedElsewhere(t); time.Sleep(time.Hour) }, 2},
		"elsewhere, before a start": {func(t *testing.T, d *desk) { time.Sleep(3 * time.Hour); d.askedElsewhere(t); d.restart(t) }, 2},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 400, Sent: true}
			}
			w := Want{Stale: d.cur.Load()}
			if err := d.Renew(t.Context(), new(run), w); err == nil {
				t.Fatal("no error")
			}
			tt.again(t, d)
			if err := d.Renew(t.Context(), new(run), w); err == nil {
				t.Error("no error")
			}
			if len(d.sent) != tt.sent {
				t.Errorf("sent %d times; want %d", len(d.sent), tt.sent)
			}
		})
	}
}

// askedElsewhere notes that another process was refused a moment ago.
func (d *desk) askedElsewhere(t *testing.T) {
	t.Helper()
	d.store.edit(t, func(rec *tokenstore.Record) { rec.Refused.Last = time.Now().UTC(); rec.Refused.Count++ })
}

func (d *desk) restart(t *testing.T) {
	t.Helper()
	if err := d.Begin(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
}

// What comes with a new pair is told once, and of a resource's pair the session takes the
// refresh token alone.
func TestWhatARenewalTells(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(d *desk)
		next   func(next *oauth.TokenPair)
		want   Want
		events []Kind
	}{
		"no more":              {nil, nil, Want{}, nil},
		"less scope":           {nil, func(next *oauth.TokenPair) { next.Scope = "read" }, Want{}, []Kind{EventScopeReduced}},
		"more scope":           {nil, func(next *oauth.TokenPair) { next.Scope = "read write all" }, Want{}, nil},
		"less for a resource":  {nil, func(next *oauth.TokenPair) { next.Scope = "read" }, Want{Resource: "https://api"}, nil},
		"an ID token is wrong": {nil, func(next *oauth.TokenPair) { next.IDTokenError = oauth.ErrIDToken }, Want{}, []Kind{EventIDTokenRejected}},
		"it was suspected":     {func(d *desk) { d.setHealth(func(h *Health) { h.State = StateSuspected }) }, nil, Want{}, []Kind{EventRecovered}},
		"it was misconfigured": {func(d *desk) { d.setHealth(func(h *Health) { h.State = StateMisconfigured }) }, nil, Want{}, []Kind{EventRecovered}},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens.Scope = "read write" })
			if err := d.Begin(t.Context(), nil, nil); err != nil {
				t.Fatal(err)
			}
			if tt.before != nil {
				tt.before(d)
			}
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				next := pair("2")
				if tt.next != nil {
					tt.next(next)
				}
				return next, nil
			}
			d.events = nil
			w := tt.want
			w.Stale, w.Force = d.currentFor(w.Resource), true
			if err := d.Renew(t.Context(), new(run), w); err != nil {
				t.Fatal(err)
			}
			if want := append([]Kind{EventRefreshing, EventRefreshed}, tt.events...); !slices.Equal(d.events, want) {
				t.Errorf("events %v; want %v", d.events, want)
			}
			cur := d.cur.Load()
			if cur.Pair.RefreshToken != "r2" || cur.Pair.IDTokenError != nil {
				t.Errorf("readers see %s, %v", cur.Pair.RefreshToken, cur.Pair.IDTokenError)
			}
			access := "a2"
			if w.Resource != "" {
				access = "a1"
			}
			d.shows(t, access)
			if got := d.currentFor(w.Resource).Pair.AccessToken; got != "a2" {
				t.Errorf("the token is %s; want a2", got)
			}
		})
	}
}

// A client that one session of several is refused for is perhaps in order.
func TestLaw6_AClientThatOneOfSeveralIsRefusedForIsUnclear(t *testing.T) {
	for _, sessions := range []int{1, 2} {
		inBubble(t, fmt.Sprint(sessions), func(t *testing.T) {
			d := newDesk(t, func(d *desk) {
				for range sessions - 1 {
					d.cfg.Gate.Join()
				}
			})
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Code: "invalid_client", Status: 401, Sent: true}
			}
			if err := d.renew(t); err == nil {
				t.Error("no error")
			}
			want := StateMisconfigured
			if sessions > 1 {
				want = StateRetrying
			}
			if h := d.Health(); h.State != want || d.count(EventMisconfigured) != 2-sessions {
				t.Errorf("state %v, events %v; want %v", h.State, d.events, want)
			}
		})
	}
}

// The verdict takes the place of all that was noted before, and is an error that asks for a
// login whatever the server's words were.
func TestAVerdictReplacesWhatWasNoted(t *testing.T) {
	inBubble(t, "marks", func(t *testing.T) {
		d := newDesk(t)
		d.abandoned(t)
		d.store.edit(t, func(rec *tokenstore.Record) {
			rec.Refused = &tokenstore.Mark{Token: rec.Pending.Token, At: rec.Pending.At}
		})
		err := d.condemn(t.Context(), d.stored(t).Tokens, &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Code: "invalid_grant", Status: 400})
		if !errors.Is(err, oauth.ErrLoginRequired) || !errors.Is(d.Health().Err, oauth.ErrLoginRequired) || len(d.told) != 1 || !errors.Is(d.told[0], oauth.ErrLoginRequired) {
			t.Errorf("error %v, told %v; want %v", err, d.told, oauth.ErrLoginRequired)
		}
		if rec := d.stored(t); rec.Pending != nil || rec.Refused != nil || !rec.Condemned("config") {
			t.Errorf("the record: %+v", rec)
		}
	})
	inBubble(t, "words", func(t *testing.T) {
		d := newDesk(t)
		d.declareDead(ended)
		if got := d.Health().Err; got != error(ended) {
			t.Errorf("error %v; want the server's own", got)
		}
	})
}

// The holder of a lock that could not be had may have found out that the session has ended, and
// be at a login, which takes a person's time: that is the reason why there is no token.
func TestALockThatIsHeldForALogin(t *testing.T) {
	for name, edit := range map[string]func(d *desk){
		"the grant is dead": func(d *desk) { d.store.edit(t, dead("r1")) },
		"a logout": func(d *desk) {
			rec := d.stored(t)
			if err := d.store.Memory.Delete(t.Context(), session, rec.Version); err != nil {
				t.Error(err)
			}
		},
	} {
		for _, spender := range []bool{false, true} {
			inBubble(t, fmt.Sprint(name, spender), func(t *testing.T) {
				d := newDesk(t, func(d *desk) {
					if spender {
						d.cfg.Spender = d.store
					}
				})
				if _, err := d.store.Memory.Lock(t.Context(), session); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Second, func() { edit(d) })
				err := d.renew(t)
				if !errors.Is(err, oauth.ErrLoginRequired) || errors.Is(err, tokenstore.ErrLocked) || !d.Health().Ended() {
					t.Errorf("%v, %+v; want that a login is required", err, d.Health())
				}
				d.sends(t)
			})
		}
	}
}
