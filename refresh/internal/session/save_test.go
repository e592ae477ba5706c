package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/reach"
	"github.com/evertoken/evertoken/refresh/internal/witness"
	"github.com/evertoken/evertoken/tokenstore"
)

// unsavedHere is a session with a pair that could not be saved, whose Store works again
// but for fails.
func unsavedHere(t *testing.T, fails error, edits ...func(d *desk)) *desk {
	t.Helper()
	d := newDesk(t, append(edits, func(d *desk) { d.cfg.Reach = new(reach.Line) })...)
	d.unsavedPair(t, pair("2"))
	d.store.fails, d.events, d.store.sets = fails, nil, 0
	return d
}

// An unsaved pair is saved again at a falling rate, at least once a minute, and that is told
// with the cause and the time of the next attempt.
func TestAnUnsavedPairIsSavedAgain(t *testing.T) {
	for interval, longest := range map[time.Duration]time.Duration{
		10 * time.Second: 10 * time.Second, time.Minute: time.Minute, time.Hour: time.Minute,
	} {
		inBubble(t, interval.String(), func(t *testing.T) {
			d := unsavedHere(t, tokenstore.ErrUnavailable, func(d *desk) { d.cfg.CheckInterval = interval })
			if h := d.Health(); !errors.Is(h.Unsaved, tokenstore.ErrUnavailable) || !strings.Contains(h.Unsaved.Error(), "alice") {
				t.Errorf("unsaved: %v; want the cause and the session", h.Unsaved)
			}
			const tries = 12
			var waits []time.Duration
			for range tries {
				at := d.Health().saveAt
				waits = append(waits, d.now().Until(at))
				if d.retrySave(t.Context()) {
					t.Fatal("saved before its time")
				}
				time.Sleep(d.now().Until(at))
				if !d.retrySave(t.Context()) {
					t.Fatal("not saved at its time")
				}
				d.holding(t, 1)
				if d.last.Kind != EventSaveFailed || !errors.Is(d.last.Err, tokenstore.ErrUnavailable) || d.last.Next != d.Health().saveAt {
					t.Errorf("told %+v", d.last)
				}
			}
			if first := waits[0]; first < time.Second/2 || first > time.Second {
				t.Errorf("tried first after %v; want a second at most", first)
			}
			if last := waits[tries-1]; last < longest/2 || last > longest || slices.Max(waits) > longest {
				t.Errorf("tried after %v; want up to %v", waits, longest)
			}
			if d.store.sets != tries || d.count(EventSaveFailed) != tries {
				t.Errorf("saved %d times, told %d times; want %d", d.store.sets, d.count(EventSaveFailed), tries)
			}
			d.store.fails = nil
			time.Sleep(time.Minute)
			if !d.retrySave(t.Context()) || d.retrySave(t.Context()) {
				t.Error("not saved, or once more than needed")
			}
			if h := d.Health(); h.Unsaved != nil || h.saves != 0 || !h.saveAt.IsZero() || d.count(EventSaved) != 1 {
				t.Errorf("when it is saved: %+v, events %v", h, d.events)
			}
			d.holding(t, 0)
		})
	}
}

// When the Store answers after an outage, sessions with an unsaved pair are woken, and no
// others.
func TestTheStoresReturnWakesWhoHasAnUnsavedPair(t *testing.T) {
	returns := func(d *desk, t *testing.T) {
		d.cfg.Reach.Written(d.now(), tokenstore.ErrUnavailable)
		time.Sleep(time.Minute)
		d.cfg.Reach.Read(t.Context(), d.now(), nil)
	}
	for name, tt := range map[string]struct {
		before func(d *desk, t *testing.T)
		woken  int
	}{
		"it is unsaved": {func(*desk, *testing.T) {}, 1},
		"it was saved":  {func(d *desk, t *testing.T) { d.store.fails = nil; d.saveNow(t.Context()) }, 0},
		"it was found in the Store": {func(d *desk, t *testing.T) {
			d.store.fails = nil
			d.store.put(t, d.rec.Tokens)
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, 0},
		"it is found in the Store, which was full": {func(d *desk, t *testing.T) {
			d.store.put(t, d.rec.Tokens)
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d.count(EventSaved) != 1 {
				t.Errorf("events %v; want it told that the pair is saved", d.events)
			}
		}, 0},
		"it is saved, as there is room": {func(d *desk, t *testing.T) { d.saveNow(t.Context()) }, 0},
		"the run is over": {func(d *desk, t *testing.T) {
			if err := d.SaveAtLast(t.Context(), nil); !errors.Is(err, ErrUnsaved) || !errors.Is(err, tokenstore.ErrUnavailable) {
				t.Errorf("error %v; want %v and the cause", err, ErrUnsaved)
			}
			d.holding(t, 0)
		}, 0},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := unsavedHere(t, tokenstore.ErrUnavailable)
			if strings.Contains(name, "full") || strings.Contains(name, "room") {
				d.cfg.Reach.Read(t.Context(), d.now(), nil)
				time.Sleep(time.Minute)
				d.store.fails, d.store.full = nil, errors.New("no room")
				d.saveNow(t.Context())
				d.store.full, d.events = nil, nil
			}
			tt.before(d, t)
			d.woken = 0
			returns(d, t)
			if d.woken != tt.woken {
				t.Errorf("woken %d times; want %d", d.woken, tt.woken)
			}
		})
	}
}

// What the session finds of the Store when it calls it is told to all others.
func TestEachCallTellsWhetherTheStoreIsWithinReach(t *testing.T) {
	for name, call := range map[string]func(d *desk, t *testing.T){
		"a read":  func(d *desk, t *testing.T) { _ = d.look(t.Context()) },
		"a write": func(d *desk, t *testing.T) { d.mark(t.Context(), askedToWait) },
		"a lock": func(d *desk, t *testing.T) {
			if lease, err := d.lease(t.Context(), new(run)); err == nil {
				_ = lease.Unlock()
			}
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Reach = new(reach.Line)
			d.cfg.Reach.Written(d.now(), tokenstore.ErrUnavailable)
			time.Sleep(time.Second)
			call(d, t)
			if back := d.cfg.Reach.BackSince(); back != d.now() {
				t.Errorf("the Store is back since %v; want now", back.Wall())
			}
		})
	}
}

// At the end of a run an unsaved pair is tried to be saved for as long as the process waits.
func TestTheEndOfARunWaitsForASave(t *testing.T) {
	place := &tokenstore.PlaceError{Err: errors.New("no room")}
	for name, tt := range map[string]struct {
		fails      error
		grace      time.Duration // 0: no waiting
		shortLived bool
		works      time.Duration // when the Store works again; 0: never
		want       time.Duration // how long it takes
		saved      bool
	}{
		"it works":                        {nil, 0, false, 0, 0, true},
		"no time":                         {tokenstore.ErrUnavailable, 0, false, 0, 0, false},
		"some time":                       {tokenstore.ErrUnavailable, 5500 * time.Millisecond, false, 0, 5500 * time.Millisecond, false},
		"the Store is back in time":       {tokenstore.ErrUnavailable, 10 * time.Second, false, 2500 * time.Millisecond, 3 * time.Second, true},
		"a full disk":                     {place, 10 * time.Second, false, 2500 * time.Millisecond, 3 * time.Second, true},
		"a full disk, in a short process": {place, 10 * time.Second, true, 2500 * time.Millisecond, 0, false},
		"the Store is back in time for a short process": {tokenstore.ErrUnavailable, 10 * time.Second, true, 2500 * time.Millisecond, 3 * time.Second, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := unsavedHere(t, tt.fails)
			d.cfg.ShortLived = tt.shortLived
			var grace context.Context
			if tt.grace > 0 {
				ctx, cancel := context.WithTimeout(t.Context(), tt.grace)
				defer cancel()
				grace = ctx
			}
			if tt.works > 0 {
				d.store.until = time.Now().Add(tt.works)
			}
			begun := time.Now()
			err := d.SaveAtLast(t.Context(), grace)
			if took := time.Since(begun); took != tt.want {
				t.Errorf("took %v; want %v", took, tt.want)
			}
			if tt.saved && err != nil || !tt.saved && (!errors.Is(err, ErrUnsaved) || !errors.Is(err, tt.fails)) {
				t.Errorf("error %v; want it saved: %t", err, tt.saved)
			}
			if got := d.stored(t).Tokens.RefreshToken == "r2"; got != tt.saved {
				t.Errorf("saved: %t; want %t", got, tt.saved)
			}
			d.holding(t, 0)
		})
	}
	inBubble(t, "nothing to save", func(t *testing.T) {
		d := newDesk(t)
		d.store.sets = 0
		if err := d.SaveAtLast(t.Context(), nil); err != nil || d.store.sets != 0 {
			t.Errorf("error %v, saved %d times", err, d.store.sets)
		}
	})
	inBubble(t, "logged out elsewhere", func(t *testing.T) {
		d := unsavedHere(t, nil)
		d.store.remove(t)
		if err := d.SaveAtLast(t.Context(), t.Context()); err != nil || d.Health().State != StateLoggedOut {
			t.Errorf("error %v, state %v", err, d.Health().State)
		}
		d.holding(t, 0)
	})
}

// A pair is handed to the program's own store once it is in the Store, and again until it
// takes it.
func TestThePairIsHandedToTheProgramsStore(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		var handed []string
		trouble := errors.New("x")
		fails := trouble
		var contexts []context.Context
		d := newDesk(t, func(d *desk) {
			d.cfg.TokenStore = func(ctx context.Context, p *oauth.TokenPair) error {
				contexts = append(contexts, ctx)
				handed = append(handed, p.RefreshToken)
				p.RefreshToken = "its own"
				return fails
			}
		})
		handed = nil
		d.store.fails = tokenstore.ErrUnavailable
		d.unsaved = unsaved{store: true, callback: true}
		if err := d.save(t.Context()); !errors.Is(err, tokenstore.ErrUnavailable) || handed != nil {
			t.Errorf("while the Store fails: %v, handed %v", err, handed)
		}
		d.store.fails = nil
		if err := d.save(t.Context()); !errors.Is(err, trouble) || !d.unsaved.callback || d.unsaved.store {
			t.Errorf("while the program's store fails: %v, %+v", err, d.unsaved)
		}
		d.store.sets, fails = 0, nil
		if err := d.save(t.Context()); err != nil || d.unsaved.any() || d.store.sets != 0 {
			t.Errorf("%v, %+v, saved %d times", err, d.unsaved, d.store.sets)
		}
		if err := d.save(t.Context()); err != nil || !slices.Equal(handed, []string{"r1", "r1"}) || d.rec.Tokens.RefreshToken != "r1" {
			t.Errorf("%v, handed %v", err, handed)
		}
		for _, ctx := range contexts {
			if _, limited := ctx.Deadline(); !limited || ctx.Err() == nil {
				t.Error("the context of a call has no end, or outlives it")
			}
		}
	})
}

// A save that meets another writer's record goes over an earlier state of the session, and
// gives way to what is newer, gone, or lost to others again and again.
func TestASaveThatMeetsAnotherWriter(t *testing.T) {
	for name, tt := range map[string]struct {
		other func(t *testing.T, d *desk)
		err   error
		want  string // refresh token in the Store; "": none
		kind  Kind   // of the last event
		state State
	}{
		"a mark": {func(t *testing.T, d *desk) { d.store.edit(t, askedToWait) }, nil, "r2", EventSaved, StateValid},
		"another successor": {func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) { later(rec, -time.Minute) })
		}, nil, "r2", EventSaved, StateValid},
		"a later successor": {func(t *testing.T, d *desk) { d.store.edit(t, func(rec *tokenstore.Record) { later(rec, time.Minute) }) }, nil, "r2b", EventSaved, StateValid},
		"a later login":     {func(t *testing.T, d *desk) { d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens = pair("x") }) }, nil, "rx", EventSaved, StateValid},
		"a logout":          {func(t *testing.T, d *desk) { d.store.remove(t) }, nil, "", EventSaved, StateLoggedOut},
		"others, all the time": {func(t *testing.T, d *desk) {
			d.store.beforeSet = func(*tokenstore.Record) { d.store.edit(t, askedToWait) }
		}, tokenstore.ErrConflict, "r1", EventSaveFailed, StateValid},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := unsavedHere(t, nil)
			time.Sleep(2 * time.Minute)
			tt.other(t, d)
			if err := d.save(t.Context()); !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Errorf("error %v; want %v", err, tt.err)
			}
			d.store.beforeSet = nil
			got := ""
			if rec, err := d.store.Memory.Get(t.Context(), session); err == nil {
				got = rec.Tokens.RefreshToken
			}
			if got != tt.want || d.last.Kind != tt.kind || d.Health().State != tt.state {
				t.Errorf("the Store has %q, state %v, events %v; want %q, %v and %v", got, d.Health().State, d.events, tt.want, tt.state, tt.kind)
			}
			if adopted := d.count(EventAdopted); adopted != map[bool]int{true: 1}[tt.want == "r2b" || tt.want == "rx"] {
				t.Errorf("events %v", d.events)
			}
		})
	}
	inBubble(t, "it is gone again", func(t *testing.T) {
		d := unsavedHere(t, nil)
		d.rec.Version = 0 // a login that was never saved
		d.store.beforeSet = func(*tokenstore.Record) {
			d.store.beforeGet = func() { d.store.beforeGet = nil; d.store.remove(t) }
		}
		if err := d.save(t.Context()); !errors.Is(err, tokenstore.ErrConflict) || d.rec == nil {
			t.Errorf("error %v; want %v, and the session kept", err, tokenstore.ErrConflict)
		}
	})
}

// later makes a record another successor of r1, issued that much later than the unsaved one.
func later(rec *tokenstore.Record, by time.Duration) {
	next := pair("2b")
	next.IssuedAt = next.IssuedAt.Add(by - 2*time.Minute)
	rec.Supersede(next)
}

// That a refresh token is spent is noted when its successor is in the Store: by this save,
// or one that was reported as failed.
func TestATokenIsNotedAsSpentWhenItsSuccessorIsSaved(t *testing.T) {
	for name, save := range map[string]func(t *testing.T, d *desk){
		"it works": func(t *testing.T, d *desk) { d.gives("2"); _ = d.renew(t) },
		"later": func(t *testing.T, d *desk) {
			d.unsavedPair(t, pair("2"))
			if d.knownSpent(at("r1", 0, 1)) {
				t.Error("it is noted before its successor is saved")
			}
			d.saveNow(t.Context())
		},
		"it is found in the Store": func(t *testing.T, d *desk) {
			d.unsavedPair(t, pair("2"))
			d.store.put(t, d.rec.Tokens)
			_ = d.Adopt(t.Context())
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Witness = witness.Open(t.TempDir())
			save(t, d)
			for token, want := range map[string]bool{"r1": true, "r2": false, "": false} {
				if got := d.knownSpent(at(token, 0, 1)); got != want {
					t.Errorf("%q is spent: %t; want %t", token, got, want)
				}
			}
			if d.doubt.spent != "" {
				t.Errorf("%q is noted again with the next save", d.doubt.spent)
			}
		})
	}
	inBubble(t, "a server that gives the same token again", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Witness = witness.Open(t.TempDir())
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			next := pair("2")
			next.RefreshToken = "r1"
			return next, nil
		}
		if err := d.renew(t); err != nil || d.knownSpent(at("r1", 0, 1)) {
			t.Errorf("%v; r1 is spent: %t", err, d.knownSpent(at("r1", 0, 1)))
		}
	})
}

// A call of the Store's ends with its context, which does not outlive it; what is to be
// saved is saved although its caller has left.
func TestTheContextsOfCalls(t *testing.T) {
	for _, oneStep := range []bool{false, true} {
		inBubble(t, map[bool]string{true: "one step", false: "two steps"}[oneStep], func(t *testing.T) {
			d := newDesk(t)
			if oneStep {
				inOneStep(d)
			}
			d.store.contexts = nil
			d.gives("2")
			if err := d.renew(t); err != nil {
				t.Fatal(err)
			}
			_, _ = d.Peek(t.Context())
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			d.mark(ctx, askedToWait)
			if d.stored(t).NotBefore.IsZero() {
				t.Error("a mark was not written since its caller has left")
			}
			for i, ctx := range d.store.contexts {
				if _, limited := ctx.Deadline(); !limited || ctx.Err() == nil {
					t.Errorf("the context of call %d has no end, or outlives it", i)
				}
			}
		})
	}
	inBubble(t, "a lock", func(t *testing.T) {
		d := newDesk(t)
		if _, err := d.store.Memory.Lock(t.Context(), session); err != nil {
			t.Fatal(err)
		}
		for name, wait := range map[string]time.Duration{"the wait": d.cfg.MaxWait, "the run": 3 * time.Second, "the run before": 0} {
			r := new(run)
			if name != "the wait" {
				life, end := context.WithTimeout(t.Context(), wait)
				defer end()
				r.ctx = life
			}
			begun := time.Now()
			if _, err := d.lease(t.Context(), r); err == nil || time.Since(begun) != wait || r.lent != 1 {
				t.Errorf("%s ends it after %v, with %v; lent %d times; want %v", name, time.Since(begun), err, r.lent, wait)
			}
		}
	})
}

// A record without tokens is not one, and neither is a nil one.
func TestAStoreThatReturnsNoTokens(t *testing.T) {
	for name, rec := range map[string]*tokenstore.Record{"nil": nil, "no pair": {}} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Records = empty{d.store, rec}
			if _, err := d.get(t.Context()); err == nil || strings.Contains(err.Error(), "panic") {
				t.Errorf("error %v", err)
			}
		})
	}
}

type empty struct {
	tokenstore.Store
	rec *tokenstore.Record
}

func (e empty) Get(context.Context, string) (*tokenstore.Record, error) { return e.rec, nil }

// What the Store said of the record before a write is not taken for its state afterwards,
// and the last four versions that were written are known as this process's own.
func TestAWriteMakesTheStampUnknown(t *testing.T) {
	for _, oneStep := range []bool{false, true} {
		for _, fails := range []error{nil, tokenstore.ErrUnavailable} {
			inBubble(t, "", func(t *testing.T) {
				d := newDesk(t)
				if oneStep {
					inOneStep(d)
				}
				d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
					d.stamp, d.store.fails = Stamp{7, true}, fails
					return pair("2"), nil
				}
				if err := d.renew(t); err != nil {
					t.Fatal(err)
				}
				if d.stamp.Known {
					t.Errorf("the stamp is %v", d.stamp)
				}
			})
		}
	}
	inBubble(t, "versions", func(t *testing.T) {
		d := newDesk(t)
		for version := range uint64(6) {
			d.wrote(d.rec, version)
		}
		if d.written != [4]uint64{5, 4, 3, 2} || d.rec.Version != 5 {
			t.Errorf("written %v, version %d", d.written, d.rec.Version)
		}
	})
	inBubble(t, "versions, in one step", func(t *testing.T) {
		d := newDesk(t, inOneStep)
		first := d.rec.Version
		d.gives("2")
		if err := d.renew(t); err != nil || d.written[0] != d.rec.Version || d.written[1] == 0 || d.written[2] != first {
			t.Errorf("%v, written %v; want announcement and pair after %d", err, d.written, first)
		}
	})
}

// Whether an announcement has to outlive a restart of the machine: the process may be gone
// before that, or the server takes the token again then, or must never see it again.
func TestWhichAnnouncementsOutliveARestart(t *testing.T) {
	for _, tt := range []struct {
		shortLived bool
		grace      time.Duration
		want       bool
	}{
		{false, 0, false}, {true, 0, true}, {false, 30 * time.Second, false}, {false, 31 * time.Second, true}, {false, -1, true}, {true, time.Second, true},
	} {
		inBubble(t, "", func(t *testing.T) {
			d := newDesk(t, inOneStep)
			d.cfg.ShortLived, d.cfg.Grace = tt.shortLived, tt.grace
			d.gives("2")
			if err := d.renew(t); err != nil {
				t.Fatal(err)
			}
			if d.store.durable != tt.want {
				t.Errorf("%+v: durable: %t", tt, d.store.durable)
			}
		})
	}
}

// A Store that returns the right to save beside an error has not given it.
func TestARightToSaveBesideAnErrorIsNone(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Spender = odd{}
		d.gives("2")
		if err := d.renew(t); err != nil || d.stored(t).Tokens.RefreshToken != "r2" {
			t.Errorf("%v, saved %s", err, d.stored(t).Tokens.RefreshToken)
		}
		d.holding(t, 0)
	})
}

type odd struct{ tokenstore.Spending }

func (o odd) BeginSpend(context.Context, tokenstore.Store, string, *tokenstore.Record, bool) (tokenstore.Spending, uint64, error) {
	return o, 9, errors.ErrUnsupported
}

func (odd) Settle(context.Context, *tokenstore.Record) (uint64, error) {
	panic("nothing was announced by it")
}

// A Store that returns neither the right to save nor an error has not given it either.
func TestNoRightToSaveAndNoErrorIsNone(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Spender = silent{}
		d.gives("2")
		if err := d.renew(t); err != nil || d.stored(t).Tokens.RefreshToken != "r2" {
			t.Errorf("%v, saved %s", err, d.stored(t).Tokens.RefreshToken)
		}
		d.holding(t, 0)
	})
}

type silent struct{}

func (silent) BeginSpend(context.Context, tokenstore.Store, string, *tokenstore.Record, bool) (tokenstore.Spending, uint64, error) {
	return nil, 0, nil
}

// A wait for the lock that begins after the end of its run has ended already.
func TestAWaitAfterTheRunHasEndedAlready(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		life, end := context.WithCancel(t.Context())
		end()
		d.waitForLock(t.Context(), &run{ctx: life}, func(ctx context.Context) {
			if ctx.Err() == nil {
				t.Error("it may still take the lock")
			}
		})
	})
}

// Whether a spend goes on without the lock, and that this is told.
func TestARenewalWithoutTheLock(t *testing.T) {
	for name, tt := range map[string]struct {
		local, shortLived, begun bool
		lock                     error
		goes                     bool
	}{
		"as the program wants":            {true, false, true, tokenstore.ErrUnavailable, true},
		"not unless it wants so":          {false, false, true, tokenstore.ErrUnavailable, false},
		"not in a short process":          {true, true, true, tokenstore.ErrUnavailable, false},
		"not before there is a session":   {true, false, false, tokenstore.ErrUnavailable, false},
		"not if another one has the lock": {true, false, true, tokenstore.ErrLocked, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.LocalWhenUnavailable, d.cfg.ShortLived = tt.local, tt.shortLived
			if !tt.begun {
				d.rec = nil
			}
			d.cfg.Locker = unlockable{tt.lock}
			lease, err := d.lease(t.Context(), new(run))
			if goes := err == nil; goes != tt.goes || goes && (lease == nil || endsWithProcess(lease)) {
				t.Errorf("lease %v, error %v; want it to go on: %t", lease, err, tt.goes)
			}
			if told := d.count(EventUnlocked) == 1 && errors.Is(d.last.Err, tt.lock); told != tt.goes {
				t.Errorf("events %v, the last with %v", d.events, d.last.Err)
			}
		})
	}
	inBubble(t, "a store that no other process shares", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Locker = nil
		if lease, err := d.lease(t.Context(), new(run)); err != nil || !endsWithProcess(lease) || d.count(EventUnlocked) != 0 {
			t.Errorf("lease %v, error %v, events %v", lease, err, d.events)
		}
	})
}

type unlockable struct{ err error }

func (u unlockable) Lock(context.Context, string) (tokenstore.Lease, error) { return nil, u.err }

// A lock that could not be released is logged; one that was is not.
func TestALockThatIsNotReleasedIsLogged(t *testing.T) {
	for _, fails := range []error{nil, errors.New("x")} {
		inBubble(t, "", func(t *testing.T) {
			var log strings.Builder
			d := newDesk(t)
			d.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			d.endLease(stuck{fails})
			if (log.Len() > 0) != (fails != nil) || fails != nil && !strings.Contains(log.String(), "session=alice") {
				t.Errorf("%v: logged %q", fails, log.String())
			}
		})
	}
}

type stuck struct{ err error }

func (stuck) Err() error      { return nil }
func (s stuck) Unlock() error { return s.err }

// An answer that is too long for the Store is saved without what makes it so: the refresh token
// must not be lost. Callers, and a program's own store, get all of it, and the next process
// renews the session with what there is.
func TestF73_OfAnAnswerThatIsTooLongTheRefreshTokenIsSaved(t *testing.T) {
	for _, spender := range []bool{false, true} {
		for _, first := range []error{nil, tokenstore.ErrUnavailable} { // what keeps the first save from being tried
			inBubble(t, fmt.Sprint(spender, first), func(t *testing.T) {
				var handed []string
				d := newDesk(t, func(d *desk) {
					if spender {
						d.cfg.Spender = d.store
					}
					d.cfg.TokenStore = func(_ context.Context, p *oauth.TokenPair) error {
						handed = append(handed, p.AccessToken)
						return nil
					}
				})
				handed = nil
				d.store.limit = 100
				long := strings.Repeat("a", 200)
				d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
					d.store.fails = first
					p := pair("2")
					p.AccessToken = long
					return p, nil
				}
				err := d.renew(t)
				d.store.fails = nil
				time.Sleep(time.Minute)
				d.retrySave(t.Context())
				if err != nil || d.unsaved.any() || d.Health().Unsaved != nil {
					t.Fatalf("%v; unsaved %+v", err, d.unsaved)
				}
				d.holding(t, 0)
				d.shows(t, long)
				stored := d.stored(t)
				if stored.Tokens.RefreshToken != "r2" || stored.Tokens.AccessToken != "a1" || stored.Pending != nil || !stored.Descends("r1") {
					t.Errorf("in the Store: %v, mark %v", stored.Tokens, stored.Pending)
				}
				if !slices.Equal(handed, []string{long}) {
					t.Errorf("TokenStore was handed %d tokens, the first of %d bytes", len(handed), len(strings.Join(handed, "")))
				}
				if err := d.look(t.Context()); err != nil {
					t.Fatal(err)
				}
				d.shows(t, long) // and not what the Store has
				if d.Quiet() {
					t.Error("put to rest, the session would lose its token")
				}
				d.gives("3")
				time.Sleep(time.Hour)
				if err := d.renew(t); err != nil {
					t.Fatal(err)
				}
				d.sends(t, "r1", "r2")
				d.shows(t, "a3")
				if stored := d.stored(t); stored.Tokens.RefreshToken != "r3" || stored.Tokens.AccessToken != "a3" {
					t.Errorf("in the Store: %v", stored.Tokens)
				}
			})
		}
	}
}

// A login that is too long is not saved by half, and a process that is about to end does not wait
// for what no disk takes.
func TestAPairThatIsTooLongForGood(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t, func(d *desk) { d.cfg.ShortLived = true })
		d.store.limit = 100
		long := pair("2")
		long.AccessToken = strings.Repeat("a", 200)
		if err := d.replace(t.Context(), &tokenstore.Record{Version: d.rec.Version, Tokens: long}, unsaved{store: true}); !errors.Is(err, tokenstore.ErrTooLong) {
			t.Errorf("a login: %v; want ErrTooLong", err)
		}
		if stored := d.stored(t); stored.Tokens.RefreshToken != "r1" {
			t.Errorf("in the Store: %v", stored.Tokens)
		}
		began := time.Now()
		grace, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := d.SaveAtLast(t.Context(), grace); !errors.Is(err, tokenstore.ErrTooLong) || time.Since(began) > time.Second {
			t.Errorf("at the end of the run: %v after %v", err, time.Since(began))
		}
	})
}
