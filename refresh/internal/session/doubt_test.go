package session

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/reach"
	"github.com/evertoken/evertoken/refresh/internal/witness"
	"github.com/evertoken/evertoken/tokenstore"
)

// A mark of a process that has died is hurried inside the grace. If the Store was away
// since it was written, its writer may be alive and hold the successor: it gets its time.
func TestF76_AMarkFromBeforeTheStoresReturnIsNotHurried(t *testing.T) {
	for _, away := range []bool{false, true} {
		inBubble(t, fmt.Sprintf("away %v", away), func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Reach = new(reach.Line)
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return pair("2"), nil }
			d.abandoned(t)
			d.sent = nil
			time.Sleep(3 * time.Second)
			if away {
				d.cfg.Reach.Read(t.Context(), d.now(), tokenstore.ErrUnavailable)
				time.Sleep(3 * time.Second)
			}
			err := d.renew(t)
			if held := errors.Is(err, oauth.ErrTransient) && len(d.sent) == 0; held != away {
				t.Errorf("sent %q, error %v; want the token left to its writer: %v", d.sent, err, away)
			}
			time.Sleep(d.cfg.patience())
			if err := d.renew(t); err != nil || len(d.sent) == 0 {
				t.Errorf("sent %q, error %v after the writer has had its time", d.sent, err)
			}
		})
	}
}

// A Store that was away may hold an older copy when it is back, which is all that one host
// knows; another one has renewed the session before. It finds that out within its check
// interval, and until then the host that was cut off does not spend what it has. Calls may
// have failed meanwhile, or waited for the network.
func TestNothingIsSpentForAWhileAfterTheStoreIsBack(t *testing.T) {
	const hangs = 3 * time.Second
	away := map[string]func(d *desk){
		"calls fail": func(d *desk) {
			d.cfg.Reach.Read(context.Background(), d.now(), tokenstore.ErrUnavailable)
			time.Sleep(hangs)
			d.cfg.Reach.Read(context.Background(), d.now(), nil)
		},
		"a lock hangs": func(d *desk) {
			d.store.lease = func(lease tokenstore.Lease) tokenstore.Lease {
				time.Sleep(hangs)
				d.store.lease = nil
				return lease
			}
		},
		"the one step hangs": func(d *desk) {
			d.cfg.Spender = d.store
			d.store.beforeSpend = func() error { time.Sleep(hangs); return nil }
		},
	}
	for how, away := range away {
		for _, tt := range []struct{ left, want time.Duration }{ // of the token's life, and until the renewal
			{10 * time.Minute, 80 * time.Second}, {time.Minute + hangs, 30 * time.Second},
		} {
			inBubble(t, fmt.Sprint(how, ", ", tt.left), func(t *testing.T) {
				d := newDesk(t)
				d.cfg.Reach = new(reach.Line)
				d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return pair("2"), nil }
				d.store.edit(t, func(rec *tokenstore.Record) {
					rec.Tokens = pair("1")
					rec.Tokens.AccessToken, rec.Tokens.ExpiresAt = "living", time.Now().Add(tt.left).UTC()
				})
				if err := d.look(t.Context()); err != nil {
					t.Fatal(err)
				}
				d.shows(t, "living")
				away(d)
				back := time.Now().Add(hangs)
				if how == "calls fail" {
					back = time.Now()
				}
				for len(d.sent) == 0 && time.Since(back) < time.Hour {
					err := d.Renew(t.Context(), new(run), Want{Stale: d.cur.Load()})
					if err != nil && !errors.Is(err, ErrDeferred) {
						t.Fatal(err)
					}
					if rec, err := d.store.Memory.Get(t.Context(), session); err != nil || rec.Pending != nil && len(d.sent) == 0 {
						t.Fatalf("the record says %+v, %v while nothing is sent", rec, err)
					}
					d.holding(t, 0)
					time.Sleep(time.Second)
				}
				if got := time.Since(back).Round(time.Second) - time.Second; got != tt.want {
					t.Errorf("renewed after %v; want %v", got, tt.want)
				}
			})
		}
	}
}

func TestWhoIsNotPutOffAfterTheStoreIsBack(t *testing.T) {
	living := func(d *desk, t *testing.T) {
		d.store.edit(t, func(rec *tokenstore.Record) {
			rec.Tokens = pair("1")
			rec.Tokens.AccessToken, rec.Tokens.ExpiresAt = "living", time.Now().Add(time.Hour).UTC()
		})
		if err := d.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cut := func(d *desk) {
		d.cfg.Reach.Read(context.Background(), d.now(), tokenstore.ErrUnavailable)
		d.cfg.Reach.Read(context.Background(), d.now(), nil)
	}
	for name, tt := range map[string]struct {
		edit func(d *desk, t *testing.T)
		want Want
		off  bool
	}{
		"a background renewal":                          {nil, Want{}, true},
		"one for a caller with a token that is refused": {nil, Want{Rejected: true}, false},
		"one that the program asks for":                 {nil, Want{Force: true, Insist: true}, false},
		"one whose token is dead":                       {func(d *desk, _ *testing.T) { time.Sleep(2 * time.Hour); cut(d) }, Want{}, false},
		"one of a store that no other process shares":   {func(d *desk, _ *testing.T) { d.cfg.Locker = nil }, Want{}, false},
		"one of a store of this machine, whose processes note what they spend": {func(d *desk, t *testing.T) {
			d.cfg.Witness = witness.Open(t.TempDir()).For("/sessions")
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Witnesses = []string{d.cfg.Witness.ID()} })
		}, Want{}, false},
		"one of a store of this machine, whose processes note that in two places": {func(d *desk, t *testing.T) {
			d.cfg.Witness = witness.Open(t.TempDir()).For("/sessions")
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Witnesses = []string{d.cfg.Witness.ID(), "another"} })
		}, Want{}, true},
		"one that has been put off before": {func(d *desk, t *testing.T) {
			if err := d.Renew(t.Context(), new(run), Want{Stale: d.cur.Load()}); !errors.Is(err, ErrDeferred) {
				t.Fatal(err)
			}
			time.Sleep(d.cfg.patience())
			cut(d)
		}, Want{}, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Reach = new(reach.Line)
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return pair("2"), nil }
			living(d, t)
			cut(d)
			if tt.edit != nil {
				tt.edit(d, t)
			}
			tt.want.Stale = d.cur.Load()
			err := d.Renew(t.Context(), new(run), tt.want)
			if off := errors.Is(err, ErrDeferred) && len(d.sent) == 0; off != tt.off {
				t.Errorf("sent %q, error %v; want it put off: %v", d.sent, err, tt.off)
			}
		})
	}
}

// Whether a refresh token may be sent, waits, or is known to be spent.
func TestWhetherATokenMayBeSent(t *testing.T) {
	wentBack := func(ago time.Duration) func(d *desk) {
		return func(d *desk) { d.doubt.old = d.now().Add(-ago) }
	}
	spent := func(d *desk) { d.cfg.Witness.Note(session, tokenstore.Fingerprint("r1")) }
	marked := func(ago time.Duration) func(d *desk) {
		return func(d *desk) {
			d.rec = edit(d.rec)
			d.rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint("r1"), At: time.Now().Add(-ago).UTC()}
			d.doubt.own, d.doubt.version = time.Time{}, d.rec.Version+1
		}
	}
	both := func(first, second func(d *desk)) func(d *desk) {
		return func(d *desk) { first(d); second(d) }
	}
	noted := func(elsewhere string) func(d *desk) {
		return func(d *desk) {
			d.cfg.Witness = d.cfg.Witness.For("/sessions")
			d.rec = edit(d.rec)
			if d.rec.Witnesses = []string{d.cfg.Witness.ID()}; elsewhere != "" {
				d.rec.Witnesses = append(d.rec.Witnesses, elsewhere)
			}
		}
	}
	const (
		patience = 80 * time.Second
		old      = 100 * time.Second // in which each process has looked, though one look may fail
	)
	back := func(d *desk) {
		d.cfg.Reach = new(reach.Line)
		d.cfg.Reach.Read(context.Background(), d.now(), tokenstore.ErrUnavailable)
		d.cfg.Reach.Read(context.Background(), d.now(), nil)
	}
	for name, tt := range map[string]struct {
		edit func(d *desk)
		w    Want
		why  error         // nil: it may be sent
		wait time.Duration // 0: it is over
	}{
		"nothing is known":             {func(*desk) {}, Want{}, nil, 0},
		"the Store went back":          {wentBack(0), Want{}, errWentBack, old},
		"a while ago":                  {wentBack(30 * time.Second), Want{}, errWentBack, old - 30*time.Second},
		"long enough ago":              {wentBack(old), Want{}, nil, 0},
		"and the program insists":      {wentBack(0), Want{Insist: true}, nil, 0},
		"as all processes note":        {both(wentBack(0), noted("")), Want{}, nil, 0},
		"as one notes elsewhere":       {both(wentBack(0), noted("another")), Want{}, errWentBack, old},
		"as is not known who notes":    {func(d *desk) { wentBack(0)(d); d.cfg.Witness = d.cfg.Witness.For("/sessions") }, Want{}, errWentBack, old},
		"as no other process shares":   {func(d *desk) { wentBack(0)(d); d.cfg.Locker = nil }, Want{}, nil, 0},
		"in a short process":           {func(d *desk) { wentBack(0)(d); d.cfg.ShortLived = true }, Want{}, errWentBack, old},
		"and was away since":           {func(d *desk) { wentBack(old)(d); back(d) }, Want{}, errWentBack, old},
		"and was away before":          {func(d *desk) { back(d); time.Sleep(time.Minute); wentBack(0)(d) }, Want{}, errWentBack, old},
		"it is spent":                  {spent, Want{}, errWentBack, old},
		"it is spent, and insisted on": {spent, Want{Insist: true}, errWentBack, old},
		"spent, and long enough ago":   {both(spent, wentBack(old)), Want{}, ErrOldCopy, 0},
		"spent, in a short process":    {func(d *desk) { spent(d); d.cfg.ShortLived = true }, Want{}, ErrOldCopy, 0},
		"spent, of one process":        {func(d *desk) { spent(d); d.cfg.Locker = nil }, Want{}, ErrOldCopy, 0},
		"spent, as all processes note": {both(noted(""), spent), Want{}, errWentBack, old},
		"never again":                  {func(d *desk) { both(spent, marked(time.Minute))(d); d.cfg.Grace = -1 }, Want{}, nil, 0},
		"asked for anew":               {func(d *desk) { both(spent, marked(time.Minute))(d); d.cfg.Tokenless = true }, Want{}, nil, 0},
		"announced":                    {marked(time.Minute), Want{}, errUnsettled, patience},
		"announced just now":           {marked(time.Second), Want{}, nil, 0},
		"announced, and insisted on":   {marked(time.Minute), Want{Insist: true}, errUnsettled, patience},
		"announced, and went back":     {both(marked(time.Minute), wentBack(30*time.Second)), Want{}, errWentBack, patience},
		"announced long ago, went back": {func(d *desk) {
			both(marked(time.Minute), wentBack(30*time.Second))(d)
			d.doubt.mark, d.doubt.found = d.rec.Pending.At, d.now().Add(-70*time.Second)
		}, Want{}, errWentBack, old - 30*time.Second},
		"announced, in a short process":  {func(d *desk) { marked(time.Minute)(d); d.cfg.ShortLived = true }, Want{}, errUnsettled, patience},
		"announced and spent, and short": {func(d *desk) { both(spent, marked(time.Minute))(d); d.cfg.ShortLived = true }, Want{}, ErrOldCopy, 0},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Witness = witness.Open(t.TempDir())
			tt.edit(d)
			d.events = nil
			lease, err := d.lease(t.Context(), new(run))
			if err != nil {
				t.Fatal(err)
			}
			err = d.unsettled(t.Context(), lasting{lease}, tt.w)
			if !errors.Is(err, tt.why) || (err == nil) != (tt.why == nil) {
				t.Fatalf("error %v; want %v", err, tt.why)
			}
			switch h := d.Health(); {
			case tt.why == nil:
			case tt.why == ErrOldCopy:
				if h.State != StateLoginRequired || len(d.told) != 1 || !errors.Is(d.told[0], ErrOldCopy) {
					t.Errorf("state %v, told %v", h.State, d.told)
				}
			case h.State != StateRetrying || d.now().Until(h.Next) != tt.wait || d.last.Kind != EventRefreshFailed || d.last.Next != h.Next || d.last.Err != h.Err:
				t.Errorf("state %v, next in %v, told %+v; want %v", h.State, d.now().Until(h.Next), d.last, tt.wait)
			}
		})
	}
}

// A lasting lease does not end with its process.
type lasting struct{ tokenstore.Lease }

// Any reason to doubt the token is one to look before it is sent in one step.
func TestAnyDoubtIsLookedAt(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(d *desk)
		want bool
	}{
		"none":                           {func(*desk) {}, false},
		"another's mark":                 {func(d *desk) { d.rec.Pending = refusedFor(0, 0); d.doubt.version = 0 }, true},
		"ours":                           {func(d *desk) { d.rec.Pending = refusedFor(0, 0); d.doubt.own, d.doubt.version = d.rec.Pending.At, 0 }, false},
		"ours, by its version":           {func(d *desk) { d.rec.Pending = refusedFor(0, 0); d.doubt.version = d.rec.Version }, false},
		"a mark on another token":        {func(d *desk) { d.rec.Pending = refusedFor(0, 0); d.rec.Pending.Token = "x"; d.doubt.version = 0 }, false},
		"the Store went back":            {func(d *desk) { d.doubt.old = d.now() }, true},
		"another has written over":       {func(d *desk) { d.rec.WentBackAt = time.Now() }, true},
		"the token is known to be spent": {func(d *desk) { d.cfg.Witness.Note(session, tokenstore.Fingerprint("r1")) }, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Witness = witness.Open(t.TempDir())
			tt.edit(d)
			if got := d.doubtful(); got != tt.want {
				t.Errorf("doubtful: %t; want %t", got, tt.want)
			}
		})
	}
}

// How long the process that has announced a spend is given: none inside of the grace, if the
// Store was within reach since then.
func TestHowLongTheWriterOfAMarkHas(t *testing.T) {
	const patience = 80 * time.Second
	for name, tt := range map[string]struct {
		age, back time.Duration // back: how long ago the Store was away; 0: never
		edit      func(d *desk)
		want      time.Duration // 0: none
	}{
		"just written":                         {age: time.Second},
		"at the end of the hurry":              {age: 15*time.Second - 1},
		"after it":                             {age: 15 * time.Second, want: patience},
		"in a grace that is known":             {age: 27*time.Second - 1, edit: func(d *desk) { d.cfg.Grace = 30 * time.Second }},
		"after that":                           {age: 27 * time.Second, edit: func(d *desk) { d.cfg.Grace = 30 * time.Second }, want: patience},
		"by a clock that is ahead":             {age: -clockNoise + 1},
		"by one further ahead":                 {age: -clockNoise, want: patience},
		"the Store was away before":            {age: time.Second, back: 3 * time.Second},
		"the Store was away since, or so":      {age: time.Second, back: 3*time.Second - 1, want: patience},
		"found a while ago":                    {age: time.Minute, edit: func(d *desk) { d.doubt.mark, d.doubt.found = d.rec.Pending.At, d.now().Add(-30*time.Second) }, want: patience - 30*time.Second},
		"another was found a while ago":        {age: time.Minute, edit: func(d *desk) { d.doubt.mark, d.doubt.found = d.rec.Pending.At.Add(1), d.now().Add(-30*time.Second) }, want: patience},
		"found long ago":                       {age: time.Hour, edit: func(d *desk) { d.doubt.mark, d.doubt.found = d.rec.Pending.At, d.now().Add(-patience) }},
		"found long ago, and away since":       {age: time.Hour, back: 10 * time.Second, edit: func(d *desk) { d.doubt.mark, d.doubt.found = d.rec.Pending.At, d.now().Add(-patience) }, want: patience - 10*time.Second},
		"found since, and away before":         {age: time.Hour, back: time.Minute, edit: func(d *desk) { d.doubt.mark, d.doubt.found = d.rec.Pending.At, d.now().Add(-10*time.Second) }, want: patience - 10*time.Second},
		"ours":                                 {age: time.Minute, edit: func(d *desk) { d.doubt.own = d.rec.Pending.At }},
		"of another token":                     {age: time.Minute, edit: func(d *desk) { d.rec.Pending.Token = "x" }},
		"found by an earlier process":          {age: time.Hour, edit: func(d *desk) { d.cfg.ShortLived = true; d.rec.Pending.Last = time.Now().Add(-30 * time.Second) }, want: patience - 30*time.Second},
		"found by one whose clock was ahead":   {age: time.Hour, edit: func(d *desk) { d.cfg.ShortLived = true; d.rec.Pending.Last = time.Now().Add(time.Hour) }, want: patience},
		"found, which a daemon goes by itself": {age: time.Hour, edit: func(d *desk) { d.rec.Pending.Last = time.Now().Add(-30 * time.Second) }, want: patience},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Reach = new(reach.Line)
			if tt.back > 0 {
				d.cfg.Reach.Read(t.Context(), d.now(), tokenstore.ErrUnavailable)
				d.cfg.Reach.Read(t.Context(), d.now(), nil)
				time.Sleep(tt.back)
			}
			d.rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint("r1"), At: time.Now().Add(-tt.age).UTC()}
			d.doubt.version = 0
			if tt.edit != nil {
				tt.edit(d)
			}
			until := d.writerHasUntil(t.Context(), lasting{noLease{}})
			if got := d.now().Until(until); until.IsZero() != (tt.want == 0) || tt.want != 0 && got != tt.want {
				t.Errorf("it has %v (none: %t); want %v", got, until.IsZero(), tt.want)
			}
			if until := d.writerHasUntil(t.Context(), noLease{unshared: true}); !until.IsZero() {
				t.Error("a holder that has ended is given time")
			}
		})
	}
}

// A process that is about to end writes down when it found a mark, or the next would wait as
// long again.
func TestAShortProcessWritesDownWhenItFoundAMark(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.ShortLived = true
		d.abandoned(t)
		if err := d.Adopt(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		found := d.now()
		d.doubt.version = 0
		for range 2 {
			until := d.writerHasUntil(t.Context(), lasting{noLease{}})
			if until != found.Add(d.cfg.patience()) {
				t.Errorf("the writer has %v more; want it counted from when the mark was found", d.now().Until(until))
			}
			if mark := d.stored(t).Pending; !mark.On("r1") || !mark.Last.Equal(found.Wall()) || mark.At.Equal(found.Wall()) {
				t.Errorf("the mark is %+v", mark)
			}
			d.doubt = doubt{}
			time.Sleep(10 * time.Second)
		}
	})
}

// A reason to wait is told once, and a caller has the Store looked at again soon.
func TestAReasonToWaitIsToldOnce(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		for i, tt := range []struct {
			why  error
			told int
		}{{errUnsettled, 1}, {errUnsettled, 1}, {errWentBack, 2}, {errUnsettled, 3}} {
			time.Sleep(time.Second)
			until := d.now().Add(time.Hour)
			d.hold(until, failure.Transient(tt.why))
			if got := d.count(EventRefreshFailed); got != tt.told {
				t.Errorf("%d: told %d times; want %d", i, got, tt.told)
			}
			h := d.Health()
			if h.Next != until || h.failed != d.now() || h.callers != d.now().Add(2*time.Second) || h.Failures != 0 || !errors.Is(h.Err, tt.why) {
				t.Errorf("%d: %+v", i, h)
			}
		}
	})
}

// A record says for a while that it was written over an old copy.
func TestHowLongARecordSaysThatItWentBack(t *testing.T) {
	for ago, want := range map[time.Duration]bool{0: true, 80*time.Second - 1: true, 80 * time.Second: false, -80*time.Second + 1: true, -80 * time.Second: false} {
		inBubble(t, ago.String(), func(t *testing.T) {
			d := newDesk(t)
			d.rec.WentBackAt = time.Now().Add(-ago)
			d.wentBack()
			if got := !d.doubt.old.IsZero(); got != want || d.count(EventOldCopy) != map[bool]int{true: 1}[want] {
				t.Errorf("it counts: %t, events %v; want %t", got, d.events, want)
			}
			since := d.now()
			time.Sleep(time.Second)
			if d.wentBack(); want && d.doubt.old != since {
				t.Error("it counts from the beginning again")
			}
		})
	}
}

// A session remembers the last places in which it was kept.
func TestASessionRemembersItsLastPlaces(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d, rec := newDesk(t), new(tokenstore.Record)
		if d.here(rec); len(rec.Places) != 0 {
			t.Errorf("a place that is not known is noted: %q", rec.Places)
		}
		for i := range maxPlaces + 2 {
			d.cfg.Place = fmt.Sprint(i)
			d.here(rec)
			d.here(rec)
		}
		if len(rec.Places) != maxPlaces || rec.Places[0] != "2" || rec.Places[maxPlaces-1] != d.cfg.Place {
			t.Errorf("kept in %q", rec.Places)
		}
	})
}

// How long a process that was cut off from the Store gives others, by when it found the
// Store back last.
func TestWhenACutOffProcessFindsTheStoreBack(t *testing.T) {
	for name, tt := range map[string]struct {
		back, answered time.Duration // how long ago; 0: never
		edit           func(d *desk)
		want           time.Duration // 0: it is not put off
	}{
		"never":                   {},
		"after calls had failed":  {back: 20 * time.Second, want: time.Minute},
		"after one took long":     {answered: 30 * time.Second, want: 50 * time.Second},
		"after both":              {back: 20 * time.Second, answered: 30 * time.Second, want: time.Minute},
		"after both, or so":       {back: 30 * time.Second, answered: 20 * time.Second, want: time.Minute},
		"long ago":                {back: 80 * time.Second},
		"nothing is spent":        {back: 20 * time.Second, edit: func(d *desk) { d.cfg.Tokenless = true }},
		"a word is to be checked": {back: 20 * time.Second, edit: func(d *desk) { d.unchecked = refusal{"x", ended} }},
		"after a failure":         {back: 20 * time.Second, edit: func(d *desk) { d.setHealth(func(h *Health) { h.Failures = 1 }) }, want: time.Minute},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.fresh(pair("1"))
			d.cfg.Reach = new(reach.Line)
			d.cfg.Reach.Read(t.Context(), d.now(), tokenstore.ErrUnavailable)
			if tt.back > 0 {
				d.cfg.Reach.Read(t.Context(), d.now().Add(-tt.back), nil)
			}
			if tt.answered > 0 {
				d.doubt.answered = d.now().Add(-tt.answered)
			}
			if tt.edit != nil {
				tt.edit(d)
			}
			next := d.Health().Next
			err := d.giveTime(Want{})
			if off := errors.Is(err, ErrDeferred); off != (tt.want != 0) || off && d.now().Until(d.deferred) != tt.want {
				t.Errorf("error %v, put off for %v; want %v", err, d.now().Until(d.deferred), tt.want)
			}
			if h := d.Health(); h.Failures > 0 && h.Next != d.deferred || h.Failures == 0 && h.Next != next {
				t.Errorf("%d failures, the next attempt is in %v", h.Failures, d.now().Until(h.Next))
			}
		})
	}
	inBubble(t, "what takes long", func(t *testing.T) {
		d := newDesk(t)
		for took, want := range map[time.Duration]bool{cutOff - 1: false, cutOff: true} {
			d.doubt.answered = moment.Instant{}
			d.answered(d.now().Add(-took))
			if got := !d.doubt.answered.IsZero(); got != want {
				t.Errorf("a call of %v: cut off: %t; want %t", took, got, want)
			}
		}
	})
}
