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
	"github.com/evertoken/evertoken/tokenstore"
)

// answers makes the server fail with an error.
func (d *desk) answers(err error) {
	d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return nil, err }
}

// answer is what the server says, under the status 400 if edit does not choose another.
func answer(edit func(e *oauth.Error)) *oauth.Error {
	e := &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Status: 400, Sent: true}
	if edit != nil {
		edit(e)
	}
	return e
}

// What an answer leaves in the record: whether the announcement stays, and what is noted of
// a refusal.
func TestWhatAnAnswerLeavesInTheRecord(t *testing.T) {
	lost := func(t *testing.T, d *desk) { d.abandoned(t) }
	tokenless := func(_ *testing.T, d *desk) { d.cfg.Tokenless = true }
	oneTime := func(_ *testing.T, d *desk) { d.cfg.Grace = -1 }
	lately := func(t *testing.T, d *desk) {
		d.store.edit(t, func(rec *tokenstore.Record) { rec.RefreshedAt = time.Now() })
	}
	earlier := func(t *testing.T, d *desk) {
		d.store.edit(t, func(rec *tokenstore.Record) { rec.Refused, rec.Dead = refusedFor(time.Hour, 1), refusedFor(0, 0) })
	}
	odd := answer(func(e *oauth.Error) { e.Code = "odd" })
	noToken := answer(func(e *oauth.Error) { e.Status, e.Err, e.Kind = 200, oauth.ErrNoToken, oauth.ErrTransient })
	unread := answer(func(e *oauth.Error) { e.Status, e.Err = 200, oauth.ErrUnreadAnswer })
	gateway := answer(func(e *oauth.Error) { e.Kind, e.Status, e.Page = oauth.ErrTransient, 502, true })
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk)
		err    error
		stays  bool   // the announcement
		code   string // of the refusal, "-" for none
		count  int
		state  State
	}{
		"it does not work":               {nil, trouble, false, "-", 0, StateRetrying},
		"it does not work, after a loss": {lost, trouble, true, "-", 0, StateRetrying},
		"a gateway":                      {nil, gateway, true, "-", 0, StateRetrying},
		"odd words":                      {nil, odd, false, "odd", 1, StateRetrying},
		"odd words, after a loss":        {lost, odd, true, "odd", 1, StateRetrying},
		"odd words again":                {earlier, odd, false, "odd", 2, StateRetrying},
		"odd words, of no grant":         {tokenless, odd, false, "-", 0, StateMisconfigured},
		"the client":                     {nil, refusedClient, false, "invalid_client", 1, StateMisconfigured},
		"the client, of no grant":        {tokenless, refusedClient, false, "-", 0, StateMisconfigured},
		"an end, lately renewed":         {lately, ended, false, "invalid_grant", 1, StateRetrying},
		"an end, of no grant":            {func(t *testing.T, d *desk) { tokenless(t, d); lately(t, d) }, ended, false, "-", 0, StateMisconfigured},
		"an end":                         {nil, ended, false, "-", 0, StateLoginRequired},
		"tokens nobody finds":            {nil, unread, false, codeUnread, 1, StateMisconfigured},
		"tokens nobody finds, a loss":    {lost, unread, false, codeUnread, 1, StateMisconfigured},
		"no token":                       {nil, noToken, false, "", 1, StateRetrying},
		"no token, once and for all":     {oneTime, noToken, true, "", 1, StateRetrying},
		"no work, once and for all":      {oneTime, trouble, false, "-", 0, StateRetrying},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			if tt.before != nil {
				tt.before(t, d)
			}
			d.answers(tt.err)
			if err := d.renew(t); err == nil {
				t.Error("no error")
			}
			rec, code, count := d.stored(t), "-", 0
			if rec.Refused != nil {
				code, count = rec.Refused.Code, rec.Refused.Count
			}
			if stays := rec.Pending != nil; stays != tt.stays || code != tt.code || count != tt.count {
				t.Errorf("announced %t, refused %q %d times; want %t, %q, %d", stays, code, count, tt.stays, tt.code, tt.count)
			}
			if certain := rec.Refused != nil && rec.Refused.Certain; certain != (tt.err == error(ended) && tt.state == StateRetrying) {
				t.Errorf("certain: %t", certain)
			}
			if h := d.Health(); h.State != tt.state || rec.Dead != nil != (tt.state == StateLoginRequired) {
				t.Errorf("state %v: %v; verdict %v; want %v", h.State, h.Err, rec.Dead, tt.state)
			}
			if got := d.unanswered != ""; got != tt.stays {
				t.Errorf("it is perhaps spent: %t; want %t", got, tt.stays)
			}
		})
	}
}

// A wait that the server asks for begins with its answer, and is written down.
func TestAWaitBeginsWithTheAnswer(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		const wait = 20 * time.Second
		answered := d.now()
		d.answers(answer(func(e *oauth.Error) {
			e.Kind, e.Status, e.RetryAt = oauth.ErrTransient, 429, time.Now().Add(wait)
		}))
		if err := d.renew(t); err == nil {
			t.Error("no error")
		}
		rec := d.stored(t)
		if !rec.NotBefore.Equal(answered.Wall().Add(wait)) || !rec.AskedAt.Equal(answered.Wall()) {
			t.Errorf("noted until %v, at %v", rec.NotBefore, rec.AskedAt)
		}
		wall, mono := answered.Parts()
		later := moment.FromParts(wall-int64(time.Hour), mono+int64(10*time.Second)) // the clock was set back
		if left := later.Until(d.leftAlone.End(askedWait(rec), later)); left != 10*time.Second {
			t.Errorf("ten seconds later %v are left", left)
		}
		if h := d.Health(); d.now().Until(h.Next) < wait || d.now().Until(h.firm) != wait {
			t.Errorf("the next attempt is in %v, in %v at the earliest", d.now().Until(h.Next), d.now().Until(h.firm))
		}
	})
}

// The longest wait that the server asks for counts.
func TestTheLongestWaitCounts(t *testing.T) {
	for name, tt := range map[string]struct{ before, at, want time.Duration }{
		"none before":      {0, time.Minute, time.Minute},
		"a shorter one":    {time.Second, time.Minute, time.Minute},
		"a longer one":     {2 * time.Minute, time.Minute, 2 * time.Minute},
		"one that is over": {-time.Minute, time.Second, time.Second},
	} {
		inBubble(t, name, func(t *testing.T) {
			d, now := newDesk(t), time.Now()
			rec := new(tokenstore.Record)
			if tt.before != 0 {
				rec.NotBefore, rec.AskedAt = now.Add(tt.before), now.Add(-time.Hour)
			}
			asked := rec.AskedAt
			d.noteAsked(rec, now.Add(tt.at))
			if got := rec.NotBefore.Sub(now); got != tt.want || tt.before <= tt.at != rec.AskedAt.Equal(now) || tt.before > tt.at && !rec.AskedAt.Equal(asked) {
				t.Errorf("until %v, asked %v ago; want %v", got, now.Sub(rec.AskedAt), tt.want)
			}
		})
	}
}

// The wait that another process has left in the record is this one's, too. One from before
// the clock was set back is written anew for those that come later.
func TestAWaitInTheRecordIsObeyed(t *testing.T) {
	before := errors.New("before")
	for name, tt := range map[string]struct {
		asked time.Duration // ago
		edit  func(h *Health, now moment.Instant)
		err   error
		next  time.Duration
		anew  bool
	}{
		"at first":                     {asked: 10 * time.Second, next: 30 * time.Second},
		"just now":                     {asked: 0, next: 40 * time.Second},
		"before the clock went back":   {asked: -time.Hour, next: 40 * time.Second, anew: true},
		"after a failure":              {asked: 10 * time.Second, edit: func(h *Health, _ moment.Instant) { h.State, h.Err = StateSuspected, before }, err: before, next: 30 * time.Second},
		"after one with a longer one":  {asked: 10 * time.Second, edit: func(h *Health, now moment.Instant) { h.Next, h.firm = now.Add(time.Hour), now.Add(time.Hour) }, next: time.Hour},
		"after one with a shorter one": {asked: 10 * time.Second, edit: func(h *Health, now moment.Instant) { h.Next, h.firm = now.Add(1), now.Add(1) }, next: 30 * time.Second},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			asked := time.Now().Add(-tt.asked)
			d.store.edit(t, func(rec *tokenstore.Record) { rec.AskedAt, rec.NotBefore = asked, asked.Add(40*time.Second) })
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tt.edit != nil {
				d.setHealth(func(h *Health) { tt.edit(h, d.now()) })
			}
			d.gives("2")
			err := d.renew(t)
			d.sends(t)
			h := d.Health()
			if tt.err != nil && (err != tt.err || h.State != StateSuspected) || tt.err == nil && (!errors.Is(err, oauth.ErrTransient) || h.State != StateRetrying || failure.RetryAt(err, time.Now()).IsZero()) {
				t.Errorf("error %v, state %v; want %v", err, h.State, tt.err)
			}
			if next, firm := d.now().Until(h.Next), d.now().Until(h.firm); next != tt.next || firm != tt.next {
				t.Errorf("the next attempt is in %v, in %v at the earliest; want %v", next, firm, tt.next)
			}
			rec := d.stored(t)
			if anew := rec.AskedAt.Equal(time.Now()) && time.Until(rec.NotBefore) == 40*time.Second; anew != (tt.anew || tt.asked == 0) || !anew && !rec.AskedAt.Equal(asked) {
				t.Errorf("written anew: asked %v ago, for %v", time.Since(rec.AskedAt), time.Until(rec.NotBefore))
			}
		})
	}
}

// Why a session is not renewed by itself, whatever the server would say.
func TestWhatKeepsASessionFromBeingRenewed(t *testing.T) {
	for name, tt := range map[string]struct {
		edit  func(t *testing.T, d *desk)
		err   error
		state State
		told  int
	}{
		"it has ended":      {func(_ *testing.T, d *desk) { d.declareDead(ended); d.told = nil }, ended, StateLoginRequired, 0},
		"it is paused":      {func(_ *testing.T, d *desk) { d.cfg.Paused = true }, ErrPaused, StateValid, 0},
		"it is followed":    {func(_ *testing.T, d *desk) { d.cfg.Follower = true }, errOwnerLate, StateRetrying, 0},
		"it was logged out": {func(t *testing.T, d *desk) { d.store.remove(t) }, ErrLoggedOut, StateLoggedOut, 0},
		"there is no token": {func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens.RefreshToken = "" })
		}, oauth.ErrRefreshTokenRequired, StateLoginRequired, 1},
		"it is not renewable": {func(t *testing.T, d *desk) { d.store.edit(t, credentials) }, oauth.ErrMisconfigured, StateMisconfigured, 0},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			tt.edit(t, d)
			d.gives("2")
			if err := d.renew(t); !errors.Is(err, tt.err) {
				t.Errorf("error %v; want %v", err, tt.err)
			}
			d.sends(t)
			if h := d.Health(); h.State != tt.state || len(d.told) != tt.told {
				t.Errorf("state %v, told %v; want %v", h.State, d.told, tt.state)
			}
		})
	}
}

// The first pair of a session that needs no login is the session's own, whatever is asked
// for.
func TestTheSessionsOwnPairComesFirst(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t, func(d *desk) { d.cfg.Tokenless = true })
		d.store.remove(t)
		if err := d.again(t, nil); err != nil {
			t.Fatal(err)
		}
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			if _, err := d.store.Memory.Get(t.Context(), session); !errors.Is(err, tokenstore.ErrNotFound) {
				t.Errorf("a session without a pair is saved: %v", err)
			}
			return pair("2"), nil
		}
		if err := d.Renew(t.Context(), new(run), Want{Resource: "https://api", Force: true}); err != nil {
			t.Fatal(err)
		}
		d.shows(t, "a2")
		if d.currentFor("https://api") != nil {
			t.Error("it counts as the resource's")
		}
	})
}

// With the lock, a session that cannot be read is not renewed unless the program wants that.
func TestASessionThatCannotBeReadUnderTheLock(t *testing.T) {
	for _, local := range []bool{false, true} {
		inBubble(t, fmt.Sprint(local), func(t *testing.T) {
			d := newDesk(t)
			d.cfg.LocalWhenUnavailable = local
			d.store.lease = func(l tokenstore.Lease) tokenstore.Lease { d.store.fails = tokenstore.ErrUnavailable; return l }
			d.gives("2")
			if err := d.renew(t); (err == nil) != local || !local && !errors.Is(err, tokenstore.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
			if sent := len(d.sent) == 1; sent != local {
				t.Errorf("sent %v", d.sent)
			}
		})
	}
	inBubble(t, "a process that goes on has no pair to save first", func(t *testing.T) {
		d := newDesk(t)
		d.unsavedPair(t, pair("2"))
		d.releaseKept()
		time.Sleep(90 * time.Minute)
		d.store.full = errors.New("no room")
		d.gives("3")
		if err := d.renew(t); err != nil {
			t.Errorf("error %v", err)
		}
		d.sends(t, "r1", "r2")
	})
}

// When a word that ends the session is to be heard again.
func TestWhichWordsAreHeardAgain(t *testing.T) {
	of := func(life time.Duration) *oauth.TokenPair {
		p := pair("1")
		p.ExpiresAt = p.IssuedAt.Add(life)
		return p
	}
	first := func(ago time.Duration, certain bool) func(d *desk) {
		return func(d *desk) {
			d.rec.Refused = refusedFor(ago, 1)
			d.rec.Refused.Certain = certain
		}
	}
	renewed := func(ago time.Duration) func(d *desk) {
		return func(d *desk) { d.rec.RefreshedAt = time.Now().Add(-ago) }
	}
	for name, tt := range map[string]struct {
		edit func(d *desk)
		pair *oauth.TokenPair
		lost bool
		want bool
	}{
		"never renewed":                     {func(*desk) {}, of(time.Hour), false, false},
		"an answer is lost":                 {func(*desk) {}, of(time.Hour), true, true},
		"lost, and renewed long ago":        {renewed(time.Hour), of(time.Hour), true, true},
		"renewed a moment ago":              {renewed(time.Minute - 1), of(time.Hour), false, true},
		"renewed a minute ago":              {renewed(time.Minute), of(time.Hour), false, false},
		"renewed by a clock ahead":          {renewed(-time.Minute + 1), of(time.Hour), false, true},
		"renewed by one further ahead":      {renewed(-time.Minute), of(time.Hour), false, false},
		"a short life":                      {renewed(10*time.Second - 1), of(30 * time.Second), false, true},
		"a short life, over":                {renewed(10 * time.Second), of(30 * time.Second), false, false},
		"a life that ended before it began": {renewed(0), of(-time.Hour), false, false},
		"a life that is not known":          {renewed(time.Minute - 1), &oauth.TokenPair{RefreshToken: "r1"}, false, true},
		"heard a moment ago":                {first(time.Minute-1, true), of(time.Hour), false, true},
		"heard a minute ago":                {first(time.Minute, true), of(time.Hour), false, false},
		"heard a minute ago, and lost":      {first(time.Minute, true), of(time.Hour), true, false},
		"other words a moment ago":          {first(time.Second, false), of(time.Hour), false, false},
		"other words, lost":                 {first(time.Hour, false), of(time.Hour), true, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			tt.edit(d)
			if got := d.doubted(tt.pair, tt.lost); got != tt.want {
				t.Errorf("to be heard again: %t; want %t", got, tt.want)
			}
		})
	}
	inBubble(t, "when", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Clock = &sure{d.cfg.Clock, 0}
		d.store.edit(t, func(rec *tokenstore.Record) { rec.RefreshedAt = time.Now() })
		d.answers(ended)
		begun := d.now()
		if err := d.renew(t); !errors.Is(err, oauth.ErrTransient) || !errors.Is(err, errDoubted) || failure.Code(err) != "invalid_grant" {
			t.Errorf("error %v", err)
		}
		h := d.Health()
		if want := begun.Add(time.Minute); h.Next != want || h.firm != want || h.Failures != 1 || h.State != StateRetrying || d.count(EventRefreshFailed) != 1 {
			t.Errorf("heard again in %v, %+v", begun.Until(h.Next), h)
		}
		d.setHealth(func(h *Health) { h.Failures = 20 })
		d.cfg.CheckInterval = time.Hour // backing off for longer
		if _ = d.awaitSecondOpinion(t.Context(), d.rec.Tokens, ended); begun.Until(d.Health().Next) != 30*time.Minute {
			t.Errorf("after many failures it is heard again in %v; want 30m", begun.Until(d.Health().Next))
		}
	})
	inBubble(t, "in the end it says why", func(t *testing.T) {
		d := newDesk(t)
		d.abandoned(t)
		d.answers(ended)
		_ = d.renew(t)
		time.Sleep(2 * time.Minute)
		if err := d.renew(t); !errors.Is(err, errAnswerLost) || !errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("error %v; want %v", err, errAnswerLost)
		}
	})
}

// A token that may be spent at a server that never takes it again waits for news of others,
// and for its own end.
func TestATokenThatIsNeverTakenAgain(t *testing.T) {
	announced := func(ago time.Duration) func(t *testing.T, d *desk) {
		return func(t *testing.T, d *desk) { d.abandoned(t); time.Sleep(ago) }
	}
	living := func(ago time.Duration) func(t *testing.T, d *desk) {
		return func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) {
				rec.Tokens = pair("1")
				rec.Tokens.AccessToken = "living"
			})
			announced(ago)(t, d)
		}
	}
	endless := func(t *testing.T, d *desk) {
		d.store.edit(t, func(rec *tokenstore.Record) {
			rec.Tokens = pair("1")
			rec.Tokens.AccessToken, rec.Tokens.ExpiresAt, rec.Tokens.ExpiresIn = "endless", time.Time{}, 0
		})
		announced(time.Hour)(t, d)
	}
	const within = 2 * time.Minute
	for name, tt := range map[string]struct {
		before   func(t *testing.T, d *desk)
		rejected bool
		state    State
		next     time.Duration
	}{
		"a moment ago":              {announced(time.Second), false, StateRetrying, within - time.Second},
		"nearly long enough ago":    {announced(within - time.Second), false, StateRetrying, 2 * time.Second},
		"long enough ago":           {announced(within), false, StateLoginRequired, 0},
		"a living token":            {living(time.Second), false, StateRetrying, time.Hour - time.Second},
		"a living token, long ago":  {living(within), false, StateRetrying, time.Hour - within},
		"rejected":                  {living(time.Second), true, StateRetrying, within - time.Second},
		"rejected, and long enough": {living(within), true, StateLoginRequired, 0},
		"one without an end":        {endless, false, StateRetrying, 2 * time.Second},
		"ours, unanswered":          {func(_ *testing.T, d *desk) { d.unanswered = tokenstore.Fingerprint("r1") }, false, StateLoginRequired, 0},
		"ours, unanswered, living": {func(t *testing.T, d *desk) {
			living(0)(t, d)
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Pending = nil })
			d.unanswered = tokenstore.Fingerprint("r1")
		}, false, StateRetrying, time.Hour},
		"another's is unanswered": {func(_ *testing.T, d *desk) { d.unanswered = tokenstore.Fingerprint("x") }, false, StateValid, 0},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Grace = -1
			tt.before(t, d)
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.gives("2")
			begun := d.now()
			err := d.Renew(t.Context(), new(run), Want{Stale: d.cur.Load(), Force: true, Rejected: tt.rejected})
			h := d.Health()
			if h.State != tt.state || (tt.state != StateValid) != errors.Is(err, errNotAgain) || err != nil && err != h.Err {
				t.Errorf("state %v, error %v; want %v", h.State, err, tt.state)
			}
			if tt.state != StateValid {
				d.sends(t)
			} else {
				d.sends(t, "r1")
			}
			if got := begun.Until(h.Next); tt.next != 0 && (got != tt.next || h.firm != h.Next || !errors.Is(err, oauth.ErrTransient)) {
				t.Errorf("looked at again in %v; want %v", got, tt.next)
			}
			if tt.state == StateRetrying {
				first := h.Err
				time.Sleep(time.Second)
				if d.stillUnanswered(Want{Rejected: tt.rejected}); d.Health().Err != first && d.Health().State == StateRetrying {
					t.Error("the reason is another one at each look")
				}
			}
		})
	}
	inBubble(t, "the state that was before does not stay", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Grace = -1
		d.abandoned(t)
		if err := d.Adopt(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.setHealth(func(h *Health) { h.State, h.Err = StateMisconfigured, trouble })
		if err := d.stillUnanswered(Want{}); !errors.Is(err, errNotAgain) || d.Health().State != StateRetrying {
			t.Errorf("error %v, state %v", err, d.Health().State)
		}
	})
}

// A mistake in the configuration is told once, until something else happens.
func TestAMistakeIsToldOnce(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Clock = &sure{d.cfg.Clock, 0}
		for i, want := range []int{1, 1} {
			if err := d.misconfigured(trouble); err != trouble || d.count(EventMisconfigured) != want || d.last.Next != d.Health().Next && i == 0 {
				t.Errorf("%d: %v, told %d times, with %+v", i, err, d.count(EventMisconfigured), d.last)
			}
		}
		d.setHealth(func(h *Health) { h.State = StateRetrying })
		if _ = d.misconfigured(trouble); d.count(EventMisconfigured) != 2 {
			t.Errorf("told %d times; want it told again", d.count(EventMisconfigured))
		}
	})
}

// The program hears of a grant once, and of a session without a refresh token each time.
func TestTheProgramHearsOfAGrantOnce(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		for _, tt := range []struct {
			token string
			told  int
		}{{"r1", 1}, {"r1", 1}, {"r2", 2}, {"", 3}, {"", 4}, {"r2", 5}} {
			d.rec = at(tt.token, 0, 1)
			if d.declareDead(ended); len(d.told) != tt.told || d.count(EventLoginRequired) != tt.told {
				t.Errorf("%q: told %d times, events %v; want %d", tt.token, len(d.told), d.events, tt.told)
			}
		}
	})
}

// Right before the program is told that a login is needed it is made sure that it still is.
func TestWhetherALoginIsStillNeeded(t *testing.T) {
	grant := tokenstore.Fingerprint("r1")
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk)
		grant  string
		want   bool
		err    error
	}{
		"it is":               {func(_ *testing.T, d *desk) { d.declareDead(ended) }, grant, true, nil},
		"it is suspected":     {func(_ *testing.T, d *desk) { d.setHealth(func(h *Health) { h.State = StateSuspected }) }, grant, true, nil},
		"it is retried":       {func(_ *testing.T, d *desk) { d.setHealth(func(h *Health) { h.State = StateRetrying }) }, grant, false, nil},
		"another grant":       {func(_ *testing.T, d *desk) { d.declareDead(ended) }, "x", false, nil},
		"renewed elsewhere":   {func(t *testing.T, d *desk) { d.declareDead(ended); d.store.put(t, pair("2")) }, grant, false, nil},
		"logged out":          {func(t *testing.T, d *desk) { d.declareDead(ended); d.store.remove(t) }, grant, false, nil},
		"of another account":  {func(_ *testing.T, d *desk) { d.displace() }, grant, false, nil},
		"the Store is away":   {func(_ *testing.T, d *desk) { d.declareDead(ended); d.store.fails = tokenstore.ErrUnavailable }, grant, true, tokenstore.ErrUnavailable},
		"away, another grant": {func(_ *testing.T, d *desk) { d.declareDead(ended); d.store.fails = tokenstore.ErrUnavailable }, "x", false, tokenstore.ErrUnavailable},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			tt.before(t, d)
			still, err := d.StillRefused(t.Context(), tt.grant)
			if still != tt.want || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("still needed: %t, %v; want %t, %v", still, err, tt.want, tt.err)
			}
		})
	}
}

// When a failed attempt is followed by the next one, by itself and for callers.
func TestWhenAFailedAttemptIsFollowedByTheNext(t *testing.T) {
	living := func(left time.Duration) func(d *desk) {
		return func(d *desk) { d.fresh(pair("1")); time.Sleep(time.Hour - left) }
	}
	failing := func(n int, since time.Duration) func(d *desk) {
		return func(d *desk) {
			d.setHealth(func(h *Health) { h.Failures, h.since = n, d.now().Add(-since) })
		}
	}
	unsent := &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient}
	asked := func(wait time.Duration) *oauth.Error {
		return &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503, Sent: true, RetryAt: time.Now().Add(wait)}
	}
	for name, tt := range map[string]struct {
		edit func(d *desk)
		err  func() error
		next time.Duration
		firm time.Duration // 0: none
	}{
		"the first":                          {func(*desk) {}, nil, time.Second / 2, 0},
		"many":                               {failing(20, 0), nil, 30 * time.Second, 0},
		"for two hours":                      {failing(20, 2*time.Hour), nil, time.Minute, 0},
		"for two hours, with a living token": {func(d *desk) { living(time.Hour)(d); failing(20, 2*time.Hour)(d) }, nil, 30 * time.Second, 0},
		"for two hours, not sent":            {failing(20, 2*time.Hour), func() error { return unsent }, 30 * time.Second, 0},
		"for a week":                         {failing(20, 7*24*time.Hour), nil, 30 * time.Minute, 0},
		"the token dies soon":                {func(d *desk) { living(10 * time.Second)(d); failing(20, 0)(d) }, nil, 9*time.Second + 20*time.Millisecond, 0},
		"it dies later on":                   {func(d *desk) { living(time.Minute)(d); failing(20, 0)(d) }, nil, 30 * time.Second, 0},
		"it dies now":                        {func(d *desk) { living(time.Second / 2)(d); failing(20, 0)(d); d.begun = d.now() }, nil, 30 * time.Second, 0},
		"it dies now, begun before": {func(d *desk) {
			living(2 * time.Second)(d)
			d.begun = d.now()
			time.Sleep(1500 * time.Millisecond)
			failing(20, 0)(d)
		},
			nil, 0, 0},
		"it dies now, begun a second before": {func(d *desk) {
			living(time.Second)(d)
			d.begun = d.now()
			time.Sleep(time.Second / 2)
			failing(20, 0)(d)
		},
			nil, 30 * time.Second, 0},
		"it dies now, begun without a request": {func(d *desk) {
			living(2 * time.Second)(d)
			d.begun = d.now()
			time.Sleep(1500 * time.Millisecond)
			d.entered = d.now()
			failing(20, 0)(d)
		},
			nil, 30 * time.Second, 0},
		"the same, begun before": {func(d *desk) {
			living(2 * time.Second)(d)
			d.begun = d.now().Add(-time.Hour)
			d.entered = d.now()
			time.Sleep(1500 * time.Millisecond)
			failing(20, 0)(d)
		},
			nil, 0, 0},
		"it has no end": {func(d *desk) {
			p := pair("1")
			p.ExpiresAt, p.ExpiresIn = time.Time{}, 0
			d.fresh(p)
			failing(20, 0)(d)
		}, nil, 30 * time.Second, 0},
		"the server asks for more":              {func(*desk) {}, func() error { return asked(time.Minute) }, time.Minute, time.Minute},
		"the server asks for less":              {failing(20, 0), func() error { return asked(time.Second) }, 30 * time.Second, time.Second},
		"it asks for more than the token lives": {func(d *desk) { living(10 * time.Second)(d); failing(20, 0)(d) }, func() error { return asked(time.Minute) }, time.Minute, time.Minute},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Clock = &sure{d.cfg.Clock, 0}
			tt.edit(d)
			err := error(trouble)
			if tt.err != nil {
				err = tt.err()
			}
			before := d.Health()
			if got := d.failed(t.Context(), err); got != err {
				t.Errorf("error %v; want %v", got, err)
			}
			h := d.Health()
			if next := d.now().Until(h.Next); next != tt.next || d.now().Until(h.callers) != time.Second {
				t.Errorf("followed in %v, for a caller in %v; want %v and 1s", next, d.now().Until(h.callers), tt.next)
			}
			if firm := d.now().Until(h.firm); h.firm.IsZero() != (tt.firm == 0) || tt.firm != 0 && firm != tt.firm {
				t.Errorf("at the earliest in %v; want %v", firm, tt.firm)
			}
			since := before.since
			if since.IsZero() {
				since = d.now()
			}
			if h.State != StateRetrying || h.Err != err || h.Failures != before.Failures+1 || h.failed != d.now() || h.since != since {
				t.Errorf("%+v", h)
			}
			if d.last.Kind != EventRefreshFailed || d.last.Err != err || d.last.Next != h.Next {
				t.Errorf("told %+v", d.last)
			}
		})
	}
	inBubble(t, "of another account's session", func(t *testing.T) {
		d := newDesk(t)
		d.displace()
		before := d.Health()
		if err := d.failed(t.Context(), trouble); err != trouble || d.Health() != before {
			t.Errorf("error %v, %+v", err, d.Health())
		}
	})
}

// Marks are written if they say something new, with the pair if that is unsaved, and again
// over what others have written to the same pair.
func TestMarksAreWritten(t *testing.T) {
	note := func(rec *tokenstore.Record) { rec.NotBefore = time.Now().Add(time.Hour).UTC() }
	kinds := map[string]func(rec *tokenstore.Record){
		"a wait": note, "a spend": func(rec *tokenstore.Record) { rec.Pending = refusedFor(0, 1) },
		"a refusal": func(rec *tokenstore.Record) { rec.Refused = refusedFor(0, 1) }, "a verdict": func(rec *tokenstore.Record) { rec.Dead = refusedFor(0, 1) },
	}
	for name, change := range kinds {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.store.sets = 0
			for range 2 {
				d.mark(t.Context(), change)
			}
			rec := d.stored(t)
			if d.store.sets != 1 || rec.NotBefore.IsZero() && rec.Pending == nil && rec.Refused == nil && rec.Dead == nil || d.rec.Version != rec.Version {
				t.Errorf("written %d times: %+v", d.store.sets, rec)
			}
		})
	}
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk)
		sets   int
		here   bool
		there  bool
	}{
		"it fails":            {func(_ *testing.T, d *desk) { d.store.full = errors.New("no room") }, 1, true, false},
		"the pair is unsaved": {func(t *testing.T, d *desk) { d.unsavedPair(t, pair("2")); d.store.sets = 0 }, 0, true, false},
		"another mark": {func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Pending = refusedFor(0, 1) })
		}, 2, true, true},
		"another pair": {func(t *testing.T, d *desk) { d.store.put(t, pair("2")) }, 1, false, false},
		"logged out":   {func(t *testing.T, d *desk) { d.store.remove(t) }, 1, false, false},
		"others, all the time": {func(t *testing.T, d *desk) {
			d.store.beforeSet = func(*tokenstore.Record) {
				d.store.edit(t, func(rec *tokenstore.Record) { rec.RefreshedBy += "x" })
			}
		}, 3, false, false},
		"others, and then it is away": {func(t *testing.T, d *desk) {
			d.store.beforeSet = func(*tokenstore.Record) {
				d.store.edit(t, func(rec *tokenstore.Record) { rec.RefreshedBy += "x" })
				d.store.beforeGet = func() { d.store.fails = tokenstore.ErrUnavailable }
			}
		}, 1, false, false},
		"no session": {func(_ *testing.T, d *desk) { d.rec = nil }, 0, false, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			tt.before(t, d)
			d.store.sets = 0
			shared := d.rec
			d.mark(t.Context(), note)
			if here := d.rec != nil && !d.rec.NotBefore.IsZero(); here != tt.here || d.store.sets != tt.sets {
				t.Errorf("noted here: %t, tried %d times; want %t, %d", here, d.store.sets, tt.here, tt.sets)
			}
			rec, err := d.store.Memory.Get(t.Context(), session)
			if there := err == nil && !rec.NotBefore.IsZero(); there != tt.there || there && rec.Pending == nil {
				t.Errorf("noted in the Store: %t; want %t", there, tt.there)
			}
			if shared != nil && !shared.NotBefore.IsZero() {
				t.Error("what others refer to was modified")
			}
		})
	}
}

// A process that is about to end does not wait for a place that does not work.
func TestWhenWaitingForTheStoreIsInVain(t *testing.T) {
	place := &tokenstore.PlaceError{Err: errors.New("no room")}
	for name, tt := range map[string]struct {
		shortLived bool
		cause      error
		want       bool
	}{
		"a full disk":                   {true, place, true},
		"a full disk, for a daemon":     {false, place, false},
		"an odd error":                  {true, errors.New("x"), true},
		"an odd error, for a daemon":    {false, errors.New("x"), false},
		"a server that is away":         {true, tokenstore.ErrUnavailable, false},
		"a disk that is away":           {true, errors.Join(place, tokenstore.ErrUnavailable), true},
		"a lock":                        {true, tokenstore.ErrLocked, false},
		"a lock that is not to be read": {true, errors.Join(place, tokenstore.ErrLocked), false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.ShortLived = tt.shortLived
			err := d.storeFailed(t.Context(), tt.cause)
			if h := d.Health(); h.Vain() != tt.want || h.Failures != 1 || !errors.Is(err, tt.cause) || !errors.Is(err, oauth.ErrTransient) {
				t.Errorf("in vain: %t, error %v; want %t", h.Vain(), err, tt.want)
			}
		})
	}
}

// What is said of a pair that is asked for anew is about the client, or the moment.
func TestAFailureToAskAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		err   error
		state State
		kind  error
		slow  bool
	}{
		"it does not work":  {trouble, StateRetrying, oauth.ErrTransient, false},
		"no answer":         {lost, StateRetrying, oauth.ErrTransient, false},
		"the client":        {refusedClient, StateMisconfigured, oauth.ErrMisconfigured, true},
		"an end":            {ended, StateMisconfigured, oauth.ErrMisconfigured, true},
		"odd words":         {answer(nil), StateMisconfigured, oauth.ErrMisconfigured, true},
		"other odd words":   {answer(func(e *oauth.Error) { e.Kind = oauth.ErrTransient }), StateRetrying, oauth.ErrTransient, true},
		"a wrong setting":   {answer(func(e *oauth.Error) { e.Code = "invalid_scope" }), StateMisconfigured, oauth.ErrMisconfigured, true},
		"what is not known": {errors.New("x"), StateRetrying, nil, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t, func(d *desk) { d.cfg.Tokenless = true })
			d.cfg.Clock = &sure{d.cfg.Clock, 0}
			d.setHealth(func(h *Health) { h.since = d.now().Add(-3 * time.Hour); h.Failures = 1 })
			d.answers(tt.err)
			err := d.renew(t)
			h := d.Health()
			if h.State != tt.state || tt.kind != nil && !errors.Is(err, tt.kind) || errors.Is(err, oauth.ErrLoginRequired) || len(d.told) != 0 {
				t.Errorf("state %v, error %v, told %v; want %v", h.State, err, d.told, tt.state)
			}
			if slow := d.now().Until(h.Next) == 10*time.Minute; slow != tt.slow {
				t.Errorf("the next attempt is in %v", d.now().Until(h.Next))
			}
		})
	}
}
