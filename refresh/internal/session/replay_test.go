package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/tokenstore"
)

// When a token is sent again whose answer was lost: at a pace that callers quicken, never
// before the server wants it, once more at the last moment of the token that lives, and at
// once if the run ends or the server is back.
func TestWhenALostAnswerIsAskedForAgain(t *testing.T) {
	const s = time.Second
	living := func(left time.Duration) func(t *testing.T, d *desk, r *run) {
		return func(t *testing.T, d *desk, _ *run) {
			d.store.edit(t, func(rec *tokenstore.Record) {
				rec.Tokens = pair("1")
				rec.Tokens.AccessToken, rec.Tokens.ExpiresAt = "living", time.Now().Add(left).UTC()
			})
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	asked := func(wait time.Duration) func() error {
		return func() error {
			return &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, RetryAt: time.Now().Add(wait)}
		}
	}
	ends := func(after time.Duration) func(t *testing.T, d *desk, r *run) {
		return func(t *testing.T, _ *desk, r *run) {
			ctx, cancel := context.WithCancel(t.Context())
			r.ctx = ctx
			time.AfterFunc(after, cancel)
		}
	}
	both := func(first, second func(t *testing.T, d *desk, r *run)) func(t *testing.T, d *desk, r *run) {
		return func(t *testing.T, d *desk, r *run) { first(t, d, r); second(t, d, r) }
	}
	back := func(after time.Duration) func(d *desk) { // it fails other sessions until then
		return func(d *desk) {
			other := func(err error) {
				d.cfg.Gate.Note(gate.Attempt{Session: "other", ConfigID: "config", Err: err, Begun: d.now(), Now: d.now(), Interval: time.Minute})
			}
			for range 5 {
				other(trouble)
			}
			time.AfterFunc(after, func() { other(nil) })
		}
	}
	tell := func(d *desk, err error) {
		g := elsewhere(d)
		g.Tell(context.Background(), d.store.Memory, "config", g.Note(gate.Attempt{Session: "other", ConfigID: "config", Err: err, Begun: d.now(), Now: d.now(), Interval: time.Minute}))
	}
	down := func(d *desk) { time.AfterFunc(900*time.Millisecond, func() { tell(d, trouble) }) }
	wait := func(d *desk) {
		tell(d, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503, Sent: true, RetryAt: time.Now().Add(5 * time.Minute)})
	}
	noToken := func() error { return answer(func(e *oauth.Error) { e.Status, e.Kind = 200, oauth.ErrTransient }) }
	shared := func(t *testing.T, d *desk, r *run) { living(time.Hour)(t, d, r); d.cfg.Gate.Join() }
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk, r *run)
		err    func() error // nil: lost
		waited bool
		at     []time.Duration
		during func(d *desk) // the first request
	}{
		"a living token":              {living(time.Hour), nil, false, []time.Duration{0, 1 * s, 3 * s, 7 * s, 15 * s}, nil},
		"a living token, and callers": {living(time.Hour), nil, true, []time.Duration{0, 1 * s, 2 * s, 3 * s, 4 * s}, nil},
		"callers come later":          {living(time.Hour), nil, false, []time.Duration{0, 1 * s, 3 * s, 4 * s, 5 * s}, nil},
		"others find it down":         {living(time.Hour), nil, false, []time.Duration{0, 2100 * time.Millisecond}, down},
		"others are asked to wait":    {shared, noToken, false, []time.Duration{0}, wait},
		"a dead token":                {nil, nil, false, []time.Duration{0, 1 * s, 2 * s, 3 * s, 4 * s}, nil},
		"a dead token of one process": {func(_ *testing.T, d *desk, _ *run) { d.cfg.Locker = nil }, nil, false, []time.Duration{0, 1 * s, 3 * s, 7 * s, 15 * s}, nil},
		"one process, and callers":    {func(_ *testing.T, d *desk, _ *run) { d.cfg.Locker = nil }, nil, true, []time.Duration{0, 1 * s, 2 * s, 3 * s, 4 * s}, nil},
		"a token that dies soon":      {living(4 * s), nil, false, []time.Duration{0, 1 * s, 3 * s, 3*s + 20*time.Millisecond, 4*s + 20*time.Millisecond}, nil},
		"the server wants a pause":    {living(time.Hour), asked(5 * s), false, []time.Duration{0, 5 * s, 10 * s, 15 * s, 23 * s}, nil},
		"the same, and callers":       {living(time.Hour), asked(5 * s), true, []time.Duration{0, 5 * s, 10 * s, 15 * s, 20 * s}, nil},
		"the same, and it dies soon":  {living(4 * s), asked(5 * s), false, []time.Duration{0, 5 * s, 10 * s, 15 * s, 20 * s}, nil},
		"a pause of a minute":         {living(time.Hour), asked(60 * s), false, []time.Duration{0, 60 * s, 120 * s}, nil},
		"a longer one":                {living(time.Hour), asked(60*s + 1), false, []time.Duration{0}, nil},
		"the run ends":                {both(living(time.Hour), ends(5*s)), nil, false, []time.Duration{0, 1 * s, 3 * s, 5 * s}, nil},
		"the server is back":          {living(time.Hour), nil, false, []time.Duration{0, 1 * s, 1500 * time.Millisecond}, back(1500 * time.Millisecond)},
		"it is, and wants a pause":    {living(time.Hour), asked(5 * s), false, []time.Duration{0, 5 * s, 10 * s}, back(2 * s)},
	} {
		inBubble(t, name, func(t *testing.T) {
			d, r := newDesk(t), new(run)
			d.cfg.Clock = &sure{d.cfg.Clock, 0}
			begun := time.Now()
			d.waits = func() bool {
				return tt.waited || name == "callers come later" && time.Since(begun) > 3600*time.Millisecond
			}
			if tt.before != nil {
				tt.before(t, d, r)
			}
			var at []time.Duration
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				if at = append(at, time.Since(begun)); len(at) == 1 && tt.during != nil {
					tt.during(d)
				}
				if tt.err != nil {
					return nil, tt.err()
				}
				return nil, lost
			}
			d.events = nil
			w := Want{Stale: d.cur.Load(), Force: true}
			if err := d.Renew(t.Context(), r, w); !errors.Is(err, oauth.ErrTransient) {
				t.Errorf("error %v", err)
			}
			synctest.Wait()
			sent := at
			if tt.during != nil { // what follows is another matter
				sent = at[:min(len(at), len(tt.at))]
			}
			if !slices.Equal(sent, tt.at) {
				t.Errorf("sent after %v; want %v", at, tt.at)
			}
			want := len(at)
			if name == "others are asked to wait" { // of the pause, and that nothing follows
				want++
			}
			if told := d.count(EventRefreshFailed); told != want {
				t.Errorf("told %d times of %d attempts", told, len(at))
			}
		})
	}
}

// What is told, and noted, of the pause before a token is sent again.
func TestWhatIsToldOfAPause(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Clock = &sure{d.cfg.Clock, 0}
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			if len(d.sent) == 2 {
				if h := d.Health(); h.State != StateRetrying || h.Err != error(lost) || d.now().Until(h.Next) != 0 || d.last.Err != error(lost) || d.last.Next != h.Next || d.last.Kind != EventRefreshFailed {
					t.Errorf("noted %+v, told %+v", h, d.last)
				}
				if rec, err := d.store.Memory.Get(t.Context(), tokenstore.ServerRecord("as")); err != nil || !rec.Refused.Last.Equal(time.Now()) {
					t.Errorf("others are not told that it is asked again: %+v, %v", rec, err)
				}
				if d.begun != d.now() {
					t.Errorf("the last request began %v ago", d.now().Since(d.begun))
				}
				return pair("2"), nil
			}
			return nil, lost
		}
		if err := d.renew(t); err != nil {
			t.Fatal(err)
		}
	})
}

// What happens during the pause decides: another process may have renewed, or a person.
func TestWhatHappensDuringAPause(t *testing.T) {
	for name, tt := range map[string]struct {
		what  func(t *testing.T, d *desk)
		sent  int
		shows string
		err   error
	}{
		"nothing":   {func(*testing.T, *desk) {}, 2, "a2", nil},
		"a renewal": {func(t *testing.T, d *desk) { d.store.put(t, pair("9")) }, 1, "a9", nil},
		"a logout":  {func(t *testing.T, d *desk) { d.store.remove(t) }, 1, "", ErrLoggedOut},
		"the Store is away": {func(_ *testing.T, d *desk) {
			d.store.fails, d.store.until = tokenstore.ErrUnavailable, time.Now().Add(1500*time.Millisecond)
		}, 2, "a2", nil},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				if len(d.sent) == 1 {
					tt.what(t, d)
					return nil, lost
				}
				time.Sleep(2 * time.Second)
				return pair("2"), nil
			}
			if err := d.renew(t); !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("error %v; want %v", err, tt.err)
			}
			d.shows(t, tt.shows)
			if len(d.sent) != tt.sent {
				t.Errorf("sent %v; want it %d times", d.sent, tt.sent)
			}
		})
	}
}

// An answer without a token that is not the first to a spend whose answer was lost counts as
// an answer, and is not asked for again at once.
func TestAnUnclearAnswerAfterALossIsNotAskedForAgain(t *testing.T) {
	noToken := answer(func(e *oauth.Error) { e.Status, e.Kind = 200, oauth.ErrTransient }) // of which nothing is left
	unsent := &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient}
	for _, tt := range []struct {
		died     bool
		failures int
		before   error
		answer   error
		once     bool
	}{
		{true, 1, trouble, noToken, true}, {false, 1, trouble, noToken, false}, {true, 0, trouble, noToken, false},
		{true, 1, unsent, noToken, false}, {true, 1, trouble, lost, false}, {false, 0, nil, noToken, false},
	} {
		inBubble(t, fmt.Sprintf("%+v", tt), func(t *testing.T) {
			d := newDesk(t)
			if tt.died {
				d.abandoned(t)
			}
			d.setHealth(func(h *Health) { h.State, h.Err, h.Failures = StateRetrying, tt.before, tt.failures })
			d.answers(tt.answer)
			d.sent = nil
			if err := d.renew(t); err == nil {
				t.Error("no error")
			}
			if once := len(d.sent) == 1; once != tt.once {
				t.Errorf("sent %d times; want it once: %t", len(d.sent), tt.once)
			}
		})
	}
}

// A word about another token says nothing about this one.
func TestAWordThatIsNotCheckedYetIsAboutItsToken(t *testing.T) {
	for token, sent := range map[string]int{"r1": 0, "x": 1} {
		inBubble(t, token, func(t *testing.T) {
			d := newDesk(t)
			d.unchecked = refusal{tokenstore.Fingerprint(token), ended}
			d.gives("2")
			err := d.renew(t)
			if len(d.sent) != sent || (sent == 0) != errors.Is(err, oauth.ErrLoginRequired) {
				t.Errorf("sent %v, error %v", d.sent, err)
			}
		})
	}
}

// A spend that cannot be announced waits while the token lives, and in a process that is
// about to end in any case.
func TestASpendThatCannotBeAnnounced(t *testing.T) {
	full, away := errors.New("no room"), tokenstore.ErrUnavailable
	living := func(t *testing.T, d *desk) {
		d.store.edit(t, func(rec *tokenstore.Record) {
			rec.Tokens = pair("1")
			rec.Tokens.AccessToken = "living"
		})
	}
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk)
		w      Want
		err    error
		is     error // nil: it is sent
	}{
		"a dead token":                       {nil, Want{}, full, nil},
		"a living token":                     {living, Want{}, full, full},
		"a living token that is rejected":    {living, Want{Rejected: true}, full, nil},
		"as the program wants":               {func(t *testing.T, d *desk) { living(t, d); d.cfg.LocalWhenUnavailable = true }, Want{}, away, nil},
		"as the program wants, but of a lie": {func(t *testing.T, d *desk) { living(t, d); d.cfg.LocalWhenUnavailable = true }, Want{}, full, full},
		"a dead token, in a short process":   {func(_ *testing.T, d *desk) { d.cfg.ShortLived = true }, Want{}, full, errUnspent},
		"a rejected one, in a short process": {func(t *testing.T, d *desk) { living(t, d); d.cfg.ShortLived = true }, Want{Rejected: true}, full, errUnspent},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			if tt.before != nil {
				tt.before(t, d)
			}
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.store.full = tt.err
			d.gives("2")
			w := tt.w
			w.Stale, w.Force = d.cur.Load(), true
			err := d.Renew(t.Context(), new(run), w)
			if sent := len(d.sent) == 1; sent != (tt.is == nil) || sent && err != nil || !sent && (!errors.Is(err, tt.is) || !errors.Is(err, tt.err) || !errors.Is(err, oauth.ErrTransient)) {
				t.Errorf("sent %v, error %v; want %v", d.sent, err, tt.is)
			}
		})
	}
}

// What is unsaved is saved before a spend in a process that is about to end, and before one
// over an old copy; what that finds instead counts.
func TestWhatIsSavedBeforeASpend(t *testing.T) {
	for name, tt := range map[string]struct {
		shortLived, old bool
		fails           error
		other           bool // another login is there
		sent            string
		tried           bool
	}{
		"a daemon":                       {false, false, nil, false, "r2", false},
		"a short process":                {true, false, nil, false, "r2", true},
		"an old copy":                    {false, true, nil, false, "r2", true},
		"an old copy, and no room":       {false, true, errors.New("no room"), false, "r2", true},
		"a short process, other login":   {true, false, nil, true, "", true},
		"an old copy, and another login": {false, true, nil, true, "", true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.unsavedPair(t, pair("2"))
			d.cfg.ShortLived = tt.shortLived
			if tt.old {
				d.held = d.rec.Version
			}
			if tt.other {
				d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens, rec.Ancestors = pair("x"), nil })
			}
			d.store.full, d.store.sets = tt.fails, 0
			unsaved := d.rec.Tokens
			err := d.announce(t.Context(), unsaved, Want{})
			if conflict := errors.Is(err, tokenstore.ErrConflict); conflict != tt.other || !conflict && err != nil {
				t.Errorf("error %v", err)
			}
			if tried := d.store.sets > 0; tried != tt.tried {
				t.Errorf("tried to save %d times", d.store.sets)
			}
			if announced := d.stored(t).Pending.On("r2"); announced != (tt.sent != "" && tt.tried && tt.fails == nil) {
				t.Errorf("announced: %t", announced)
			}
		})
	}
}

// A token that was dead when it was issued is a failure, of which the next one is not asked
// for at once, and for ever.
func TestTokensThatAreDeadWhenTheyAreIssued(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		for n := range 3 {
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				next := pair(fmt.Sprint(n + 2))
				next.ExpiresAt = time.Now().Add(-time.Second)
				return next, nil
			}
			if err := d.renew(t); !errors.Is(err, errIssuedDead) || !errors.Is(err, oauth.ErrTransient) {
				t.Errorf("error %v; want %v", err, errIssuedDead)
			}
			if h := d.Health(); h.Failures != n+1 || h.State != StateRetrying || h.Renewed != time.Now().UTC() {
				t.Errorf("%+v", h)
			}
			if rec := d.stored(t); !rec.RefreshedAt.Equal(time.Now()) || rec.RefreshedBy != "config" || rec.Tokens.RefreshToken != fmt.Sprint("r", n+2) {
				t.Errorf("saved %s, renewed at %v by %q", rec.Tokens.RefreshToken, rec.RefreshedAt, rec.RefreshedBy)
			}
			time.Sleep(time.Minute)
		}
	})
}

// So is one that is due when it is issued, but callers get it.
func TestTokensThatAreDueWhenTheyAreIssued(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		cached := pair("2")
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return cached.Clone(), nil }
		if err := d.renew(t); err != nil || d.Health().Failures != 0 {
			t.Errorf("error %v, %d failures", err, d.Health().Failures)
		}
		time.Sleep(58 * time.Minute)
		for n := range 3 {
			if err := d.renew(t); err != nil {
				t.Errorf("error %v", err)
			}
			h := d.Health()
			if h.Failures != n+1 || h.State != StateRetrying || !errors.Is(h.Err, errIssuedDue) {
				t.Errorf("%+v", h)
			}
			if wait := d.now().Until(h.Next); wait < time.Second<<n/2 {
				t.Errorf("the next attempt in %v after %d failures", wait, n+1)
			}
			d.shows(t, "a2")
		}
		d.gives("3")
		if err := d.renew(t); err != nil || d.Health().State != StateValid || d.Health().Failures != 0 {
			t.Errorf("error %v, %+v", err, d.Health())
		}
	})
}

// A renewal ends the doubt about an old copy: what it brings is the newest.
func TestARenewalEndsTheDoubt(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.doubt.old = d.now().Add(-time.Hour)
		d.gives("2")
		if err := d.renew(t); err != nil || !d.doubt.old.IsZero() {
			t.Errorf("%v; the old copy counts since %v", err, d.doubt.old.Wall())
		}
	})
	inBubble(t, "of another account's session it does not", func(t *testing.T) {
		d := newDesk(t)
		d.store.put(t, owned("1", "alice"))
		if err := d.Begin(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Minute)
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens, rec.Ancestors = owned("x", "bob"), nil })
			return owned("2", "alice"), nil
		}
		if err := d.renew(t); err != nil {
			t.Errorf("error %v", err)
		}
		if h := d.Health(); !errors.Is(h.Err, ErrOtherAccount) {
			t.Errorf("state %v: %v; want %v", h.State, h.Err, ErrOtherAccount)
		}
		d.shows(t, of("alice"))
	})
}

// A panic of a Refresher's is a failure like others.
func TestAPanicOfARefresherIsAFailure(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { panic("x") }
		if err := d.renew(t); err == nil || d.Health().Failures != 1 {
			t.Errorf("error %v, %d failures", err, d.Health().Failures)
		}
	})
}
