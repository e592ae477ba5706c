package session

import (
	"errors"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/tokenstore"
)

// What follows from a refusal in words that do not decide, by how long it has lasted and how
// the other sessions of the server fare.
func TestWhatFollowsFromOddWords(t *testing.T) {
	odd := answer(func(e *oauth.Error) { e.Code = "odd" })
	oddly := answer(func(e *oauth.Error) { e.Kind, e.Status, e.Err = oauth.ErrTransient, 500, oauth.ErrTokenInvalid })
	others := func(n int) func(d *desk) {
		return func(d *desk) {
			for range n {
				d.cfg.Gate.Join()
			}
		}
	}
	alike := func(d *desk) {
		others(2)(d)
		refusedAlike(d, "other")
	}
	long := func(d *desk) { d.rec.Refused = refusedFor(time.Hour, 2) }
	short := func(d *desk) { d.cfg.ShortLived = true } // it ends before others come
	both := func(first, second func(d *desk)) func(d *desk) { return func(d *desk) { first(d); second(d) } }
	for name, tt := range map[string]struct {
		edit  func(d *desk)
		err   error
		state State
		told  Kind
		dead  int // how often the program hears that a login may be needed
		slow  bool
	}{
		"the first time":                 {func(*desk) {}, odd, StateRetrying, EventRefreshFailed, 0, false},
		"for long":                       {both(long, short), odd, StateSuspected, EventSuspected, 1, true},
		"for long, and others may come":  {long, odd, StateRetrying, EventRefreshFailed, 0, true},
		"for long, and others are there": {both(both(long, short), others(1)), odd, StateRetrying, EventRefreshFailed, 0, true},
		"for long, with a living token":  {func(d *desk) { version := d.rec.Version; d.fresh(pair("1")); d.rec.Version = version; long(d) }, odd, StateRetrying, EventRefreshFailed, 0, true},
		"twice, for long":                {func(d *desk) { d.rec.Refused = refusedFor(time.Hour, 1) }, odd, StateRetrying, EventRefreshFailed, 0, true},
		"often, for a while":             {func(d *desk) { d.rec.Refused = refusedFor(time.Minute, 9) }, odd, StateRetrying, EventRefreshFailed, 0, false},
		"as it was suspected":            {func(d *desk) { d.setHealth(func(h *Health) { h.State = StateSuspected }) }, odd, StateSuspected, EventRefreshFailed, 0, false},
		"among others":                   {both(long, others(2)), odd, StateRetrying, EventRefreshFailed, 0, true},
		"among others that are renewed": {func(d *desk) {
			long(d)
			others(2)(d)
			d.cfg.Gate.Note(gate.Attempt{Session: "other", ConfigID: "config", Begun: d.now(), Now: d.now()})
		}, odd, StateSuspected, EventSuspected, 1, true},
		"among others that are alike":       {both(long, alike), odd, StateRetrying, EventRefreshFailed, 0, true},
		"with 500":                          {func(*desk) {}, oddly, StateRetrying, EventRefreshFailed, 0, false},
		"with 500, for long":                {both(long, short), oddly, StateSuspected, EventSuspected, 1, true},
		"with 500, for long, among others":  {both(long, others(2)), oddly, StateRetrying, EventRefreshFailed, 0, false},
		"with 500, for long, as all others": {both(long, alike), oddly, StateRetrying, EventRefreshFailed, 0, true},
		"with 500, shortly, as all others":  {alike, oddly, StateRetrying, EventRefreshFailed, 0, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Clock = &sure{d.cfg.Clock, 0}
			d.rec = edit(d.rec)
			if d.cfg.Records = d.store; tt.edit != nil {
				tt.edit(d)
			}
			d.mark(t.Context(), func(rec *tokenstore.Record) { rec.Refused = d.refusedAgain(rec.Tokens, tt.err, oauth.VerdictUnclear) })
			d.events = nil
			err := d.unclear(t.Context(), tt.err)
			h := d.Health()
			if h.State != tt.state || h.Err != err || d.last.Kind != tt.told || d.last.Err != err || d.last.Next != h.Next || len(d.told) != tt.dead {
				t.Errorf("state %v, error %v, told %+v and %v; want %v, %v", h.State, err, d.last, d.told, tt.state, tt.told)
			}
			if suspected := errors.Is(err, ErrSuspected); suspected != (tt.dead == 1) || suspected != errors.Is(err, oauth.ErrLoginRequired) || !suspected && !errors.Is(err, oauth.ErrTransient) {
				t.Errorf("error %v", err)
			}
			if slow := d.now().Until(h.Next) == time.Hour; slow != tt.slow {
				t.Errorf("the next attempt is in %v; want an hour: %t", d.now().Until(h.Next), tt.slow)
			}
			alike := d.count(EventMisconfigured) == 1
			if want := tt.slow && tt.dead == 0 && refusedAlike(d, session) == gate.OthersAlike; alike != want || alike != (d.Health().doubted && tt.state == StateRetrying) && tt.edit != nil && want {
				t.Errorf("all being refused alike is told: %t; want %t", alike, want)
			}
			if alike {
				if _ = d.unclear(t.Context(), tt.err); d.count(EventMisconfigured) != 1 || !d.Health().inDoubt() {
					t.Errorf("events %v, in doubt: %t; want it told once", d.events, d.Health().inDoubt())
				}
			}
		})
	}
}

// refusedAlike notes at the gate that a session is refused in words that do not decide.
func refusedAlike(d *desk, name string) gate.Others {
	return d.cfg.Gate.Refuse(gate.Refusal{ConfigID: "config", Session: name, Now: d.now(), Since: d.now(), While: time.Minute})
}

// How often a refused token is tried, by itself and for callers.
func TestHowOftenARefusedTokenIsTried(t *testing.T) {
	inMinutes := func(n int) error {
		return answer(func(e *oauth.Error) { e.RetryAt = time.Now().Add(time.Duration(n) * time.Minute) })
	}
	for name, tt := range map[string]struct {
		lasted  time.Duration
		chance  float64
		err     func() error
		next    time.Duration
		callers time.Duration
		firm    time.Duration // 0: none
	}{
		"at first":                 {0, 0, nil, time.Minute, 15 * time.Second, 0},
		"at first, by luck":        {0, 0.5, nil, 57 * time.Second, 14250 * time.Millisecond, 0},
		"for a while":              {20 * time.Minute, 0, nil, 20 * time.Minute, 5 * time.Minute, 0},
		"for long":                 {2 * time.Hour, 0, nil, time.Hour, 15 * time.Minute, 0},
		"the server asks for more": {0, 0, func() error { return inMinutes(5) }, 5 * time.Minute, 15 * time.Second, 5 * time.Minute},
		"the server asks for less": {20 * time.Minute, 0, func() error { return inMinutes(5) }, 20 * time.Minute, 5 * time.Minute, 5 * time.Minute},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Clock = &sure{d.cfg.Clock, tt.chance}
			d.works(t, d.cfg.Gate)
			err := error(trouble)
			if tt.err != nil {
				err = tt.err()
			}
			d.suffer(StateSuspected, err, tt.lasted, maxRefusalWait)
			h := d.Health()
			if next, callers := d.now().Until(h.Next), d.now().Until(h.callers); next != tt.next || callers != tt.callers || h.epoch != d.cfg.Gate.Epoch() || h.State != StateSuspected {
				t.Errorf("next in %v, for callers in %v, %+v; want %v, %v", next, callers, h, tt.next, tt.callers)
			}
			if firm := d.now().Until(h.firm); h.firm.IsZero() != (tt.firm == 0) || tt.firm != 0 && firm != tt.firm {
				t.Errorf("at the earliest in %v; want %v", firm, tt.firm)
			}
		})
	}
	for name, tt := range map[string]struct {
		mark  *tokenstore.Mark
		since time.Duration
		want  time.Duration
	}{
		"nothing is known": {nil, 0, 0}, "by this run": {nil, time.Hour, time.Hour}, "by the record": {refusedFor(time.Hour, 1), 0, time.Hour},
		"the record more": {refusedFor(time.Hour, 1), time.Minute, time.Hour}, "this run more": {refusedFor(time.Minute, 1), time.Hour, time.Hour},
		"by a clock that was set back": {refusedFor(-time.Hour, 1), 0, time.Hour},
	} {
		inBubble(t, "for how long, "+name, func(t *testing.T) {
			d := newDesk(t)
			d.rec.Refused = tt.mark
			if tt.since > 0 {
				d.setHealth(func(h *Health) { h.since = d.now().Add(-tt.since) })
			}
			if got := d.lasting(); got != tt.want {
				t.Errorf("it lasts for %v; want %v", got, tt.want)
			}
		})
	}
}

// What is noted of a refusal that is not the first.
func TestWhatIsNotedOfAnotherRefusal(t *testing.T) {
	const hour = time.Hour
	known := func(edit func(m *tokenstore.Mark)) *tokenstore.Mark {
		m := refusedFor(hour, 4)
		edit(m)
		return m
	}
	unread := func(m *tokenstore.Mark) { m.Code = codeUnread }
	certain := func(m *tokenstore.Mark) { m.Certain = true }
	for name, tt := range map[string]struct {
		old     func() *tokenstore.Mark
		verdict oauth.Verdict
		count   int
		ago     time.Duration
		code    string
		certain bool
	}{
		"the first":               {nil, oauth.VerdictUnclear, 1, 0, "odd", false},
		"one more":                {func() *tokenstore.Mark { return known(func(*tokenstore.Mark) {}) }, oauth.VerdictUnclear, 5, hour, "odd", false},
		"of another token":        {func() *tokenstore.Mark { return known(func(m *tokenstore.Mark) { m.Token = "x" }) }, oauth.VerdictUnclear, 1, 0, "odd", false},
		"by another client":       {func() *tokenstore.Mark { return known(func(m *tokenstore.Mark) { m.By = "x" }) }, oauth.VerdictUnclear, 1, 0, "odd", false},
		"an end, after odd words": {func() *tokenstore.Mark { return known(func(*tokenstore.Mark) {}) }, oauth.VerdictEnded, 1, 0, "odd", true},
		"an end, again":           {func() *tokenstore.Mark { return known(certain) }, oauth.VerdictEnded, 5, hour, "odd", true},
		"odd words, after an end": {func() *tokenstore.Mark { return known(certain) }, oauth.VerdictUnclear, 5, hour, "odd", false},
		"tokens nobody finds":     {nil, oauth.VerdictUnread, 1, 0, codeUnread, false},
		"the same again":          {func() *tokenstore.Mark { return known(unread) }, oauth.VerdictUnread, 5, hour, codeUnread, false},
		"odd words after that":    {func() *tokenstore.Mark { return known(unread) }, oauth.VerdictUnclear, 5, hour, codeUnread, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			if tt.old != nil {
				d.rec.Refused = tt.old()
			}
			m := d.refusedAgain(d.rec.Tokens, answer(func(e *oauth.Error) { e.Code = "odd" }), tt.verdict)
			if m.Count != tt.count || !m.At.Equal(time.Now().Add(-tt.ago)) || !m.Last.Equal(time.Now()) || m.Code != tt.code || m.Certain != tt.certain || m.By != "config" || !m.On("r1") {
				t.Errorf("%+v; want %+v", m, tt)
			}
			d.rec.Refused = m
			if d.unread() != (tt.code == codeUnread) {
				t.Errorf("unread: %t", d.unread())
			}
			if got := d.refusedAt(); got != d.now().Add(-tt.ago) {
				t.Errorf("refused since %v ago; want %v", d.now().Since(got), tt.ago)
			}
		})
	}
	inBubble(t, "nothing", func(t *testing.T) {
		d := newDesk(t)
		if d.unread() || d.refusedAt() != d.now() {
			t.Errorf("unread: %t, refused since %v", d.unread(), d.refusedAt().Wall())
		}
		if d.rec = nil; d.unread() {
			t.Error("no session is unread")
		}
	})
}

// A client that is refused is told of once for all sessions. Of a session that stands alone
// it says little, unless it was in order before and that has lasted for an hour.
func TestWhatFollowsFromARefusedClient(t *testing.T) {
	before := func(d *desk) { d.rec.RefreshedAt, d.rec.RefreshedBy = time.Now().Add(-5*time.Hour), "config" }
	long := func(d *desk) { d.rec.Refused = refusedFor(time.Hour+1, 3) }
	short := func(d *desk) { d.cfg.ShortLived = true } // it ends before others come
	both := func(edits ...func(d *desk)) func(d *desk) {
		return func(d *desk) {
			for _, edit := range edits {
				edit(d)
			}
		}
	}
	secret := answer(func(e *oauth.Error) { e.Code, e.Status, e.Err = "invalid_client", 401, oauth.ErrClientSecretExpired })
	for name, tt := range map[string]struct {
		edit  func(d *desk)
		err   error
		state State
	}{
		"at once":                       {both(before), refusedClient, StateMisconfigured},
		"for long":                      {both(before, long, short), refusedClient, StateSuspected},
		"for long, and others may come": {both(before, long), refusedClient, StateMisconfigured},
		"for an hour":                   {both(before, short, func(d *desk) { d.rec.Refused = refusedFor(time.Hour, 3) }), refusedClient, StateMisconfigured},
		"for long, never renewed":       {both(long, short), refusedClient, StateMisconfigured},
		"for long, by another client":   {both(before, long, short, func(d *desk) { d.rec.RefreshedBy = "x" }), refusedClient, StateMisconfigured},
		"for long, never, by this one":  {both(long, short, func(d *desk) { d.rec.RefreshedBy = "config" }), refusedClient, StateMisconfigured},
		"for long, among others":        {both(before, long, short, func(d *desk) { d.cfg.Gate.Join() }), refusedClient, StateMisconfigured},
		"for long, with a living token": {both(func(d *desk) { d.fresh(pair("1")) }, before, long, short), refusedClient, StateMisconfigured},
		"for long, as its secret ended": {both(before, long, short), secret, StateMisconfigured},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Clock = &sure{d.cfg.Clock, 0}
			d.rec = edit(d.rec)
			tt.edit(d)
			for range 2 {
				d.refuseClient(t.Context(), tt.err)
				err := d.clientRefused(tt.err)
				h := d.Health()
				if h.State != tt.state || (tt.state == StateSuspected) != errors.Is(err, ErrSuspected) {
					t.Errorf("state %v, error %v; want %v", h.State, err, tt.state)
				}
				if tt.state == StateMisconfigured && d.now().Until(h.Next) > 10*time.Minute {
					t.Errorf("the next attempt is in %v; want ten minutes at most", d.now().Until(h.Next))
				}
				if told := d.count(EventMisconfigured); told != map[State]int{StateMisconfigured: 1}[tt.state] {
					t.Errorf("told %d times", told)
				}
			}
		})
	}
}

// A session with a long-lived token among others is not enough to say that the client is
// refused, and other processes hear of it from two sessions only.
func TestWhoseMatterARefusedClientIs(t *testing.T) {
	for name, tt := range map[string]struct {
		life    time.Duration // 0: not known
		renewed time.Duration // ago, any session
		want    bool          // at the second refusal
	}{
		"long before":           {time.Hour, time.Hour + 1, true},
		"within its life":       {time.Hour, time.Hour, false},
		"a life not known":      {0, time.Hour, false},
		"the same, long before": {0, time.Hour + 1, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Gate.Join()
			d.rec = edit(d.rec)
			d.rec.Tokens = pair("1")
			if tt.life == 0 {
				d.rec.Tokens.ExpiresAt = time.Time{}
			}
			d.cfg.Gate.Note(gate.Attempt{Session: "other", ConfigID: "config", Begun: d.now(), Now: d.now().Add(-tt.renewed)})
			if d.refuseClient(t.Context(), refusedClient) {
				t.Error("one refusal is enough")
			}
			if got := d.refuseClient(t.Context(), refusedClient); got != tt.want {
				t.Errorf("it is the client: %t; want %t", got, tt.want)
			}
			_, err := d.store.Memory.Get(t.Context(), tokenstore.ServerRecord("as"))
			if err == nil {
				t.Error("others are told of what one session has met")
			}
			d.cfg.Gate.RefuseClient(gate.Refusal{ConfigID: "config", Session: "other", Err: refusedClient, Now: d.now(), Since: d.now(), Interval: time.Minute})
			d.refuseClient(t.Context(), refusedClient)
			if _, err := d.store.Memory.Get(t.Context(), tokenstore.ServerRecord("as")); err != nil {
				t.Errorf("others are not told of what two have met: %v", err)
			}
		})
	}
}

// When a session is tried next: by itself, for a caller, and after a success of another one
// has shown that the server is not what it was.
func TestWhenASessionIsTriedNext(t *testing.T) {
	for name, tt := range map[string]struct {
		next, callers, firm time.Duration // 0: none
		cleared             bool
		own, caller         time.Duration
	}{
		"by itself":                       {time.Hour, time.Minute, 0, false, time.Hour, time.Minute},
		"a caller is no sooner":           {time.Minute, time.Hour, 0, false, time.Minute, time.Minute},
		"the server asked for more":       {time.Minute, time.Second, time.Hour, false, time.Hour, time.Hour},
		"the server asked for less":       {time.Hour, time.Minute, time.Second, false, time.Hour, time.Minute},
		"another one is renewed":          {time.Hour, time.Minute, 0, true, 0, 0},
		"another one is, but it is asked": {time.Hour, time.Minute, time.Second, true, time.Second, time.Second},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			in := func(wait time.Duration) (at Health) {
				if wait > 0 {
					at.Next = d.now().Add(wait)
				}
				return at
			}
			if tt.cleared {
				d.cfg.Gate.RefuseClient(gate.Refusal{ConfigID: "config", Session: "x", Err: refusedClient, Now: d.now(), Interval: time.Minute})
				d.works(t, d.cfg.Gate)
			}
			d.setHealth(func(h *Health) {
				h.Err, h.Next, h.callers, h.firm = trouble, in(tt.next).Next, in(tt.callers).Next, in(tt.firm).Next
			})
			h := d.Health()
			for _, w := range []Want{{}, {Force: true}, {Rejected: true}, {Insist: true}} {
				want := in(tt.own).Next
				if w.Force || w.Rejected {
					want = in(tt.caller).Next
				}
				if got := d.nextFor(w, h); got != want {
					t.Errorf("%+v: in %v; want %v", w, d.now().Until(got), d.now().Until(want))
				}
			}
			if wait := d.WaitFor(h); wait != d.now().Until(in(tt.caller).Next) {
				t.Errorf("a caller waits for %v; want %v", wait, tt.caller)
			}
			d.setHealth(func(h *Health) { h.Err = nil })
			if d.cleared(d.Health()) {
				t.Error("a session without trouble is cleared of it")
			}
		})
	}
}

// A session that was in doubt and is good again is told, and its grant heard of anew.
func TestASessionThatIsGoodAgainIsTold(t *testing.T) {
	for _, tt := range []struct {
		before Health
		want   bool
	}{
		{Health{State: StateRetrying}, false}, {Health{State: StateRetrying, doubted: true}, true},
		{Health{State: StateSuspected}, true}, {Health{State: StateMisconfigured}, true}, {Health{State: StateValid}, false},
	} {
		inBubble(t, string(tt.before.State), func(t *testing.T) {
			d := newDesk(t)
			d.reported = "grant"
			d.lifted(&tt.before)
			if told := d.count(EventRecovered) == 1; told != tt.want || (d.reported == "") != tt.want {
				t.Errorf("told: %t, reported %q; want %t", told, d.reported, tt.want)
			}
		})
	}
}

// A failure keeps what was in doubt so, and when the trouble began.
func TestWhatAFailureKeeps(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		first := d.now()
		h := Health{State: StateSuspected, vain: true}
		h.fail(first, trouble)
		if !h.doubted || h.vain || h.since != first || h.Failures != 1 {
			t.Errorf("%+v", h)
		}
		h.State = StateRetrying
		h.fail(first.Add(time.Minute), lost)
		if !h.doubted || h.since != first || h.failed != first.Add(time.Minute) || h.Failures != 2 || h.Err != error(lost) {
			t.Errorf("%+v", h)
		}
		h.Unsaved, h.saves, h.saveAt = trouble, 2, first
		h.renew(first.Wall())
		if want := (Health{State: StateValid, Renewed: first.Wall(), Unsaved: trouble, saves: 2, saveAt: first}); h != want {
			t.Errorf("%+v; want %+v", h, want)
		}
	})
}

// What another session's login would mend is not said of a pair that is asked for anew.
func TestAPairThatIsAskedForAnewNeedsNoLogin(t *testing.T) {
	anew := &oauth.TokenPair{GrantType: oauth.GrantTypeClientCredentials}
	c := &Config{RenewsGrant: func(grant string) bool { return grant == oauth.GrantTypeClientCredentials }}
	for name, tt := range map[string]struct {
		pair *oauth.TokenPair
		err  error
		want error
	}{
		"a login":                 {pair("1"), ended, oauth.ErrLoginRequired},
		"anew":                    {anew, ended, oauth.ErrMisconfigured},
		"anew, other trouble":     {anew, trouble, trouble},
		"anew, without an error":  {anew, nil, nil},
		"no grant, no token":      {&oauth.TokenPair{}, ended, oauth.ErrLoginRequired},
		"a grant and a token":     {&oauth.TokenPair{RefreshToken: "r", GrantType: oauth.GrantTypeClientCredentials}, ended, oauth.ErrLoginRequired},
		"a grant of another kind": {&oauth.TokenPair{GrantType: "x"}, ended, oauth.ErrLoginRequired},
	} {
		got := c.withoutLogin(tt.pair, tt.err)
		if !errors.Is(got, tt.want) || (got == nil) != (tt.want == nil) || tt.want == oauth.ErrMisconfigured && (errors.Is(got, oauth.ErrLoginRequired) || failure.Code(got) != "") {
			t.Errorf("%s: %v; want %v", name, got, tt.want)
		}
	}
}
