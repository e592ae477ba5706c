package session

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// again begins another run of the session.
func (d *desk) again(t *testing.T, tokens *oauth.TokenPair) error {
	t.Helper()
	d.events, d.store.gets, d.store.sets = nil, 0, 0
	return d.Begin(t.Context(), tokens, nil)
}

// Which pair a run begins with, or why it does not.
func TestWhatARunBeginsWith(t *testing.T) {
	tokenless := func(d *desk) { d.cfg.Tokenless = true }
	memory := func(d *desk) { d.cfg.Store, d.cfg.Records, d.cfg.Locker = nil, nil, nil }
	newer := func() *oauth.TokenPair { return pair("x") }
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk)
		tokens func() *oauth.TokenPair
		err    error
		says   string
		shows  string // access token
		state  State
	}{
		"what is saved": {func(*testing.T, *desk) {}, nil, nil, "", "a1", StateValid},
		"a successor":   {func(t *testing.T, d *desk) { d.store.put(t, pair("2")) }, nil, nil, "", "a2", StateValid},
		"a login":       {func(*testing.T, *desk) {}, newer, nil, "", "ax", StateValid},
		"a pair that is an earlier state": {func(t *testing.T, d *desk) { d.store.put(t, pair("2")) },
			func() *oauth.TokenPair { return now(at("r1", 100, 0)).Tokens }, nil, "", "a2", StateValid},

		"nothing is saved": {func(t *testing.T, d *desk) { d.store.remove(t) }, nil, oauth.ErrLoginRequired, `"alice"`, "", StateLoggedOut},
		"a record that is none": {func(t *testing.T, d *desk) {
			d.cfg.Records = beside{d.store, tokenstore.ErrNotFound}
			d.rec = nil
			d.cur.Store(nil)
		}, nil, oauth.ErrLoginRequired, `"alice"`, "", StateValid},
		"one that cannot be read, and a login": {func(t *testing.T, d *desk) { d.cfg.Records = beside{d.store, tokenstore.ErrSealed} },
			newer, nil, "", "ax", StateValid},
		"nothing, and a login":      {func(t *testing.T, d *desk) { d.store.remove(t) }, newer, nil, "", "ax", StateValid},
		"nothing was saved, either": {func(t *testing.T, d *desk) { d.store.remove(t); d.rec.Version = 0 }, nil, nil, "", "a1", StateValid},
		"nothing, the first time": {func(t *testing.T, d *desk) { d.store.remove(t); d.rec = nil; d.cur.Store(nil) }, nil,
			oauth.ErrLoginRequired, `"alice"`, "", StateValid},
		"a grant that needs no login": {func(t *testing.T, d *desk) { d.store.remove(t); tokenless(d) }, nil, nil, "", "", StateNone},
		"the same, by a follower": {func(t *testing.T, d *desk) { d.store.remove(t); tokenless(d); d.cfg.Follower = true }, nil,
			oauth.ErrLoginRequired, `"alice"`, "", StateLoggedOut},

		"in memory":            {func(_ *testing.T, d *desk) { memory(d) }, nil, nil, "", "a1", StateValid},
		"a login in memory":    {func(_ *testing.T, d *desk) { memory(d) }, newer, nil, "", "ax", StateValid},
		"nothing in memory":    {func(_ *testing.T, d *desk) { memory(d); d.rec = nil; d.cur.Store(nil) }, nil, oauth.ErrLoginRequired, "no Config.Store", "", StateValid},
		"tokenless, in memory": {func(_ *testing.T, d *desk) { memory(d); tokenless(d); d.rec = nil; d.cur.Store(nil) }, nil, nil, "", "", StateNone},

		"a Store that is away":             {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrUnavailable }, nil, tokenstore.ErrUnavailable, `"alice"`, "a1", StateValid},
		"the same, and a login":            {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrUnavailable }, newer, nil, "", "ax", StateValid},
		"the same, and no login is needed": {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrUnavailable; tokenless(d) }, nil, tokenstore.ErrUnavailable, "", "a1", StateValid},
		"a damaged record":                 {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrDamaged }, nil, tokenstore.ErrDamaged, `"alice"`, "a1", StateValid},
		"the same, and a login follows":    {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrDamaged }, newer, nil, "", "ax", StateValid},
		"damaged, and no login is needed": {func(_ *testing.T, d *desk) {
			d.store.fails = tokenstore.ErrDamaged
			tokenless(d)
			d.rec = nil
			d.cur.Store(nil)
		}, nil, nil, "", "", StateNone},
		"a saved pair that is not renewed": {func(t *testing.T, d *desk) { d.store.edit(t, credentials) }, nil, oauth.ErrMisconfigured, "client credentials", "a1", StateValid},
		"a pair that is not to be renewed": {func(*testing.T, *desk) {}, func() *oauth.TokenPair { rec := now(at("", 0, 0)); credentials(rec); return rec.Tokens }, oauth.ErrMisconfigured, "client credentials", "a1", StateValid},
		"the session of another account": {func(t *testing.T, d *desk) {
			d.rec.Tokens = owned("1", "alice")
			d.account = d.rec.Tokens
			d.store.put(t, owned("x", "bob"))
		}, nil, nil, "", of("bob"), StateValid},
		"a login that another one replaces": {func(t *testing.T, d *desk) { d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens = pair("y") }) }, func() *oauth.TokenPair { return now(at("x", 5, 0)).Tokens }, nil, "", "ay", StateValid},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			tt.before(t, d)
			var tokens *oauth.TokenPair
			if tt.tokens != nil {
				tokens = tt.tokens()
			}
			err := d.again(t, tokens)
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v; want %v, with %q", err, tt.err, tt.says)
			}
			d.shows(t, tt.shows)
			if h := d.Health(); h.State != tt.state {
				t.Errorf("state %v; want %v", h.State, tt.state)
			}
			if err == nil && d.empty() != (tt.shows == "") {
				t.Errorf("a first pair is to be obtained: %t", d.empty())
			}
			if d.cfg.Store == nil && d.unsaved.any() {
				t.Errorf("unsaved: %+v", d.unsaved)
			}
			d.holding(t, 0)
		})
	}
}

// credentials makes a record one that has to be asked for anew.
func credentials(rec *tokenstore.Record) {
	rec.Tokens.RefreshToken, rec.Tokens.GrantType = "", oauth.GrantTypeClientCredentials
}

// A login takes the place of what is saved, keeps what other programs have added, and is
// told to the program's own store only where another process may have it first.
func TestALoginTakesThePlaceOfWhatIsSaved(t *testing.T) {
	for _, shared := range []bool{true, false} {
		inBubble(t, map[bool]string{true: "a Store", false: "no Store"}[shared], func(t *testing.T) {
			handed := 0
			d := newDesk(t, func(d *desk) {
				d.cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { handed++; return nil }
			})
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Unknown = map[string]json.RawMessage{"note": json.RawMessage(`"x"`)} })
			before := d.stored(t).Version
			if !shared {
				d.cfg.Store = nil
			}
			handed = 0
			if err := d.again(t, pair("x")); err != nil {
				t.Fatal(err)
			}
			if handed != map[bool]int{true: 1}[shared] {
				t.Errorf("handed to the program %d times", handed)
			}
			if shared && d.store.sets != 1 {
				t.Errorf("tried to save it %d times", d.store.sets)
			}
			if rec := d.stored(t); shared && (rec.Tokens.RefreshToken != "rx" || rec.Version <= before || string(rec.Unknown["note"]) != `"x"`) {
				t.Errorf("saved %s as version %d after %d, with %v", rec.Tokens.RefreshToken, rec.Version, before, rec.Unknown)
			}
		})
	}
	inBubble(t, "what is known of the one before", func(t *testing.T) {
		d := newDesk(t, func(d *desk) { d.cfg.Place = "here" })
		d.publishResource("https://api", pair("5"))
		d.Distrust()
		d.held, d.doubt.spent = 9, "spent"
		d.store.fails = tokenstore.ErrUnavailable
		if err := d.again(t, pair("x")); err != nil {
			t.Fatal(err)
		}
		if d.held != 0 || d.doubt != (doubt{}) || d.Distrusted() || d.currentFor("https://api") != nil {
			t.Errorf("it counts for the next one: %+v", d.Session.doubt)
		}
		if d.unsaved != (unsaved{store: true, login: true, callback: true}) || len(d.rec.Places) != 1 {
			t.Errorf("unsaved %+v, kept in %q", d.unsaved, d.rec.Places)
		}
	})
}

// A session that was read with others is not read again, and known by its stamp.
func TestASessionThatWasReadWithOthers(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.store.put(t, pair("2"))
		d.store.gets = 0
		saved := &Saved{Record: d.stored(t), Stamp: Stamp{7, true}}
		if err := d.Begin(t.Context(), nil, saved); err != nil {
			t.Fatal(err)
		}
		d.shows(t, "a2")
		if d.store.gets != 0 || d.stamp != saved.Stamp {
			t.Errorf("read %d times, stamp %v", d.store.gets, d.stamp)
		}
	})
}

// A program that begins again wants to know: what an earlier run has to wait for ends, but
// not that the session has ended, nor how often it was tried.
func TestANewRunAsksAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		state    State
		failures int
		waits    bool
	}{
		"failing":  {StateRetrying, 3, false},
		"ended":    {StateLoginRequired, 3, true},
		"no trial": {StateRetrying, 0, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			later := d.now().Add(time.Hour)
			d.setHealth(func(h *Health) {
				h.State, h.Failures, h.Next, h.callers, h.since, h.firm = tt.state, tt.failures, later, later, later, later
			})
			d.asked = "r1"
			if err := d.again(t, nil); err != nil {
				t.Fatal(err)
			}
			h := d.Health()
			for _, at := range []struct {
				name string
				zero bool
			}{{"next", h.Next.IsZero()}, {"callers", h.callers.IsZero()}, {"since", h.since.IsZero()}, {"firm", h.firm.IsZero()}} {
				if at.zero == tt.waits {
					t.Errorf("%s is forgotten: %t", at.name, at.zero)
				}
			}
			if h.Failures != tt.failures || d.asked != "" {
				t.Errorf("%d failures, asked %q", h.Failures, d.asked)
			}
		})
	}
}

// A beside returns a record beside an error.
type beside struct {
	tokenstore.Store
	err error
}

func (b beside) Get(context.Context, string) (*tokenstore.Record, error) {
	return now(at("r9", -60, 9, "rx")), b.err
}
