package session

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/witness"
	"github.com/evertoken/evertoken/tokenstore"
)

// at returns a record of a pair that was issued that many minutes before beginning, with
// ancestors.
func at(refresh string, minutesAgo int, version uint64, ancestors ...string) *tokenstore.Record {
	rec := &tokenstore.Record{Version: version, Tokens: &oauth.TokenPair{
		AccessToken: fmt.Sprint("a", refresh, minutesAgo), RefreshToken: refresh, IssuedAt: beginning.Add(-time.Duration(minutesAgo) * time.Minute),
	}}
	for _, a := range ancestors {
		rec.Ancestors = append(rec.Ancestors, tokenstore.Fingerprint(a))
	}
	return rec
}

// What the Store holds is replaced if it is an earlier state of our session. Descent says
// so with certainty; versions and times only where it is silent.
func TestLaw1_WhatIsAnEarlierState(t *testing.T) {
	for name, tt := range map[string]struct {
		mine, stored *tokenstore.Record
		unsaved      unsaved
		held         uint64
		want         bool
	}{
		"ours descends from it, whatever its version": {at("r2", 1, 5, "r1"), at("r1", 0, 9), unsaved{}, 0, true},
		"it descends from ours, whatever its version": {at("r1", 0, 9), at("r2", 1, 5, "r1"), unsaved{}, 0, false},

		"given again, ours is the newer":           {at("r1", 1, 5, "r1", "r2"), at("r2", 2, 4, "r1"), unsaved{}, 0, true},
		"given again, it is the newer":             {at("r2", 2, 4, "r1"), at("r1", 1, 5, "r1", "r2"), unsaved{}, 0, false},
		"given again, a mark on an old copy":       {at("r2", 1, 5, "r1", "r2", "r1"), at("r1", 2, 6, "r1", "r2"), unsaved{}, 0, true},
		"given again, and ours is from the future": {at("r2", -5, 5, "r1", "r2", "r1"), at("r1", 2, 6, "r1", "r2"), unsaved{}, 0, false},
		"given again, and the times are the same":  {at("r2", 1, 5, "r1"), at("r1", 1, 6, "r1", "r2"), unsaved{}, 0, false},

		"no rotation, lower":                         {at("r", 1, 5), at("r", 0, 4), unsaved{}, 0, true},
		"no rotation, as high":                       {at("r", 1, 5), at("r", 2, 5), unsaved{}, 0, false},
		"no rotation, higher and before":             {at("r", 1, 5), at("r", 2, 6), unsaved{}, 0, false},
		"no rotation, ours unsaved, before":          {at("r", 1, 5), at("r", 2, 6), unsaved{store: true}, 0, true},
		"no rotation, ours unsaved, after":           {at("r", 2, 5), at("r", 1, 4), unsaved{store: true}, 0, false},
		"no rotation, an old copy again, lower":      {at("r", 2, 5), at("r", 1, 6), unsaved{store: true}, 7, true},
		"no rotation, an old copy again, higher":     {at("r", 1, 5), at("r", 2, 8), unsaved{store: true}, 7, false},
		"no rotation, between ours and what we held": {at("r", 1, 5), at("r", 1, 6), unsaved{}, 7, true},

		"one login, lower":                           {at("r40", 1, 5, "r0", "r39"), at("r9", 0, 4, "r0", "r8"), unsaved{}, 0, true},
		"one login, higher and before":               {at("r40", 1, 5, "r0", "r39"), at("r9", 2, 6, "r0", "r8"), unsaved{}, 0, true},
		"one login, higher and after":                {at("r40", 2, 5, "r0", "r39"), at("r9", 1, 6, "r0", "r8"), unsaved{}, 0, false},
		"one login, higher, ours is from the future": {at("r40", -5, 5, "r0", "r39"), at("r9", 2, 6, "r0", "r8"), unsaved{}, 0, false},
		"one login, of which it is the first":        {at("r40", 1, 5, "r0", "r39"), at("r0", 2, 6), unsaved{}, 0, true},

		"another login, lower and before":    {at("x", 1, 5), at("y", 2, 4), unsaved{}, 0, true},
		"another login, lower, at once":      {at("x", 1, 5), at("y", 1, 4), unsaved{}, 0, true},
		"another login, lower and after":     {at("x", 2, 5), at("y", 1, 4), unsaved{}, 0, false},
		"another login, as high":             {at("x", 1, 5), at("y", 2, 5), unsaved{}, 0, false},
		"another login, higher and before":   {at("x", 1, 5), at("y", 2, 6), unsaved{}, 0, false},
		"by another program, lower":          {at("x", 1, derivedVersion+5), at("y", 2, derivedVersion), unsaved{}, 0, false},
		"not by another program, just lower": {at("x", 1, derivedVersion+5), at("y", 2, derivedVersion-1), unsaved{}, 0, true},

		"our login is unsaved, and later":        {at("x", 1, 5), at("y", 2, 9), unsaved{store: true, login: true}, 0, true},
		"our login is unsaved, and earlier":      {at("x", 2, 5), at("y", 1, 4), unsaved{store: true, login: true}, 0, false},
		"our login is unsaved, and is known":     {at("x", 1, 5), at("y", 2, 9, "x"), unsaved{store: true, login: true}, 0, false},
		"our login is unsaved, by a clock ahead": {at("x", 1, 5), at("y", -5, 9), unsaved{store: true, login: true}, 0, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.rec, d.unsaved, d.held = now(tt.mine), tt.unsaved, tt.held
			if got := d.outdated(now(tt.stored)); got != tt.want {
				t.Errorf("outdated: %v; want %v", got, tt.want)
			}
		})
	}
}

// now moves a record into the time of the bubble: what was beginning is now.
func now(rec *tokenstore.Record) *tokenstore.Record {
	moved := rec.Clone()
	moved.Tokens.IssuedAt = time.Now().Add(rec.Tokens.IssuedAt.Sub(beginning))
	return moved
}

// beginning is from when the tables count, an arbitrary moment.
var beginning = time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)

// Of two pairs that were saved at once, ours goes over the other if it is the same one, if
// the other is an earlier state, or if the server gave it later.
func TestLaw2_WhichOfTwoPairsStays(t *testing.T) {
	for name, tt := range map[string]struct {
		mine, stored *tokenstore.Record
		want         bool
	}{
		"the same pair":                      {at("r2", 1, 5, "r1"), at("r2", 1, 9, "r1"), true},
		"an earlier state":                   {at("r2", 1, 5, "r1"), at("r1", 2, 9), true},
		"another successor, ours is later":   {at("r2", 1, 5, "r0", "r1"), at("r2b", 2, 9, "x", "r1"), true},
		"another successor, at once":         {at("r2", 1, 5, "r0", "r1"), at("r2b", 1, 9, "x", "r1"), true},
		"another successor, ours is earlier": {at("r2", 2, 5, "r0", "r1"), at("r2b", 1, 9, "x", "r1"), false},
		"another login":                      {at("r2", 1, 5, "r1"), at("s2", 2, 9, "s1"), false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.rec = now(tt.mine)
			if got := d.supersedes(now(tt.stored)); got != tt.want {
				t.Errorf("supersedes: %v; want %v", got, tt.want)
			}
		})
	}
}

// of returns an access token that tells whose it is.
func of(person string) string {
	claims, err := json.Marshal(map[string]string{"iss": "https://as", "sub": person})
	if err != nil {
		panic(err) // never happens: they are strings
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".x"
}

// owned is the nth pair of a person.
func owned(n, person string) *oauth.TokenPair {
	p := pair(n)
	p.AccessToken = of(person)
	return p
}

// unsavedPair makes the session hold a pair that the Store does not have.
func (d *desk) unsavedPair(t *testing.T, p *oauth.TokenPair) {
	t.Helper()
	d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
		d.store.fails = tokenstore.ErrUnavailable
		return p, nil
	}
	if err := d.renew(t); err != nil {
		t.Fatal(err)
	}
	d.store.fails = nil
	d.holding(t, 1)
}

// A session of another account in the Store is not taken over, and not written over,
// whatever this process holds, and knows from the run before.
func TestAnotherAccountIsLeftAlone(t *testing.T) {
	for name, meet := range map[string]func(t *testing.T, d *desk) error{
		"at a look": func(t *testing.T, d *desk) error { return d.Adopt(t.Context()) },
		"at a look, in the next run": func(t *testing.T, d *desk) error {
			theirs := d.stored(t)
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens, rec.Ancestors = owned("1", "alice"), nil })
			if err := d.Begin(t.Context(), nil, nil); err != nil {
				return err
			}
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens = theirs.Tokens })
			return d.Adopt(t.Context())
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.store.put(t, owned("1", "alice"))
			if err := d.Begin(t.Context(), nil, nil); err != nil {
				t.Fatal(err)
			}
			d.store.put(t, owned("x", "bob"))
			if err := meet(t, d); err != nil {
				t.Fatal(err)
			}
			if h := d.Health(); !errors.Is(h.Err, ErrOtherAccount) {
				t.Errorf("state %v: %v; want %v", h.State, h.Err, ErrOtherAccount)
			}
			d.shows(t, of("alice"))
		})
	}
	inBubble(t, "at a save", func(t *testing.T) {
		d := newDesk(t)
		d.store.put(t, owned("1", "alice"))
		if err := d.Begin(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Minute)
		d.unsavedPair(t, owned("2", "alice"))
		d.store.put(t, owned("x", "bob"))
		if err := d.SaveAtLast(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if got := d.stored(t).Tokens.RefreshToken; got != "rx" || d.count(EventOtherAccount) != 1 {
			t.Errorf("the Store holds %s; events %v", got, d.events)
		}
		d.holding(t, 0)
	})
}

// A pair that was reported as unsaved may be in the Store all the same, or overtaken there.
// Either ends the saving, and the lock that was kept for it.
func TestAnUnsavedPairIsFoundInTheStore(t *testing.T) {
	for name, there := range map[string]func(t *testing.T, d *desk){
		"itself": func(t *testing.T, d *desk) { d.store.put(t, d.rec.Tokens) },
		"its successor": func(t *testing.T, d *desk) {
			d.store.put(t, d.rec.Tokens)
			d.store.put(t, pair("3"))
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.unsavedPair(t, pair("2"))
			there(t, d)
			before := d.stored(t).Version
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.holding(t, 0)
			if d.unsaved.any() || d.Health().Unsaved != nil {
				t.Errorf("unsaved: %+v, %v", d.unsaved, d.Health().Unsaved)
			}
			if err := d.SaveAtLast(t.Context(), nil); err != nil || d.stored(t).Version != before {
				t.Errorf("saved once more: %v", err)
			}
		})
	}
}

// A save goes over an earlier state, and keeps what another program has added to it.
func TestASaveKeepsWhatOthersHaveAdded(t *testing.T) {
	inBubble(t, "a field", func(t *testing.T) {
		d := newDesk(t)
		d.unsavedPair(t, pair("2"))
		d.store.edit(t, func(rec *tokenstore.Record) { rec.Unknown = map[string]json.RawMessage{"note": json.RawMessage(`"x"`)} })
		if err := d.SaveAtLast(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if rec := d.stored(t); rec.Tokens.RefreshToken != "r2" || string(rec.Unknown["note"]) != `"x"` {
			t.Errorf("the Store holds %s, %v", rec.Tokens.RefreshToken, rec.Unknown)
		}
		d.holding(t, 0)
	})
}

// That fresh tokens were rejected says nothing about those of another login.
func TestDistrustEndsWithAnotherLogin(t *testing.T) {
	for name, tt := range map[string]struct {
		next func(rec *tokenstore.Record)
		ends bool
	}{
		"a successor":   {func(rec *tokenstore.Record) { rec.Supersede(pair("2")) }, false},
		"another login": {func(rec *tokenstore.Record) { rec.Tokens = pair("x") }, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.Distrust()
			d.publishResource("https://api", pair("5"))
			d.store.edit(t, tt.next)
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d.Distrusted() == tt.ends {
				t.Errorf("distrusted: %v", d.Distrusted())
			}
			if forgotten := d.currentFor("https://api") == nil; forgotten != tt.ends {
				t.Errorf("the tokens for resources are forgotten: %v; want %v", forgotten, tt.ends)
			}
		})
	}
}

// What a look finds in the Store, and what it tells of it.
func TestWhatALookFinds(t *testing.T) {
	next := func(edit func(rec *tokenstore.Record)) func(t *testing.T, d *desk) {
		return func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) {
				rec.Supersede(pair("2"))
				edit(rec)
			})
		}
	}
	suspected := func(d *desk) { d.setHealth(func(h *Health) { h.State, h.Failures = StateSuspected, 3 }) }
	for name, tt := range map[string]struct {
		edit  func(d *desk) // before
		there func(t *testing.T, d *desk)
		want  string // refresh token here
		state State
		told  []Kind
		dead  int // how often the program hears that a login is needed
	}{
		"nothing new":    {nil, func(*testing.T, *desk) {}, "r1", StateValid, nil, 0},
		"a mark":         {nil, func(t *testing.T, d *desk) { d.store.edit(t, askedToWait) }, "r1", StateValid, nil, 0},
		"a successor":    {nil, next(func(*tokenstore.Record) {}), "r2", StateValid, []Kind{EventAdopted}, 0},
		"the first pair": {func(d *desk) { d.rec = nil }, next(func(*tokenstore.Record) {}), "r2", StateValid, nil, 0},
		"what lifts it":  {suspected, next(func(*tokenstore.Record) {}), "r2", StateValid, []Kind{EventAdopted, EventRecovered}, 0},
		"a pair that was written over an old copy": {nil, next(func(rec *tokenstore.Record) { rec.WentBackAt = time.Now().UTC() }),
			"r2", StateValid, []Kind{EventOldCopy, EventAdopted}, 0},
		"one that was so long ago": {nil, next(func(rec *tokenstore.Record) { rec.WentBackAt = time.Now().Add(-time.Hour).UTC() }),
			"r2", StateValid, []Kind{EventAdopted}, 0},
		"that its own pair was": {nil, func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) { rec.WentBackAt = time.Now().UTC() })
		}, "r1", StateValid, []Kind{EventOldCopy}, 0},
		"a verdict on a successor": {nil, next(dead("r2")), "r2", StateLoginRequired, []Kind{EventAdopted, EventLoginRequired}, 1},
		"a verdict":                {nil, func(t *testing.T, d *desk) { d.store.edit(t, dead("r1")) }, "r1", StateLoginRequired, []Kind{EventLoginRequired}, 1},
		"a verdict, of which the program knows": {func(d *desk) { d.declareDead(ended) }, func(t *testing.T, d *desk) { d.store.edit(t, dead("r1")) },
			"r1", StateLoginRequired, nil, 0},
		"a verdict on what is asked for anew": {func(d *desk) { d.cfg.Tokenless = true }, func(t *testing.T, d *desk) { d.store.edit(t, dead("r1")) },
			"r1", StateValid, nil, 0},
		"a verdict of another configuration": {nil, func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) { dead("r1")(rec); rec.Dead.By = "x" })
		}, "r1", StateValid, nil, 0},
		"a logout":                          {nil, func(t *testing.T, d *desk) { d.store.remove(t) }, "", StateLoggedOut, []Kind{EventLoggedOut}, 0},
		"nothing, as nothing was saved yet": {func(d *desk) { d.rec.Version = 0 }, func(t *testing.T, d *desk) { d.store.remove(t) }, "r1", StateValid, nil, 0},
		"what is damaged":                   {nil, func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrDamaged }, "r1", StateValid, []Kind{EventOldCopy}, 0},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			if tt.edit != nil {
				tt.edit(d)
			}
			tt.there(t, d)
			d.events, d.told = nil, nil
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := ""
			if d.rec != nil {
				got = d.rec.Tokens.RefreshToken
			}
			if h := d.Health(); got != tt.want || h.State != tt.state || !slices.Equal(d.events, tt.told) || len(d.told) != tt.dead {
				t.Errorf("it has %q, state %v, events %v, told %v; want %q, %v, %v", got, h.State, d.events, d.told, tt.want, tt.state, tt.told)
			}
			if h := d.Health(); tt.state == StateLoginRequired && tt.dead == 1 && failure.Code(h.Err) != "invalid_grant" {
				t.Errorf("error %v; want the code that was noted", h.Err)
			}
			if again := d.count(EventOldCopy); again > 0 {
				_ = d.Adopt(t.Context())
				if d.count(EventOldCopy) != again {
					t.Errorf("told again: %v", d.events)
				}
			}
		})
	}
}

// dead is a verdict on a refresh token.
func dead(token string) func(rec *tokenstore.Record) {
	return func(rec *tokenstore.Record) {
		rec.Dead = &tokenstore.Mark{Token: tokenstore.Fingerprint(token), At: time.Now().UTC(), Code: "invalid_grant", By: "config", Certain: true}
	}
}

// What cannot be read any more is written anew from what is here, but not by a follower,
// and not from nothing.
func TestADamagedRecordIsWrittenAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(d *desk)
		anew bool
	}{
		"a session":  {func(*desk) {}, true},
		"a follower": {func(d *desk) { d.cfg.Follower = true }, false},
		"nothing":    {func(d *desk) { d.rec = nil }, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			tt.edit(d)
			d.store.fails = tokenstore.ErrDamaged
			err := d.Adopt(t.Context())
			if anew := err == nil && d.unsaved.store; anew != tt.anew || !tt.anew && !errors.Is(err, tokenstore.ErrDamaged) {
				t.Errorf("error %v, unsaved %+v; want it written anew: %t", err, d.unsaved, tt.anew)
			}
			if !tt.anew {
				return
			}
			d.store.fails = nil
			d.store.remove(t) // it was moved aside
			d.saveNow(t.Context())
			if rec := d.stored(t); rec.Tokens.RefreshToken != "r1" || rec.WentBackAt.IsZero() {
				t.Errorf("saved %s, which went back at %v", rec.Tokens.RefreshToken, rec.WentBackAt)
			}
		})
	}
}

// An old copy is written over, at the version that it has, with the note that it was there;
// and so is another one that is put back before that.
func TestAnOldCopyIsWrittenOver(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		old := d.stored(t)
		for _, n := range []string{"2", "3"} {
			d.gives(n)
			if err := d.renew(t); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
		}
		const newest = 100
		d.rec.Version, d.events = newest, nil
		for _, version := range []uint64{7, 9, 200} {
			put, before := old.Clone(), *d.rec
			put.Version = version
			shared := d.rec
			if d.take(put); version == 7 && (shared.Version != before.Version || !shared.WentBackAt.IsZero()) {
				t.Error("what others refer to was modified")
			}
			if d.held != newest || d.rec.Version != version || !d.unsaved.store || d.count(EventOldCopy) != 1 {
				t.Errorf("held %d, version %d, unsaved %+v, events %v; want %d, %d", d.held, d.rec.Version, d.unsaved, d.events, newest, version)
			}
			d.shows(t, "a3")
		}
		d.rec.Version = d.stored(t).Version
		d.saveNow(t.Context())
		if rec := d.stored(t); rec.Tokens.RefreshToken != "r3" || !rec.WentBackAt.Equal(time.Now()) || d.held != 0 || d.unsaved.any() {
			t.Errorf("saved %s, which went back at %v; held %d", rec.Tokens.RefreshToken, rec.WentBackAt, d.held)
		}
		if old.WentBackAt != (time.Time{}) || d.cur.Load().Pair.RefreshToken != "r3" {
			t.Error("what others refer to was modified")
		}
	})
	inBubble(t, "by what could not be saved yet", func(t *testing.T) {
		d := newDesk(t)
		d.unsavedPair(t, pair("2"))
		if err := d.Adopt(t.Context()); err != nil { // it finds the pair before, as it has to be
			t.Fatal(err)
		}
		if d.count(EventOldCopy) != 0 || !d.rec.WentBackAt.IsZero() {
			t.Errorf("events %v; want no copy told", d.events)
		}
	})
}

// An account that was away and is back goes on as it was; one that takes its place ends
// what was kept for the session.
func TestAnAccountThatIsBackGoesOn(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.store.put(t, owned("1", "alice"))
		if err := d.Begin(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Minute)
		d.unsavedPair(t, owned("2", "alice"))
		mine := d.rec
		d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens, rec.Ancestors = owned("x", "bob"), nil })
		d.events = nil
		for range 2 {
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if h := d.Health(); h.State != StateLoginRequired || !errors.Is(h.Err, oauth.ErrLoginRequired) || !slices.Equal(d.events, []Kind{EventOtherAccount}) || d.unsaved.any() {
			t.Errorf("state %v: %v, events %v, unsaved %+v", h.State, h.Err, d.events, d.unsaved)
		}
		d.holding(t, 0)
		renewed := time.Now().UTC().Add(-time.Minute)
		d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens, rec.RefreshedAt = mine.Tokens, renewed })
		if err := d.Adopt(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h := d.Health(); *h != (Health{State: StateValid, Renewed: renewed}) {
			t.Errorf("it is back, and fares as %+v", h)
		}
	})
}

// A newer pair of the Store's tells that the tokens before it are spent: from ours on, or
// the last alone if ours is not among them; nothing if it was not renewed.
func TestANewerPairTellsWhichTokensAreSpent(t *testing.T) {
	for name, tt := range map[string]struct {
		mine      string // "": nothing
		ancestors []string
		renewed   bool
		spent     []string
	}{
		"a successor":         {"r1", []string{"r1"}, true, []string{"r1"}},
		"one further on":      {"r1", []string{"r0", "r1", "r2"}, true, []string{"r1", "r2"}},
		"ours was the first":  {"r1", []string{"r1", "r2"}, true, []string{"r1", "r2"}},
		"another login":       {"x", []string{"r0", "r1"}, true, []string{"r1"}},
		"nothing was here":    {"", []string{"r0", "r1"}, true, []string{"r1"}},
		"it was not renewed":  {"r1", []string{"r1"}, false, nil},
		"nothing came before": {"r1", nil, true, nil},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Witness = new(witness.Book) // without the newest of each login
			if d.rec = nil; tt.mine != "" {
				d.rec = at(tt.mine, 0, 1)
			}
			d.doubt.old = d.now()
			stored := at("r9", 0, 9, tt.ancestors...)
			if tt.renewed {
				stored.RefreshedAt = time.Now()
			}
			d.noteReplaced(stored)
			for _, token := range []string{"r0", "r1", "r2", "r9", "x"} {
				if got, want := d.knownSpent(at(token, 0, 1)), slices.Contains(tt.spent, token); got != want {
					t.Errorf("%s is spent: %t; want %t", token, got, want)
				}
			}
			if !d.doubt.old.IsZero() {
				t.Error("the old copy counts although a newer pair has come")
			}
		})
	}
	inBubble(t, "at a look", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Witness = witness.Open(t.TempDir())
		d.store.edit(t, func(rec *tokenstore.Record) { rec.Supersede(pair("2")); rec.RefreshedAt = time.Now() })
		if err := d.Adopt(t.Context()); err != nil || !d.knownSpent(at("r1", 0, 1)) {
			t.Errorf("%v; the token before is not known to be spent", err)
		}
	})
}

// A token for a resource is renewed when it is due by itself, and the session looks after
// the refresh token.
func TestWhenATokenForAResourceIsDue(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.RefreshIdleLimit = 10 * time.Minute
		p := pair("2")
		p.RefreshExpiresAt = time.Now().Add(20 * time.Minute)
		d.publish(p.Clone())
		d.publishResource("https://api", p)
		own, other := d.cur.Load(), d.currentFor("https://api")
		if own.Same(other) {
			t.Error("the two tokens count as the same")
		}
		in := func(at time.Time) time.Duration { return time.Until(at).Round(time.Minute) }
		if in(own.Due) != 9*time.Minute || in(other.Due) < 54*time.Minute || in(other.Due) > 55*time.Minute {
			t.Errorf("due in %v and %v; want 9m and 55m", in(own.Due), in(other.Due))
		}
		if first := d.currentFor("https://api"); first != nil {
			d.publishResource("https://api", pair("2"))
			if d.currentFor("https://api").Same(first) {
				t.Error("the next token counts as the one before")
			}
		}
	})
}

// Where many sessions are due at once, the next ones are spread.
func TestACrowdIsSpread(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		const crowd = 20
		d := newDesk(t, func(d *desk) {
			for range crowd {
				d.cfg.Gate.Join()
			}
		})
		for range crowd {
			d.publish(pair("1"))
		}
		if !d.timing(pair("1")).Crowded {
			t.Error("a pair that is due with all others is not in a crowd")
		}
		later := pair("1")
		later.ExpiresAt = later.ExpiresAt.Add(time.Hour)
		if d.timing(later).Crowded {
			t.Error("one that is due an hour later is")
		}
	})
}

// A Store that tells the time has its records' times by this host's clock. When that is
// set, the pair's end moves with it.
func TestAPairsTimesFollowThisHostsClock(t *testing.T) {
	for name, tt := range map[string]struct {
		moved time.Duration
		lives time.Duration
	}{
		"forward": {7 * time.Minute, time.Hour},
		"back":    {-7 * time.Minute, 53 * time.Minute}, // the clock of this test was not set
		"not set": {0, time.Hour},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.fresh(pair("1"))
			before, ends := d.cur.Load(), d.cur.Load().Ends()
			stored := edit(d.rec)
			stored.Tokens = stored.Tokens.Clone()
			stored.Tokens.IssuedAt, stored.Tokens.ExpiresAt = stored.Tokens.IssuedAt.Add(tt.moved), stored.Tokens.ExpiresAt.Add(tt.moved)
			d.take(stored)
			after := d.cur.Load()
			if !after.Pair.ExpiresAt.Equal(stored.Tokens.ExpiresAt) || !after.Same(before) {
				t.Errorf("it ends at %v, generation %d; want %v, %d", after.Pair.ExpiresAt, after.Generation, stored.Tokens.ExpiresAt, before.Generation)
			}
			if after.Ends().After(ends) || after.Ends().Since(d.now()) != tt.lives {
				t.Errorf("it lives for %v by the monotonic clock; want %v", after.Ends().Since(d.now()), tt.lives)
			}
			if (after == before) != (tt.moved == 0) {
				t.Error("readers got another snapshot of the same pair")
			}
		})
	}
}
