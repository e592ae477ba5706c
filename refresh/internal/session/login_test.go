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

func TestWhichPairsCanBecomeTheSession(t *testing.T) {
	for name, tt := range map[string]struct {
		edit   func(c *Config)
		tokens *oauth.TokenPair
		err    error
		says   string // "": it can
	}{
		"a pair":                 {nil, pair("1"), nil, ""},
		"an access token alone":  {nil, &oauth.TokenPair{AccessToken: "a"}, nil, ""},
		"a refresh token alone":  {nil, &oauth.TokenPair{RefreshToken: "r"}, nil, ""},
		"none":                   {nil, nil, nil, "tokens are nil"},
		"no token":               {nil, &oauth.TokenPair{Scope: "s"}, nil, "no token"},
		"a follower":             {func(c *Config) { c.Follower = true }, pair("1"), ErrFollower, "follower"},
		"one with a line break":  {nil, &oauth.TokenPair{AccessToken: "a\n"}, errAccessToken, "line break"},
		"one nothing can renew":  {nil, &oauth.TokenPair{AccessToken: "a", GrantType: oauth.GrantTypeClientCredentials}, oauth.ErrMisconfigured, "client credentials"},
		"one that is not to be":  {func(c *Config) { c.Paused = true }, &oauth.TokenPair{AccessToken: "a", GrantType: oauth.GrantTypeJWTBearer}, nil, ""},
		"one from an assertion":  {nil, &oauth.TokenPair{AccessToken: "a", GrantType: oauth.GrantTypeJWTBearer}, oauth.ErrMisconfigured, "assertion"},
		"one from another token": {nil, &oauth.TokenPair{AccessToken: "a", GrantType: oauth.GrantTypeTokenExchange}, oauth.ErrMisconfigured, "exchange"},
	} {
		c := &Config{RenewsGrant: func(string) bool { return false }}
		if tt.edit != nil {
			tt.edit(c)
		}
		err := c.CheckUpdate(tt.tokens)
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) || !errors.Is(err, tt.err) && tt.err != nil {
			t.Errorf("%s: %v; want %q", name, err, tt.says)
		}
	}
}

// A login goes on from what is saved, whatever that is; from what is known here if the
// Store does not say; and from nothing if there is nothing.
func TestALoginGoesOnFromWhatIsSaved(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk)
		from   func(d *desk, stored uint64) uint64
		note   bool
		fails  error
	}{
		"what is known":      {func(*testing.T, *desk) {}, func(_ *desk, stored uint64) uint64 { return stored }, true, nil},
		"what others saved":  {func(t *testing.T, d *desk) { d.store.put(t, pair("2")) }, func(_ *desk, stored uint64) uint64 { return stored }, true, nil},
		"the Store is away":  {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrUnavailable }, func(d *desk, _ uint64) uint64 { return d.rec.Version }, true, tokenstore.ErrUnavailable},
		"away, nothing here": {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrUnavailable; d.rec = nil }, func(*desk, uint64) uint64 { return 0 }, false, tokenstore.ErrUnavailable},
		"damaged":            {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrDamaged }, func(*desk, uint64) uint64 { return 0 }, false, tokenstore.ErrDamaged},
		"nothing":            {func(t *testing.T, d *desk) { d.store.remove(t) }, func(*desk, uint64) uint64 { return 0 }, false, nil},
	} {
		inBubble(t, name, func(t *testing.T) {
			handed := 0
			d := newDesk(t, func(d *desk) {
				d.cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { handed++; return nil }
			})
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Unknown = map[string]json.RawMessage{"note": json.RawMessage(`"x"`)} })
			if err := d.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
			tt.before(t, d)
			stored := uint64(0)
			if rec, err := d.store.Memory.Get(t.Context(), session); err == nil {
				stored = rec.Version
			}
			want := tt.from(d, stored)
			tried := &tried{Store: d.store}
			d.cfg.Records = tried
			handed = 0
			_, err := d.Login(t.Context(), pair("x"), false)
			if !errors.Is(err, tt.fails) || (err == nil) != (tt.fails == nil) {
				t.Errorf("error %v; want %v", err, tt.fails)
			}
			d.shows(t, "ax")
			if tried.version != want || (string(tried.rec.Unknown["note"]) == `"x"`) != tt.note {
				t.Errorf("it goes on from version %d with %v; want %d", tried.version, tried.rec.Unknown, want)
			}
			if (handed == 1) != (err == nil) || d.unsaved.any() != (err != nil) || d.unsaved.login != (err != nil) {
				t.Errorf("handed %d times, unsaved %+v", handed, d.unsaved)
			}
			if life, known := d.rec.Tokens.Lifetime(); !known || life != time.Hour {
				t.Errorf("it lives for %v, known: %t", life, known)
			}
		})
	}
}

// tried notes what was tried to be saved first.
type tried struct {
	tokenstore.Store
	version uint64
	rec     *tokenstore.Record
}

func (s *tried) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if s.rec == nil {
		s.version, s.rec = rec.Version, rec.Clone()
	}
	return s.Store.Set(ctx, name, rec)
}

// A pair is known if it is the session's, or an earlier state of it.
func TestWhichPairsASessionKnows(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		first := d.rec.Tokens
		d.gives("2")
		if err := d.renew(t); err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct {
			tokens *oauth.TokenPair
			want   bool
		}{"its own": {d.rec.Tokens, true}, "the one before": {first, true}, "another": {pair("x"), false}} {
			if got := d.Knows(tt.tokens); got != tt.want {
				t.Errorf("%s: known: %t; want %t", name, got, tt.want)
			}
		}
		if d.rec = nil; d.Knows(first) {
			t.Error("a session that has not begun knows a pair")
		}
	})
}

// newLogin compares times of issue where the refresh token does not tell.
func TestTheSameRefreshTokenWithAnotherAccessToken(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		for _, tt := range []struct {
			refresh string
			minutes int // after the saved pair was issued
			want    bool
		}{{"r", 1, true}, {"r", 0, false}, {"r", -1, false}, {"", 1, true}, {"", 0, true}, {"", -1, false}} {
			stored := at(tt.refresh, 0, 1)
			next := stored.Tokens.Clone()
			next.AccessToken = "another"
			next.IssuedAt = stored.Tokens.IssuedAt.Add(time.Duration(tt.minutes) * time.Minute)
			if got := newLogin(stored, next, stored.Tokens.IssuedAt.Add(time.Hour)); got != tt.want {
				t.Errorf("%q, issued %d minutes later: a login: %t; want %t", tt.refresh, tt.minutes, got, tt.want)
			}
		}
	})
}

// Whether a session has perhaps ended is known of this run, or by what was noted before.
func TestWhetherASessionHasPerhapsEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(d *desk)
		want bool
	}{
		"no":                     {func(*desk) {}, false},
		"it is suspected":        {func(d *desk) { d.setHealth(func(h *Health) { h.State = StateSuspected }) }, true},
		"the same, and no more":  {func(d *desk) { d.setHealth(func(h *Health) { h.State = StateSuspected }); d.rec = nil }, true},
		"it is retried":          {func(d *desk) { d.setHealth(func(h *Health) { h.State = StateRetrying }) }, false},
		"no session":             {func(d *desk) { d.rec = nil }, false},
		"refused for long":       {func(d *desk) { d.rec.Refused = refusedFor(10*time.Minute+1, 3) }, true},
		"refused for a while":    {func(d *desk) { d.rec.Refused = refusedFor(10*time.Minute, 3) }, false},
		"refused twice":          {func(d *desk) { d.rec.Refused = refusedFor(time.Hour, 2) }, false},
		"refused, and it lives":  {func(d *desk) { d.fresh(pair("1")); d.rec.Refused = refusedFor(time.Hour, 3) }, false},
		"another one is refused": {func(d *desk) { d.rec.Refused = refusedFor(time.Hour, 3); d.rec.Refused.Token = "x" }, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			tt.edit(d)
			if got := d.PerhapsEnded(); got != tt.want {
				t.Errorf("perhaps ended: %t; want %t", got, tt.want)
			}
		})
	}
}

// refusedFor is the mark that r1 has been refused for that long.
func refusedFor(long time.Duration, times int) *tokenstore.Mark {
	now := time.Now().UTC()
	return &tokenstore.Mark{Token: tokenstore.Fingerprint("r1"), By: "config", At: now.Add(-long), Last: now, Count: times}
}

type checker struct {
	tokenstore.Store
	err error
	ctx context.Context
}

func (c *checker) Check(ctx context.Context, name string) error {
	if name != session {
		panic(name)
	}
	c.ctx = ctx
	return c.err
}

func TestAStoreIsAskedWhetherItWouldTakeASession(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		if err := d.cfg.CheckStore(t.Context(), session); err != nil {
			t.Errorf("a Store that cannot tell: %v", err)
		}
		for _, want := range []error{nil, errors.New("x")} {
			store := &checker{d.store, want, nil}
			d.cfg.Store = store
			if err := d.cfg.CheckStore(t.Context(), session); err != want {
				t.Errorf("error %v; want %v", err, want)
			}
			if _, limited := store.ctx.Deadline(); !limited || store.ctx.Err() == nil {
				t.Error("the context of the call has no end, or outlives it")
			}
		}
	})
}

// A caller who has waited for long is shown a living token that another process has saved.
func TestACallerPeeksForWhatOthersHaveSaved(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk)
		want   string
	}{
		"nothing new": {func(*testing.T, *desk) {}, ""},
		"nothing new, live": {func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens.ExpiresAt = time.Now().Add(time.Hour) })
		}, ""},
		"a living pair":     {func(t *testing.T, d *desk) { d.store.put(t, pair("2")) }, "a2"},
		"a dead pair":       {func(t *testing.T, d *desk) { d.store.put(t, pair("2")); time.Sleep(time.Hour) }, ""},
		"none here yet":     {func(t *testing.T, d *desk) { d.store.put(t, pair("2")); d.cur.Store(nil) }, "a2"},
		"nothing is saved":  {func(t *testing.T, d *desk) { d.store.remove(t) }, ""},
		"nothing, none":     {func(t *testing.T, d *desk) { d.store.remove(t); d.cur.Store(nil) }, ""},
		"the Store is away": {func(t *testing.T, d *desk) { d.store.put(t, pair("2")); d.store.fails = tokenstore.ErrUnavailable }, ""},
		"a verdict":         {func(t *testing.T, d *desk) { d.store.edit(t, dead("r1")) }, "ended"},
		"another's verdict": {func(t *testing.T, d *desk) { d.store.edit(t, dead("r0")) }, ""},
		"no Store":          {func(t *testing.T, d *desk) { d.store.put(t, pair("2")); d.rec = d.stored(t); d.cfg.Store = nil }, ""},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			tt.before(t, d)
			before := d.cur.Load()
			got := ""
			found, err := d.Peek(t.Context())
			switch {
			case errors.Is(err, oauth.ErrLoginRequired):
				got = "ended"
			case found != nil:
				got = found.Pair.AccessToken
			}
			if got != tt.want || d.cur.Load() != before {
				t.Errorf("found %q; want %q", got, tt.want)
			}
		})
	}
	inBubble(t, "a Store that does not answer", func(t *testing.T) {
		d := newDesk(t)
		d.cfg.Records = silentStore{d.store}
		begun := time.Now()
		if found, err := d.Peek(t.Context()); found != nil || err != nil || time.Since(begun) != time.Second {
			t.Errorf("took %v; want a second", time.Since(begun))
		}
	})
}

type silentStore struct{ tokenstore.Store }

func (silentStore) Get(ctx context.Context, _ string) (*tokenstore.Record, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}
