package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A pair of a login that another one has replaced is a new login only if it is known to have
// been issued after that.
func TestWhichSeedsAreOldOnes(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	seed := func(token string, issued time.Time) *oauth.TokenPair {
		return &oauth.TokenPair{AccessToken: "a-" + token, RefreshToken: token, IssuedAt: issued}
	}
	bare := &oauth.TokenPair{AccessToken: "alone"}
	var unknown time.Time
	for name, tt := range map[string]struct {
		login  time.Time // when the login in the Store was issued
		tokens *oauth.TokenPair
		want   bool
	}{
		"the seed":                                  {at, seed("first", unknown), false},
		"the newest of that login":                  {at, seed("renewed", unknown), false},
		"the seed, which tells its age":             {at, seed("first", at.Add(-time.Hour)), false},
		"the seed, and the login does not tell":     {unknown, seed("first", at.Add(-time.Hour)), false},
		"the seed, and neither tells":               {unknown, seed("first", unknown), false},
		"the seed, and the clock was set back":      {at.Add(48 * time.Hour), seed("first", at), false},
		"the same moment":                           {at, seed("first", at), false},
		"a login that brings that token again":      {at, seed("first", at.Add(time.Minute)), true},
		"a pair without refresh token":              {at, bare, false},
		"another pair":                              {at, seed("x", unknown), true},
		"another pair, and the login does not tell": {unknown, seed("x", at.Add(-time.Hour)), true},
		"another pair, and the clock was set back":  {at.Add(48 * time.Hour), seed("x", at), true},
		"another pair, which is older":              {at, seed("x", at.Add(-time.Hour)), false},
	} {
		before := &tokenstore.Record{Tokens: seed("first", unknown), Version: 3}
		before.Supersede(seed("renewed", at.Add(-time.Minute)))
		between := &tokenstore.Record{Tokens: bare}
		takePlace(between, before)
		login := &tokenstore.Record{Tokens: seed("login", tt.login)}
		takePlace(login, between)
		login.Supersede(login.Tokens) // as every renewal does
		if got := newLogin(login, tt.tokens, at.Add(time.Hour)); got != tt.want || login.Version != 3 {
			t.Errorf("%s: a new login: %v; want %v", name, got, tt.want)
		}
	}
}

func TestWhatALoginRemembersOfThoseBefore(t *testing.T) {
	pair := func(i int) *oauth.TokenPair { return &oauth.TokenPair{AccessToken: "a", RefreshToken: fmt.Sprint(i)} }
	rec := &tokenstore.Record{Tokens: pair(0)}
	for i := 1; i < 100; i++ {
		next := &tokenstore.Record{Tokens: pair(i)}
		takePlace(next, rec)
		rec = next
	}
	if n := len(rec.Replaced); n != maxReplaced {
		t.Errorf("%d are remembered; want %d", n, maxReplaced)
	}
	for i, want := range map[int]bool{0: true, 1: false, 85: true, 98: true, 99: false} {
		if got := !newLogin(rec, pair(i), time.Now()); i < 99 && got != want {
			t.Errorf("login %d of 100 is remembered: %v; want %v", i, got, want)
		}
	}
	again := &tokenstore.Record{Tokens: pair(0)}
	if takePlace(again, rec); tookPlace(again, &tokenstore.Record{Tokens: pair(0)}) || !tookPlace(again, rec) {
		t.Error("a login is replaced by itself")
	}
}

// A login that the program insists on, and that could not be saved, stays one when the Store
// is back, although the login that it replaces was renewed meanwhile.
func TestALoginThatIsNotSavedReplacesWhatItWasToReplace(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		first := d.rec.Tokens
		if _, err := d.Login(t.Context(), pair("2"), false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		d.store.full = tokenstore.ErrUnavailable
		again := first.Clone() // of a server that knows one refresh token of a person
		again.AccessToken, again.IssuedAt = "again", time.Time{}
		if _, err := d.Login(t.Context(), again, false); err == nil {
			t.Fatal("it was saved")
		}
		d.store.full = nil
		time.Sleep(time.Minute)
		d.store.edit(t, func(rec *tokenstore.Record) { rec.Supersede(pair("3")) })
		if err := d.save(t.Context()); err != nil {
			t.Fatal(err)
		}
		stored, err := d.store.Memory.Get(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		if stored.Tokens.AccessToken != "again" || !tookPlace(stored, &tokenstore.Record{Tokens: pair("3")}) {
			t.Errorf("the Store has %q, after %v", stored.Tokens.AccessToken, stored.Replaced)
		}
	})
}
