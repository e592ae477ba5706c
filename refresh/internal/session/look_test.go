package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/reach"
	"github.com/evertoken/evertoken/tokenstore"
)

// That the refresh token ends soon is told once, three days ahead, or a quarter of its life.
func TestTheEndOfARefreshTokenIsToldOnce(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.fresh(ending(40 * time.Hour))
		for _, tt := range []struct {
			pass time.Duration
			want int
		}{{0, 0}, {30*time.Hour - 1, 0}, {1, 1}, {time.Hour, 1}} {
			time.Sleep(tt.pass)
			d.announceEnd()
			if got := d.count(EventRefreshTokenEnding); got != tt.want {
				t.Errorf("after %v more it is told %d times; want %d", tt.pass, got, tt.want)
			}
		}
		d.fresh(ending(time.Hour))
		time.Sleep(time.Hour)
		if d.announceEnd(); d.count(EventRefreshTokenEnding) != 2 {
			t.Error("the end of the next one is not told")
		}
		d.fresh(pair("2"))
		time.Sleep(100 * time.Hour)
		if d.announceEnd(); d.count(EventRefreshTokenEnding) != 2 {
			t.Error("an end that is not known is told")
		}
		d.cur.Store(nil)
		if d.announceEnd(); d.count(EventRefreshTokenEnding) != 2 {
			t.Error("the end of no token is told")
		}
	})
}

// A notice of a write of this session's own says that all is as it is known here.
func TestNoticesOfOurOwnWrites(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.rec.Version, d.written = 9, [4]uint64{6, 7, 8, 9}
		for told, want := range map[uint64]uint64{7: 9, 9: 9, 5: 5, 10: 10} {
			if got := d.Hears(Stamp{told, true}); *got != (Stamp{want, true}) {
				t.Errorf("of version %d it hears %+v; want %d", told, *got, want)
			}
		}
		d.rec = nil
		if got := d.Hears(Stamp{7, true}); *got != (Stamp{7, true}) {
			t.Errorf("without a record it hears %+v", *got)
		}
	})
}

// When a session wants attention by itself.
func TestWhenASessionWantsAttention(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		for name, tt := range map[string]struct {
			edit func(d *desk)
			want func(d *desk) moment.Instant // zero: it does not
		}{
			"a token":             {func(*desk) {}, func(d *desk) moment.Instant { return d.now().At(d.cur.Load().DueAt(d.now())) }},
			"paused":              {func(d *desk) { d.cfg.Paused = true }, nil},
			"ended":               {func(d *desk) { d.setHealth(func(h *Health) { h.State = StateLoginRequired }) }, nil},
			"no token":            {func(d *desk) { d.cur.Store(nil) }, nil},
			"a token that is due": {func(*desk) { time.Sleep(58 * time.Minute) }, (*desk).now},
			"one that is put off": {func(d *desk) { time.Sleep(58 * time.Minute); d.deferred = d.now().Add(time.Minute) },
				func(d *desk) moment.Instant { return d.now().Add(time.Minute) }},
			"a failure, paused": {func(d *desk) {
				d.cfg.Paused = true
				d.setHealth(func(h *Health) { h.State, h.Failures, h.Next = StateRetrying, 1, d.now().Add(2*time.Minute) })
			}, func(d *desk) moment.Instant { return d.now().Add(2 * time.Minute) }},
			"a lost answer": {func(d *desk) {
				d.rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint("r1"), At: d.now().Wall()}
			}, (*desk).now},
		} {
			d := newDesk(t)
			d.fresh(pair("1"))
			tt.edit(d)
			want := moment.Instant{}
			if tt.want != nil {
				want = tt.want(d)
			}
			if got := d.attention(); got.IsZero() != want.IsZero() || got.Since(want).Abs() > time.Second {
				t.Errorf("%s: attention in %v; want %v (zero: %t, %t)", name, got.Since(d.now()), want.Since(d.now()), got.IsZero(), want.IsZero())
			}
			next := d.now().Add(d.cfg.CheckInterval)
			if got := d.NextLook(); d.now().Until(got) > d.now().Until(next) {
				t.Errorf("%s: the next look is in %v; want a check interval at most", name, got.Since(d.now()))
			}
		}
	})
}

// A stamper says of the Store's record what a test wants.
type stamper struct {
	stamp uint64
	err   error
	ctx   context.Context
	asked int
}

func (s *stamper) Stamp(ctx context.Context, _ string) (uint64, error) {
	s.ctx = ctx
	s.asked++
	return s.stamp, s.err
}

// A session is read unless the Store has said that there is nothing new.
func TestASessionIsReadIfThereMayBeNews(t *testing.T) {
	const known = 7 // the stamp of what was read last
	away := tokenstore.ErrUnavailable
	for name, tt := range map[string]struct {
		seen  *Stamp // nil: the Store is asked
		says  uint64
		fails error // of what the Store is asked
		edit  func(d *desk)
		read  bool
		stamp Stamp // afterwards
	}{
		"it says that there is none":      {seen: &Stamp{known, true}, stamp: Stamp{known, true}},
		"it says that there is some":      {seen: &Stamp{8, true}, read: true, stamp: Stamp{8, true}},
		"it says the version that it has": {seen: &Stamp{1, true}, stamp: Stamp{1, true}},
		"it does not say":                 {seen: &Stamp{known, false}, read: true, stamp: Stamp{known, false}},
		"it does not say, as the version": {seen: &Stamp{1, false}, read: true, stamp: Stamp{1, false}},
		"asked, there is none":            {says: known, stamp: Stamp{known, true}},
		"asked, there is some":            {says: 8, read: true, stamp: Stamp{8, true}},
		"asked, it fails":                 {says: known, fails: away, read: true, stamp: Stamp{known, false}},
		"no record":                       {seen: &Stamp{known, true}, edit: func(d *desk) { d.rec = nil }, read: true, stamp: Stamp{known, true}},
		"it cannot be read":               {seen: &Stamp{8, true}, edit: func(d *desk) { d.store.fails = away }, read: true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			store := &stamper{stamp: tt.says, err: tt.fails}
			d.cfg.Stamper, d.cfg.Reach = store, new(reach.Line)
			d.rec.Version, d.stamp = 1, Stamp{known, true}
			if tt.edit != nil {
				tt.edit(d)
			}
			fails := d.store.fails
			d.store.gets = 0
			err := d.lookIfChanged(t.Context(), tt.seen)
			if !errors.Is(err, fails) || (err == nil) != (fails == nil) {
				t.Errorf("error %v; want %v", err, fails)
			}
			if read := d.store.gets > 0; read != tt.read || d.stamp != tt.stamp {
				t.Errorf("read: %t, stamp %+v; want %t, %+v", read, d.stamp, tt.read, tt.stamp)
			}
			if asked := store.asked == 1; asked != (tt.seen == nil) {
				t.Errorf("asked %d times", store.asked)
			}
			if asked := store.asked == 1; asked && store.ctx.Err() == nil {
				t.Error("the context of the call outlives it")
			}
		})
	}
	inBubble(t, "a stamp is a call as others", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Reach, d.cfg.Stamper = new(reach.Line), &stamper{err: away}
		d.cfg.ReadStamp(t.Context(), session)
		d.cfg.Stamper = new(stamper)
		d.cfg.ReadStamp(t.Context(), session)
		if d.cfg.Reach.BackSince() != d.now() {
			t.Errorf("the Store is back since %v; want now", d.cfg.Reach.BackSince().Wall())
		}
		if d.cfg.Stamper = nil; d.cfg.ReadStamp(t.Context(), session) != (Stamp{}) {
			t.Error("a Store without stamps has one")
		}
	})
}

// What a look does about an unsaved pair.
func TestALookSavesWhatIsUnsaved(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk)
		sets   int
		saved  bool
	}{
		"it is time":            {func(_ *testing.T, d *desk) { time.Sleep(2 * time.Second) }, 1, true},
		"before its time":       {func(*testing.T, *desk) {}, 1, true},
		"the Store is away":     {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrUnavailable }, 0, false},
		"the Store is full":     {func(_ *testing.T, d *desk) { d.store.full = errors.New("no room") }, 1, false},
		"full, and it is time":  {func(_ *testing.T, d *desk) { d.store.full = errors.New("no room"); time.Sleep(2 * time.Second) }, 1, false},
		"there is nothing":      {func(t *testing.T, d *desk) { d.saveNow(t.Context()) }, 0, true},
		"an old copy was found": {func(t *testing.T, d *desk) { d.saveNow(t.Context()); d.oldCopy(t) }, 1, true},
		"the same, after a try": {func(t *testing.T, d *desk) {
			d.saveNow(t.Context())
			d.oldCopy(t)
			d.cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { return nil }
			d.unsaved.callback = true
		}, 1, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := unsavedHere(t, nil)
			tt.before(t, d)
			d.store.sets = 0
			d.Look(t.Context(), nil, func(Want) {})
			if d.store.sets != tt.sets || d.unsaved.any() == tt.saved {
				t.Errorf("tried %d times, unsaved %+v; want %d tries, saved: %t", d.store.sets, d.unsaved, tt.sets, tt.saved)
			}
			if got := d.stored(t).Tokens.RefreshToken == "r2"; got != tt.saved {
				t.Errorf("the Store has %s", d.stored(t).Tokens.RefreshToken)
			}
		})
	}
}

// oldCopy puts the session back to its first pair in the Store.
func (d *desk) oldCopy(t *testing.T) {
	t.Helper()
	d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens, rec.Ancestors = pair("1"), nil })
}

// What a look tells, and whether it has the session renewed.
func TestWhatALookTells(t *testing.T) {
	living := func(_ *testing.T, d *desk) { d.fresh(pair("1")); d.store.fails = tokenstore.ErrUnavailable }
	unread := func(t *testing.T, d *desk) {
		d.store.edit(t, func(rec *tokenstore.Record) { rec.Refused = refusedFor(time.Hour, 1); rec.Refused.Code = codeUnread })
	}
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk)
		renews bool
		next   time.Duration // 0: any
		state  State
		told   []Kind
	}{
		"it is due":           {func(*testing.T, *desk) {}, true, 0, StateValid, nil},
		"it is not":           {living, false, time.Minute, StateValid, nil},
		"it has ended":        {func(_ *testing.T, d *desk) { d.declareDead(ended) }, false, time.Minute, StateLoginRequired, nil},
		"the end is near":     {func(t *testing.T, d *desk) { living(t, d); d.fresh(ending(40 * time.Hour)); time.Sleep(31 * time.Hour) }, true, 0, StateValid, []Kind{EventRefreshTokenEnding}},
		"unread":              {unread, false, 0, StateMisconfigured, []Kind{EventMisconfigured}},
		"unread, for others":  {func(t *testing.T, d *desk) { unread(t, d); d.cfg.Follower = true }, false, time.Minute, StateValid, nil},
		"not due, a follower": {func(t *testing.T, d *desk) { living(t, d); d.cfg.Follower = true }, false, time.Minute, StateValid, nil},
		"on demand":           {func(_ *testing.T, d *desk) { d.cfg.OnDemand, d.unused = true, true }, false, time.Minute, StateValid, nil},
		"on demand, in use":   {func(_ *testing.T, d *desk) { d.cfg.OnDemand = true }, true, 0, StateValid, nil},
		"not on demand, idle": {func(_ *testing.T, d *desk) { d.unused = true }, true, 0, StateValid, nil},
		"paused":              {func(_ *testing.T, d *desk) { d.cfg.Paused = true }, false, time.Minute, StateValid, nil},
		"asked about just now": {func(_ *testing.T, d *desk) {
			d.rec.Refused = refusedFor(time.Hour, 3)
			d.asked = d.rec.Refused.Token
			d.store.fails = tokenstore.ErrUnavailable
		}, false, time.Minute, StateValid, nil},
		"the Store is away": {func(t *testing.T, d *desk) { living(t, d); d.cfg.Reach = new(reach.Line) }, false, 10 * time.Second, StateValid, nil},
		"the Store is away, as another session looks": {func(t *testing.T, d *desk) {
			living(t, d)
			d.cfg.Reach = new(reach.Line)
			d.cfg.Reach.Read(context.Background(), d.now(), tokenstore.ErrUnavailable)
			d.cfg.Reach.Probes(d.now(), time.Second)
			time.Sleep(9 * time.Second)
		}, false, time.Minute, StateValid, nil},
		"the Store is away, as another one did": {func(t *testing.T, d *desk) {
			living(t, d)
			d.cfg.Reach = new(reach.Line)
			d.cfg.Reach.Read(context.Background(), d.now(), tokenstore.ErrUnavailable)
			d.cfg.Reach.Probes(d.now(), time.Second)
			time.Sleep(10 * time.Second)
		}, false, 10 * time.Second, StateValid, nil},
		"the Store answers, but not about this": {func(t *testing.T, d *desk) {
			living(t, d)
			d.cfg.Reach = new(reach.Line)
			d.store.fails = tokenstore.ErrSealed
		}, false, time.Minute, StateValid, nil},
		"the Store went back": {func(t *testing.T, d *desk) {
			living(t, d)
			d.store.fails = tokenstore.ErrSealed
			d.doubt.old = d.now()
		}, false, 10 * time.Second, StateValid, nil},
		"the Store went back, long ago": {func(t *testing.T, d *desk) {
			living(t, d)
			d.store.fails = tokenstore.ErrSealed
			d.doubt.old = d.now()
			time.Sleep(100 * time.Second)
		}, false, time.Minute, StateValid, nil},
		"to be saved soon": {func(t *testing.T, d *desk) {
			living(t, d)
			d.setHealth(func(h *Health) { h.saveAt = d.now().Add(time.Second) })
		}, false, time.Second, StateValid, nil},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			tt.before(t, d)
			d.events = nil
			var wants []Want
			next := d.Look(t.Context(), nil, func(w Want) { wants = append(wants, w) })
			if renews := len(wants) == 1 && wants[0] == (Want{Stale: d.cur.Load()}); renews != tt.renews || len(wants) > 1 {
				t.Errorf("to be renewed: %+v; want %t", wants, tt.renews)
			}
			if got := d.now().Until(next); tt.next != 0 && got != tt.next {
				t.Errorf("the next look is in %v; want %v", got, tt.next)
			}
			if soon := tt.next == 10*time.Second; soon && d.Quiet() {
				t.Error("it may rest, and forget that it is to look again")
			}
			if h := d.Health(); h.State != tt.state || !slices.Equal(d.events, tt.told) {
				t.Errorf("state %v, events %v; want %v, %v", h.State, d.events, tt.state, tt.told)
			}
		})
	}
}

// A caller whose token was rejected looks for news: a token that has taken its place, or
// another process that has just begun a renewal.
func TestACallerWhoseTokenIsRejectedLooksForNews(t *testing.T) {
	begun := func(ago time.Duration) func(t *testing.T, d *desk) {
		return func(t *testing.T, d *desk) { d.abandoned(t); time.Sleep(ago) }
	}
	for name, tt := range map[string]struct {
		before     func(t *testing.T, d *desk)
		news, more bool
	}{
		"nothing":                      {func(*testing.T, *desk) {}, false, false},
		"another token":                {func(t *testing.T, d *desk) { d.store.put(t, pair("2")) }, true, false},
		"another dead token":           {func(t *testing.T, d *desk) { d.store.put(t, pair("2")); time.Sleep(time.Hour) }, false, false},
		"a logout":                     {func(t *testing.T, d *desk) { d.store.remove(t) }, false, false},
		"no session":                   {func(t *testing.T, d *desk) { d.store.remove(t); d.rec = nil }, false, false},
		"a renewal":                    {begun(0), false, true},
		"a renewal a while ago":        {begun(5*time.Second - 1), false, true},
		"a renewal some time ago":      {begun(5 * time.Second), false, false},
		"one by a clock that is ahead": {begun(-1), false, true},
		"one of another token": {func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Pending = &tokenstore.Mark{Token: "x", At: time.Now()} })
		}, false, false},
		"one of ours that has failed": {func(t *testing.T, d *desk) { d.abandoned(t); d.setHealth(func(h *Health) { h.Failures = 1 }) }, false, false},
		"one whose owner a follower awaits": {func(t *testing.T, d *desk) {
			d.abandoned(t)
			d.cfg.Follower = true
			d.setHealth(func(h *Health) { h.Failures = 1 })
		}, false, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			tt.before(t, d)
			if name == "one by a clock that is ahead" {
				d.store.edit(t, func(rec *tokenstore.Record) { rec.Pending.At = time.Now().Add(4 * time.Second) })
			}
			news, more := d.News(t.Context(), "", d.cur.Load())
			if news != tt.news || more != tt.more {
				t.Errorf("news %t, more %t; want %t, %t", news, more, tt.news, tt.more)
			}
		})
	}
	inBubble(t, "of a resource", func(t *testing.T) {
		d := newDesk(t)
		d.publishResource("https://api", pair("5"))
		refused := d.currentFor("https://api")
		if news, _ := d.News(t.Context(), "https://api", refused); news {
			t.Error("the token that was rejected is news")
		}
		d.publishResource("https://api", pair("5"))
		if news, _ := d.News(t.Context(), "https://api", refused); !news {
			t.Error("its successor is not, which happens to be equal")
		}
	})
}

// One goroutine changes a session at a time; others wait, or leave.
func TestOneAtATimeHasTheTurn(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d, order := newDesk(t), []string(nil)
		did := func(name string, wait time.Duration) func() error {
			return func() error {
				order = append(order, name)
				time.Sleep(wait)
				order = append(order, name)
				return errors.New(name)
			}
		}
		for _, name := range []string{"1", "2"} {
			go func() {
				if err := d.WithTurn(t.Context(), did(name, time.Minute)); err == nil || err.Error() != name {
					t.Errorf("error %v; want what was returned", err)
				}
			}()
		}
		time.Sleep(time.Second)
		if d.TryTurn(func() { t.Error("a second one has the turn") }) {
			t.Error("it was called")
		}
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		if err := d.WithTurn(ctx, did("3", 0)); err != why {
			t.Errorf("error %v; want %v", err, why)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(order) != 4 || order[0] != order[1] || order[2] != order[3] {
			t.Errorf("they had the turn in the order %v", order)
		}
		called := 0
		for range 2 {
			if !d.TryTurn(func() { called++ }) {
				t.Error("the turn is free, and not had")
			}
		}
		if called != 2 {
			t.Errorf("called %d times; want 2", called)
		}
	})
}

// Readers are told to look again whenever the health is another one.
func TestReadersAreToldOfTheHealth(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		before, changed := d.Health(), d.changed
		d.setHealth(func(h *Health) { h.Failures = 9 })
		if d.changed != changed+1 || before.Failures == 9 || d.Health().Failures != 9 {
			t.Errorf("told %d times, failures %d", d.changed-changed, d.Health().Failures)
		}
	})
}

// A token that is shown again, as after the renewal of another resource's, counts from when it
// was seen first; with another refresh token, or another end of it, from now.
func TestWhenAPairWasSeenFirst(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		p := &oauth.TokenPair{AccessToken: "a", RefreshToken: "r", RefreshExpiresAt: time.Now().Add(4 * time.Hour)}
		d.publish(p)
		first := d.cur.Load().Seen()
		longer, rotated := p.Clone(), p.Clone()
		longer.RefreshExpiresAt = p.RefreshExpiresAt.Add(time.Minute)
		rotated.RefreshToken = "s"
		for i, next := range []*oauth.TokenPair{p.Clone(), longer, rotated} {
			time.Sleep(time.Minute)
			d.show(next)
			if seen := d.cur.Load().Seen(); (seen == first) != (i == 0) {
				t.Errorf("seen first at %v; the first was at %v", seen.Wall(), first.Wall())
			}
		}
	})
}
