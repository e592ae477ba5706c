package tokenstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestFuncCreatesAndSupersedes(t *testing.T) {
	store := new(tokenstore.Memory)
	save := tokenstore.Func(store, "default")
	if err := save(t.Context(), newPair("1")); err != nil {
		t.Fatal(err)
	}
	rec := mustGet(t, store, "default")
	rec.Unknown = map[string]json.RawMessage{"future": json.RawMessage(`1`)}
	rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint("refresh-1")}
	rec.RefreshedBy = "client"
	mustSet(t, store, "default", rec)

	next := newPair("2")
	if err := save(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	next.AccessToken = "changed after the save"
	got := mustGet(t, store, "default")
	if got.Tokens.AccessToken != "access-2" || !got.Descends("refresh-1") || got.Pending != nil {
		t.Errorf("after the save: %v, descends %v, pending %v", got, got.Descends("refresh-1"), got.Pending)
	}
	if string(got.Unknown["future"]) != "1" || got.RefreshedBy != "client" {
		t.Errorf("the rest of the record was lost: %v, %q", got.Unknown, got.RefreshedBy)
	}
}

func TestF32_PairWithoutRefreshTokenKeepsTheStoredOne(t *testing.T) {
	ends := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	for _, dead := range []bool{false, true} {
		store := new(tokenstore.Memory)
		rec := &tokenstore.Record{Tokens: newPair("1")}
		rec.Tokens.RefreshExpiresAt = ends
		if dead {
			rec.Dead = &tokenstore.Mark{Token: tokenstore.Fingerprint("refresh-1"), Certain: true}
		}
		mustSet(t, store, "default", rec)
		given := &oauth.TokenPair{AccessToken: "access-2"}
		if err := tokenstore.Func(store, "default")(t.Context(), given); err != nil {
			t.Fatal(err)
		}
		want, wantEnds := "refresh-1", ends
		if dead {
			want, wantEnds = "", time.Time{}
		}
		got := mustGet(t, store, "default").Tokens
		if got.AccessToken != "access-2" || got.RefreshToken != want || !got.RefreshExpiresAt.Equal(wantEnds) {
			t.Errorf("dead %v: refresh token %q until %v; want %q", dead, got.RefreshToken, got.RefreshExpiresAt, want)
		}
		if given.RefreshToken != "" {
			t.Errorf("the given pair was modified")
		}
	}
}

func TestF19_FuncNeverOverwritesANewerPair(t *testing.T) {
	at := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	issued := func(label string, at time.Time) *oauth.TokenPair {
		p := newPair(label)
		p.IssuedAt = at
		return p
	}
	for what, test := range map[string]struct {
		stored, given *oauth.TokenPair
		ancestor      string
		ok            bool
	}{
		"issued before":                {issued("2", at), issued("1", at.Add(-time.Second)), "", false},
		"issued after":                 {issued("1", at), issued("2", at.Add(time.Second)), "", true},
		"issued at the same time":      {issued("1", at), issued("2", at), "", true},
		"stored one's time not known":  {newPair("1"), issued("2", at), "", true},
		"given one's time not known":   {issued("1", at), newPair("2"), "", true},
		"refresh token superseded":     {issued("2", at), issued("1", at.Add(time.Second)), "refresh-1", false},
		"same refresh token, kept on":  {issued("1", at), issued("1", at.Add(time.Second)), "refresh-1", true},
		"superseded, times not known":  {newPair("2"), newPair("1"), "refresh-1", false},
		"stored record without tokens": {nil, newPair("1"), "", true},
	} {
		store := new(tokenstore.Memory)
		rec := &tokenstore.Record{Tokens: test.stored}
		if test.ancestor != "" {
			rec.Ancestors = []string{tokenstore.Fingerprint(test.ancestor)}
		}
		version := mustSet(t, store, "default", rec)
		err := tokenstore.Func(store, "default")(t.Context(), test.given)
		if test.ok != (err == nil) || (!test.ok && !errors.Is(err, tokenstore.ErrConflict)) {
			t.Errorf("%s: %v; want success %v, or else ErrConflict", what, err, test.ok)
		}
		if changed := mustGet(t, store, "default").Version != version; changed != test.ok {
			t.Errorf("%s: record changed: %v; want %v", what, changed, test.ok)
		}
	}
}

// A rival changes the session before each of the first Sets.
type rival struct {
	tokenstore.Memory
	times int
	sets  int
}

func (r *rival) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	r.sets++
	if r.sets <= r.times {
		other, err := r.Get(ctx, name)
		if err != nil {
			return 0, err
		}
		other.NotBefore = time.Unix(int64(r.sets), 0)
		if _, err := r.Memory.Set(ctx, name, other); err != nil {
			return 0, err
		}
	}
	return r.Memory.Set(ctx, name, rec)
}

func TestFuncStartsOverWhenSomebodyWasFaster(t *testing.T) {
	for _, test := range []struct {
		times int
		ok    bool
	}{{3, true}, {1000, false}} {
		store := &rival{times: test.times}
		if _, err := store.Memory.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("1")}); err != nil {
			t.Fatal(err)
		}
		err := tokenstore.Func(store, "default")(t.Context(), newPair("2"))
		if test.ok != (err == nil) || (!test.ok && !errors.Is(err, tokenstore.ErrConflict)) {
			t.Errorf("%d rivals: %v", test.times, err)
		}
		if saved := mustGet(t, store, "default").Tokens.AccessToken == "access-2"; saved != test.ok {
			t.Errorf("%d rivals: saved %v; want %v", test.times, saved, test.ok)
		}
	}
}

func TestFuncSavesOverADamagedSession(t *testing.T) {
	f := openFile(t, testdir.New(t))
	writeFile(t, f.Dir()+"/default.json", "damaged", 0o600)
	if err := tokenstore.Func(f, "default")(t.Context(), newPair("1")); err != nil {
		t.Fatal(err)
	}
	mustGet(t, f, "default")
	wantAside(t, f, 1)
}

func TestFuncPassesErrorsOn(t *testing.T) {
	store := new(tokenstore.Memory)
	if err := tokenstore.Func(store, "")(t.Context(), newPair("1")); !errors.Is(err, tokenstore.ErrInvalidName) {
		t.Errorf("invalid name: %v", err)
	}
	if err := tokenstore.Func(store, "default")(t.Context(), nil); err == nil {
		t.Errorf("nil was saved")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tokenstore.Func(store, "default")(ended, newPair("1")); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

func TestConcurrentSavesThroughFuncAllCount(t *testing.T) {
	f := openFile(t, testdir.New(t))
	save := tokenstore.Func(f, "default")
	at := time.Now()
	var saved, older atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p := newPair(fmt.Sprint(i))
			p.IssuedAt = at.Add(time.Duration(i) * time.Second)
			switch err := save(t.Context(), p); {
			case err == nil:
				saved.Add(1)
			case errors.Is(err, tokenstore.ErrConflict):
				older.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := mustGet(t, f, "default"); got.Tokens.AccessToken != "access-7" || len(got.Ancestors) != int(saved.Load())-1 {
		t.Errorf("stored %q with %d ancestors; want the newest of all, with the %d others that were saved",
			got.Tokens.AccessToken, len(got.Ancestors), saved.Load()-1)
	}
}
