package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/tokenstore"
)

// A sure clock leaves nothing to chance.
type sure struct {
	clock.Clock
	chance float64
}

func (s *sure) Chance() float64         { return s.chance }
func (s *sure) ChanceOf(string) float64 { return s.chance }

// trouble is the answer of a server that does not work, and refusedClient of one that
// refuses the client.
var (
	trouble       = &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503, Sent: true}
	refusedClient = &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Code: "invalid_client", Status: 401, Sent: true}
)

// elsewhere is the gate of another process with other sessions of the server.
func elsewhere(d *desk) *gate.Gate {
	g := gate.New("as", gate.Limits{}, 1)
	for range 3 {
		g.Join()
	}
	return g
}

// fails has a gate find that the server does not work, as it tells other processes.
func (d *desk) fails(t *testing.T, g *gate.Gate) {
	t.Helper()
	for range 5 {
		g.Tell(t.Context(), d.store, "config", g.Note(gate.Attempt{
			Session: "other", ConfigID: "config", Err: trouble, Begun: d.now(), Now: d.now(), Interval: time.Minute,
		}))
	}
}

// works has a gate, which has heard of the trouble, find that the server works.
func (d *desk) works(t *testing.T, g *gate.Gate) {
	t.Helper()
	g.Tell(t.Context(), d.store, "config", g.Note(gate.Attempt{Session: "other", ConfigID: "config", Begun: d.now(), Now: d.now(), Interval: time.Minute}))
}

// What the gate is told of an attempt.
func TestWhatTheGateIsToldOfAnAttempt(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(d *desk)
		w    Want
		want func(d *desk, q *gate.Request) // what is other than for a dead token
	}{
		"a dead token": {nil, Want{}, nil},
		"a living one": {func(d *desk) { d.fresh(pair("1")) }, Want{}, func(d *desk, q *gate.Request) { q.Dies = d.cur.Load().Ends() }},
		"one that dies soon": {func(d *desk) { d.fresh(pair("1")); time.Sleep(time.Hour - 20*time.Second) }, Want{},
			func(d *desk, q *gate.Request) { q.Dies, q.Window = d.cur.Load().Ends(), 10*time.Second }},
		"one that is rejected": {func(d *desk) { d.fresh(pair("1")) }, Want{Rejected: true}, func(_ *desk, q *gate.Request) { q.Urgent = true }},
		"one without an end": {func(d *desk) {
			p := pair("1")
			p.ExpiresAt, p.ExpiresIn = time.Time{}, 0
			d.fresh(p)
		}, Want{}, nil},
		"one of a resource": {func(d *desk) { d.publishResource("https://api", pair("2")) }, Want{Resource: "https://api"},
			func(d *desk, q *gate.Request) { q.Dies = d.currentFor("https://api").Ends() }},
		"one that a caller waits for":        {nil, Want{Force: true}, func(_ *desk, q *gate.Request) { q.Urgent = true }},
		"one that the program asks for":      {nil, Want{Force: true, Insist: true}, func(_ *desk, q *gate.Request) { q.Urgent, q.Insist = true, true }},
		"one whose answer is lost":           {func(d *desk) { d.rec.Pending = refusedFor(0, 0) }, Want{}, func(_ *desk, q *gate.Request) { q.Lost = true }},
		"lost, as a follower sees it":        {func(d *desk) { d.rec.Pending = refusedFor(0, 0); d.cfg.Follower = true }, Want{}, nil},
		"one that no other process shares":   {func(d *desk) { d.cfg.Locker = nil }, Want{}, func(_ *desk, q *gate.Request) { q.Shared = false }},
		"one of a server that has no name":   {func(d *desk) { d.cfg.Gate = gate.New("", gate.Limits{}, 1) }, Want{}, func(_ *desk, q *gate.Request) { q.Shared = false }},
		"one with another interval, by luck": {func(d *desk) { d.cfg.CheckInterval = time.Hour }, Want{}, func(_ *desk, q *gate.Request) { q.Interval, q.Window = time.Hour, 30*time.Minute }},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Clock = &sure{d.cfg.Clock, 0.25}
			if tt.edit != nil {
				tt.edit(d)
			}
			want := gate.Request{Session: "alice", ConfigID: "config", Interval: time.Minute, Now: d.now(), Window: 30 * time.Second, Jitter: 0.25, Shared: true}
			if tt.want != nil {
				tt.want(d, &want)
			}
			if got := d.request(tt.w); got != want {
				t.Errorf("it is told %+v; want %+v", got, want)
			}
		})
	}
}

// What callers that wait for a server that cannot be asked are told, and until when.
func TestWhatIsNotedOfAServerThatCannotBeAsked(t *testing.T) {
	down := errors.New("down")
	const until = 10 * time.Second
	for name, tt := range map[string]struct {
		edit  func(d *desk)
		err   error
		state State
		is    error // h.Err
		next  time.Duration
		soon  time.Duration // h.callers
	}{
		"the first time": {nil, trouble, StateRetrying, trouble, until, lookElsewhere},
		"after another failure": {func(d *desk) {
			d.setHealth(func(h *Health) { h.State, h.Err, h.Next = StateSuspected, down, d.now().Add(time.Minute) })
		}, trouble, StateSuspected, down, time.Minute, lookElsewhere},
		"after one that is over": {func(d *desk) {
			d.setHealth(func(h *Health) { h.State, h.Err, h.Next = StateRetrying, down, d.now().Add(time.Second) })
		}, trouble, StateRetrying, down, until, lookElsewhere},
		"as the client is refused":   {func(d *desk) { d.setHealth(func(h *Health) { h.State, h.Err = StateRetrying, down }) }, refusedClient, StateMisconfigured, refusedClient, until, lookElsewhere},
		"as no other process can":    {func(d *desk) { d.cfg.Locker = nil }, trouble, StateRetrying, trouble, until, until},
		"as the token dies soon":     {func(d *desk) { d.fresh(pair("1")); time.Sleep(time.Hour - 5*time.Second) }, trouble, StateRetrying, trouble, 4*time.Second + 20*time.Millisecond, lookElsewhere},
		"as the token dies later on": {func(d *desk) { d.fresh(pair("1")) }, trouble, StateRetrying, trouble, until, lookElsewhere},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Clock = &sure{d.cfg.Clock, 0}
			if tt.edit != nil {
				tt.edit(d)
			}
			d.cfg.Gate.RefuseClient(gate.Refusal{ConfigID: "config", Session: "x", Err: refusedClient, Now: d.now(), Interval: time.Minute})
			d.works(t, d.cfg.Gate) // so that the epoch is not the first
			q := gate.Request{Now: d.now(), Urgent: true}
			if err := d.refuse(q, d.now().Add(until), tt.err); err != tt.is {
				t.Errorf("error %v; want %v", err, tt.is)
			}
			h := d.Health()
			if h.State != tt.state || h.Err != tt.is || d.now().Until(h.Next) != tt.next || d.now().Until(h.callers) != tt.soon {
				t.Errorf("state %v: %v, next in %v, for callers in %v; want %v, %v, %v, %v",
					h.State, h.Err, d.now().Until(h.Next), d.now().Until(h.callers), tt.state, tt.is, tt.next, tt.soon)
			}
			if h.failed != d.now() || h.epoch != d.cfg.Gate.Epoch() || h.epoch == 0 || h.Failures != 0 {
				t.Errorf("failed %v ago, epoch %d, %d failures", d.now().Since(h.failed), h.epoch, h.Failures)
			}
		})
	}
}

// A renewal that no caller waits for is put off while the server cannot be asked: for a
// check interval at most, and not beyond the last moment.
func TestARenewalIsPutOffWhileTheServerCannotBeAsked(t *testing.T) {
	left := func(left time.Duration) func(d *desk) {
		return func(d *desk) { d.fresh(pair("1")); time.Sleep(time.Hour - left) }
	}
	slow := func(d *desk) { // its answers take three seconds
		d.cfg.Gate.Note(gate.Attempt{Session: "x", Begun: d.now().Add(-3 * time.Second), Now: d.now()})
	}
	const second = time.Second
	for name, tt := range map[string]struct {
		edit  func(d *desk)
		until time.Duration
		want  time.Duration
	}{
		"for a while":                 {left(time.Hour), 10 * second, 10 * second},
		"for longer":                  {left(time.Hour), time.Hour, time.Minute},
		"with a dead token":           {func(*desk) {}, time.Hour, time.Minute},
		"to the last moment":          {left(10 * second), time.Hour, 9*second + 20*time.Millisecond},
		"for less than to that":       {left(10 * second), 5 * second, 5 * second},
		"after the last moment":       {left(second / 2), time.Hour, time.Hour},
		"among others":                {func(d *desk) { left(time.Hour)(d); d.cfg.Gate.Join() }, 10 * second, 10*second + 15*second},
		"among others, to the moment": {func(d *desk) { left(20 * second)(d); d.cfg.Gate.Join() }, 18 * second, 19*second + 50*time.Millisecond},
		"begun too early": {func(d *desk) { slow(d); left(10 * second)(d); d.begun = d.now(); time.Sleep(7 * second) },
			time.Hour, time.Minute},
		"the same, a second before": {func(d *desk) { slow(d); left(10 * second)(d); d.begun = d.now(); time.Sleep(9 * second) },
			time.Hour, time.Minute},
		"the same, less than that": {func(d *desk) { slow(d); left(10 * second)(d); d.begun = d.now(); time.Sleep(9*second + 1) },
			time.Hour, time.Hour},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			chance := &sure{d.cfg.Clock, 0}
			d.cfg.Clock = chance
			tt.edit(d)
			q := d.request(Want{})
			if !d.cfg.Gate.Alone() {
				chance.chance = 0.5
			}
			if err := d.refuse(q, d.now().Add(tt.until), trouble); !errors.Is(err, ErrDeferred) {
				t.Errorf("error %v; want %v", err, ErrDeferred)
			}
			if got := d.now().Until(d.deferred); got != tt.want || d.Health().Err != nil {
				t.Errorf("put off for %v, error %v; want %v", got, d.Health().Err, tt.want)
			}
		})
	}
	inBubble(t, "after a failure it is the next attempt that waits", func(t *testing.T) {
		d := newDesk(t)
		for failures, want := range []bool{false, true} {
			next := d.now().Add(time.Hour)
			d.setHealth(func(h *Health) { h.Failures, h.Next = failures, next })
			until := d.now().Add(time.Second)
			if d.deferUntil(until); d.deferred != until || (d.Health().Next == until) != want {
				t.Errorf("%d failures: put off for %v, the next in %v", failures, d.now().Until(d.deferred), d.now().Until(d.Health().Next))
			}
		}
	})
}

// A session begins when the gate lets it: a caller waits for that, a renewal in the
// background comes again, and has its turn then.
func TestASessionWaitsForItsTurnAtTheServer(t *testing.T) {
	limited := func(d *desk) { d.cfg.Gate = gate.New("as", gate.Limits{Concurrent: 1}, 1) }
	paced := func(d *desk) { d.cfg.Gate = gate.New("as", gate.Limits{Rate: 1}, 1) }
	busy := func(d *desk, frees time.Duration) { // another session has its turn
		q := gate.Request{Session: "other", Now: d.now(), Interval: time.Minute, Urgent: true}
		if until, err := d.cfg.Gate.Admit(q); err != nil || !until.IsZero() {
			panic(err)
		}
		time.AfterFunc(frees, func() { d.cfg.Gate.Release("other", "other") })
	}
	inBubble(t, "nobody else asks", func(t *testing.T) {
		d := newDesk(t)
		d.reserved, d.deferred = true, d.now()
		if err := d.admit(t.Context(), new(run), Want{}); err != nil || d.reserved || !d.deferred.IsZero() {
			t.Errorf("error %v, reserved %t, put off until %v", err, d.reserved, d.deferred.Wall())
		}
		if n := d.cfg.Gate.Stats(d.now()).InFlight; n != 1 {
			t.Errorf("%d in flight; want one", n)
		}
	})
	for name, w := range map[string]Want{"a caller": {Force: true}, "an answer that is lost": {}} {
		inBubble(t, name+" waits", func(t *testing.T) {
			d, r := newDesk(t, limited), new(run)
			if name != "a caller" {
				d.rec.Pending = refusedFor(0, 0)
			}
			busy(d, 3*time.Second)
			begun := time.Now()
			if err := d.admit(t.Context(), r, w); err != nil || time.Since(begun) < 3*time.Second || time.Since(begun) > 3*time.Second+100*time.Millisecond {
				t.Errorf("error %v after %v; want 3s", err, time.Since(begun))
			}
			if r.lent == 0 {
				t.Error("others cannot work meanwhile")
			}
		})
	}
	inBubble(t, "a caller waits no longer than the run", func(t *testing.T) {
		d := newDesk(t, limited)
		busy(d, time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := d.admit(t.Context(), &run{ctx: ctx}, Want{Force: true}); !errors.Is(err, ErrStopped) || time.Since(begun) != time.Second {
			t.Errorf("error %v after %v; want %v", err, time.Since(begun), ErrStopped)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		if err := d.admit(ctx, new(run), Want{Force: true}); !errors.Is(err, ErrStopped) || time.Since(begun) != time.Second {
			t.Errorf("error %v after %v of a flight that ended; want %v", err, time.Since(begun), ErrStopped)
		}
	})
	inBubble(t, "the background comes again", func(t *testing.T) {
		d := newDesk(t, paced)
		busy(d, 0)
		if err := d.admit(t.Context(), new(run), Want{}); !errors.Is(err, ErrDeferred) || !d.reserved || d.now().Until(d.deferred) <= 0 {
			t.Fatalf("error %v, reserved %t, put off for %v", err, d.reserved, d.now().Until(d.deferred))
		}
		at := d.deferred
		if err := d.admit(t.Context(), new(run), Want{}); !errors.Is(err, ErrDeferred) {
			t.Errorf("error %v: it has begun before its time", err)
		}
		d.deferred = at
		for range 3 { // others reserve later times
			_, _ = d.cfg.Gate.Admit(gate.Request{Session: "other", Now: d.now(), Interval: time.Minute})
		}
		time.Sleep(d.now().Until(at))
		if err := d.admit(t.Context(), new(run), Want{}); err != nil {
			t.Errorf("error %v at the time that was given to it", err)
		}
	})
	inBubble(t, "what was put off for another reason has no turn", func(t *testing.T) {
		d := newDesk(t, paced)
		busy(d, 0)
		d.deferred = d.now().Add(-time.Second)
		if err := d.admit(t.Context(), new(run), Want{}); !errors.Is(err, ErrDeferred) {
			t.Errorf("error %v; want %v", err, ErrDeferred)
		}
	})
	inBubble(t, "a caller's turn is kept, too", func(t *testing.T) {
		d := newDesk(t, func(d *desk) { paced(d); d.cfg.Gate.Join() })
		busy(d, 0)
		begun := time.Now()
		if err := d.admit(t.Context(), new(run), Want{Force: true}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it waits for %v; want a turn", took)
		}
	})
	for _, urgent := range []bool{false, true} {
		inBubble(t, "the server is down", func(t *testing.T) {
			d := newDesk(t)
			d.fails(t, d.cfg.Gate)
			err := d.admit(t.Context(), new(run), Want{Force: urgent})
			if urgent && (!errors.Is(err, oauth.ErrTransient) || d.Health().State != StateRetrying) || !urgent && !errors.Is(err, ErrDeferred) {
				t.Errorf("urgent %t: %v, state %v", urgent, err, d.Health().State)
			}
		})
	}
}

// While the server is in trouble, callers have the Store looked at every two seconds, and
// nothing is sent that the gate forbids.
func TestWhatIsDoneWhileTheServerIsInTrouble(t *testing.T) {
	for name, tt := range map[string]struct {
		edit    func(t *testing.T, d *desk)
		looks   bool
		forbids bool
	}{
		"it is not":           {func(*testing.T, *desk) {}, true, false},
		"looked a moment ago": {func(t *testing.T, d *desk) { d.fails(t, d.cfg.Gate); d.looked = d.now() }, false, true},
		"looked two seconds ago": {func(t *testing.T, d *desk) {
			d.fails(t, d.cfg.Gate)
			d.looked = d.now().Add(-2 * time.Second)
		}, false, true},
		"looked before that": {func(t *testing.T, d *desk) {
			d.fails(t, d.cfg.Gate)
			d.looked = d.now().Add(-2*time.Second - 1)
		}, true, true},
		"it is elsewhere": {func(t *testing.T, d *desk) {
			d.fails(t, d.cfg.Gate)
			d.looked = d.now()
			other := elsewhere(d)
			for range 2 {
				time.Sleep(time.Second / 4)
				other.Hear(t.Context(), d.store, "config", true, d.now)
			}
			d.works(t, other)
		}, false, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.gives("2")
			tt.edit(t, d)
			counted := &reads{Store: d.store}
			d.cfg.Records = counted
			err := d.renew(t)
			if forbids := errors.Is(err, oauth.ErrTransient) && len(d.sent) == 0; forbids != tt.forbids || !forbids && err != nil {
				t.Errorf("error %v, sent %v; want it forbidden: %t", err, d.sent, tt.forbids)
			}
			if looks := counted.first == session; looks != tt.looks && tt.forbids {
				t.Errorf("%q is read first; want a look: %t", counted.first, tt.looks)
			}
			if tt.looks && d.looked != d.now() {
				t.Errorf("looked %v ago; want now", d.now().Since(d.looked))
			}
		})
	}
}

// reads notes which record is read first.
type reads struct {
	tokenstore.Store
	first string
}

func (r *reads) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	if r.first == "" {
		r.first = name
	}
	return r.Store.Get(ctx, name)
}

// A process that finds the lock held, or the record changed, hears whether the one before
// has tried in vain: then it does not try as well.
func TestWhatTheHolderBeforeFoundOutIsHeard(t *testing.T) {
	for _, oneStep := range []bool{false, true} {
		inBubble(t, map[bool]string{true: "one step", false: "two steps"}[oneStep], func(t *testing.T) {
			d := newDesk(t)
			d.gives("2")
			fails := func() {
				d.store.edit(t, func(rec *tokenstore.Record) { rec.Unknown = nil })
				d.fails(t, elsewhere(d))
			}
			if oneStep {
				inOneStep(d)
				d.store.beforeSpend = func() error { fails(); return nil }
			} else {
				d.store.lease = func(l tokenstore.Lease) tokenstore.Lease { fails(); return l }
			}
			if err := d.renew(t); !errors.Is(err, oauth.ErrTransient) || len(d.sent) != 0 {
				t.Errorf("error %v, sent %v; want it left to the other", err, d.sent)
			}
			d.holding(t, 0)
			if d.stored(t).Pending != nil {
				t.Error("the announcement stays")
			}
		})
	}
	inBubble(t, "if nothing has changed there is no reason to ask", func(t *testing.T) {
		d := newDesk(t)
		d.gives("2")
		d.store.lease = func(l tokenstore.Lease) tokenstore.Lease { d.fails(t, elsewhere(d)); return l }
		if err := d.renew(t); err != nil {
			t.Errorf("error %v", err)
		}
	})
}

// What other processes found out about the client is told once, and that it is over is
// heard at a look.
func TestWhatOthersFindOutAboutTheClientIsHeard(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t, func(d *desk) { d.cfg.Gate.Join() })
		hear := func(insist bool) {
			time.Sleep(2 * time.Second)
			d.hearNotice(t.Context(), insist)
		}
		hear(true) // a process that has just begun asks for itself
		other := elsewhere(d)
		for _, name := range []string{"x", "y"} {
			_, n := other.RefuseClient(gate.Refusal{ConfigID: "config", Session: name, Err: refusedClient, Now: d.now(), Interval: time.Minute})
			other.Tell(t.Context(), d.store, "config", n)
		}
		d.events = nil
		locker := d.cfg.Locker
		d.cfg.Locker = nil
		if hear(false); d.cfg.Gate.ClientRefused("config") != nil {
			t.Error("a store that no other process shares was asked")
		}
		d.cfg.Locker = locker
		for range 2 {
			hear(false)
			if !slices.Equal(d.events, []Kind{EventMisconfigured}) || !d.Health().inDoubt() {
				t.Errorf("events %v, in doubt: %t; want it told once", d.events, d.Health().inDoubt())
			}
		}
		if wait := d.now().Until(d.last.Next); !errors.Is(d.last.Err, oauth.ErrClientRefused) || wait <= 0 || wait > time.Minute {
			t.Errorf("told %v, to be tried in %v", d.last.Err, wait)
		}
		time.Sleep(2 * time.Second)
		other.Tell(t.Context(), d.store, "config", other.Note(gate.Attempt{Session: "x", ConfigID: "config", Begun: d.now(), Now: d.now()}))
		time.Sleep(2 * time.Second)
		d.Look(t.Context(), nil, func(Want) {})
		if err := d.cfg.Gate.ClientRefused("config"); err != nil {
			t.Errorf("after a look the client is refused as before: %v", err)
		}
		d.store.gets = 0
		d.hearOfClient(t.Context())
		time.Sleep(2 * time.Second)
		if d.hearOfClient(t.Context()); d.store.gets != 0 {
			t.Errorf("read %d times, as there is nothing to hear of", d.store.gets)
		}
	})
}

// Other processes are told what became known, if they share the Store.
func TestOthersAreToldWhatBecameKnown(t *testing.T) {
	for _, shared := range []bool{true, false} {
		inBubble(t, "", func(t *testing.T) {
			d := newDesk(t)
			if !shared {
				d.cfg.Locker = nil
			}
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return nil, trouble }
			if err := d.renew(t); err == nil {
				t.Error("no error")
			}
			_, err := d.store.Memory.Get(t.Context(), tokenstore.ServerRecord("as"))
			if told := err == nil; told != shared {
				t.Errorf("told: %t; want %t", told, shared)
			}
			if s := d.cfg.Gate.Stats(d.now()); s.Failed != 1 || s.InFlight != 0 {
				t.Errorf("the gate has heard of %d failures, %d in flight", s.Failed, s.InFlight)
			}
		})
	}
}
