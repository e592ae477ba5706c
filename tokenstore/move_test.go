package tokenstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A plainStore is a store without locks.
type plainStore struct{ tokenstore.Store }

func TestF24_OfTwoCopiesTheNewerOneWinsAndTheOtherIsRemoved(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	// copyOf returns a copy whose refresh token is the given one.
	copyOf := func(token string, renewed time.Time, ancestors ...string) *tokenstore.Record {
		rec := &tokenstore.Record{Tokens: &oauth.TokenPair{RefreshToken: token}, RefreshedAt: renewed}
		for _, a := range ancestors {
			rec.Ancestors = append(rec.Ancestors, tokenstore.Fingerprint(a))
		}
		return rec
	}
	issued := func(token string, at time.Time) *tokenstore.Record {
		return &tokenstore.Record{Tokens: &oauth.TokenPair{RefreshToken: token, IssuedAt: at}}
	}
	later := noon.Add(time.Minute)
	for name, test := range map[string]struct {
		from, to *tokenstore.Record
		want     string // the refresh token of the copy that is left
	}{
		"only one": {copyOf("r1", noon), nil, "r1"},
		"from descends, although its clock is behind": {copyOf("r2", noon, "r1"), copyOf("r1", later), "r2"},
		"to descends, although its clock is behind":   {copyOf("r1", later), copyOf("r2", noon, "r1"), "r2"},
		"from descends over generations":              {copyOf("r9", noon, "r1", "r8"), copyOf("r1", later), "r9"},
		"unrelated, from renewed later":               {copyOf("new", later), copyOf("old", noon), "new"},
		"unrelated, to renewed later":                 {copyOf("old", noon), copyOf("new", later), "new"},
		"unrelated, from issued later":                {issued("new", later), copyOf("old", noon), "new"},
		"unrelated, to issued later":                  {copyOf("old", noon), issued("new", later), "new"},
		"each descends from the other":                {copyOf("new", later, "old"), copyOf("old", noon, "new"), "new"},
		"nothing is known":                            {copyOf("r1", time.Time{}), copyOf("r2", time.Time{}), "r2"},
		"to has no tokens":                            {copyOf("r1", time.Time{}), &tokenstore.Record{NotBefore: later}, "r1"},
		"from has no tokens":                          {&tokenstore.Record{NotBefore: later}, copyOf("r2", time.Time{}), "r2"},
	} {
		for kind, wrap := range map[string]func(tokenstore.Store) tokenstore.Store{
			"with locks":    func(s tokenstore.Store) tokenstore.Store { return s },
			"without locks": func(s tokenstore.Store) tokenstore.Store { return plainStore{s} },
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				from, to := wrap(new(tokenstore.Memory)), wrap(new(tokenstore.Memory))
				mustSet(t, from, "default", test.from)
				if test.to != nil {
					mustSet(t, to, "default", test.to)
				}
				if err := tokenstore.Move(t.Context(), from, to, "default"); err != nil {
					t.Fatal(err)
				}
				if got := mustGet(t, to, "default").Tokens.RefreshToken; got != test.want {
					t.Errorf("the copy with %q is left; want %q", got, test.want)
				}
				if _, err := from.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
					t.Errorf("Get of the copy that lost: %v; want ErrNotFound", err)
				}
				if l, ok := to.(tokenstore.Locker); ok {
					lease, err := l.Lock(t.Context(), "default")
					if err != nil {
						t.Fatalf("a lock was left: %v", err)
					}
					_ = lease.Unlock()
				}
			})
		}
	}
}

func TestF36_MovedSessionIsComplete(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	rec := &tokenstore.Record{
		Tokens: &oauth.TokenPair{
			AccessToken: "a", RefreshToken: "r", TokenType: "Bearer", ExpiresIn: 60, ExpiresAt: at, IssuedAt: at,
			RefreshExpiresAt: at, Scope: "s", IDToken: "i",
		},
		Pending: &tokenstore.Mark{Token: "p", At: at, Code: "c"}, Refused: &tokenstore.Mark{Token: "q", At: at}, Dead: &tokenstore.Mark{Token: "d", At: at},
		NotBefore: at, AskedAt: at, WentBackAt: at, RefreshedAt: at, RefreshedBy: "by", Ancestors: []string{"x", "y"}, Replaced: []string{"z"},
		Unknown: map[string]json.RawMessage{"later": json.RawMessage(`{"a":1}`)},
	}
	from, to := new(tokenstore.Memory), new(tokenstore.Memory)
	mustSet(t, from, "default", rec)
	if err := tokenstore.Move(t.Context(), from, to, "default"); err != nil {
		t.Fatal(err)
	}
	got := mustGet(t, to, "default")
	got.Version = 0
	a, _ := json.Marshal(rec)
	b, _ := json.Marshal(got)
	if string(a) != string(b) {
		t.Errorf("moved:\n%s\nwant:\n%s", b, a)
	}
}

func TestMoveOfAnAbsentSessionSaysSo(t *testing.T) {
	from, to := new(tokenstore.Memory), new(tokenstore.Memory)
	mustSet(t, to, "default", &tokenstore.Record{Tokens: newPair("a")})
	if err := tokenstore.Move(t.Context(), from, to, "default"); !errors.Is(err, tokenstore.ErrNotFound) {
		t.Errorf("Move: %v; want ErrNotFound", err)
	}
	mustGet(t, to, "default")
}

func TestMoveWithinOneStoreFailsAndKeepsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(tokenstore.Memory)
		mustSet(t, store, "default", &tokenstore.Record{Tokens: newPair("a")})
		if err := tokenstore.Move(t.Context(), store, store, "default"); !errors.Is(err, tokenstore.ErrLocked) {
			t.Errorf("Move: %v; want ErrLocked", err)
		}
		mustGet(t, store, "default")
		plain := plainStore{store}
		if err := tokenstore.Move(t.Context(), plain, plain, "default"); !errors.Is(err, tokenstore.ErrConflict) {
			t.Errorf("Move without locks: %v; want ErrConflict", err)
		}
		mustGet(t, store, "default")
	})
}

func TestMoveWaitsForTheLocksOfBothStores(t *testing.T) {
	for i, which := range []string{"from", "to"} {
		t.Run(which, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stores := [2]tokenstore.Memory{}
				mustSet(t, &stores[0], "default", &tokenstore.Record{Tokens: newPair("a")})
				lease, err := stores[i].Lock(t.Context(), "default")
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- tokenstore.Move(t.Context(), &stores[0], &stores[1], "default") }()
				time.Sleep(time.Hour)
				select {
				case err := <-done:
					t.Fatalf("Move did not wait: %v", err)
				default:
				}
				if err := lease.Unlock(); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestMoveGivesUpWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var from, to tokenstore.Memory
		mustSet(t, &from, "default", &tokenstore.Record{Tokens: newPair("a")})
		lease, err := to.Lock(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err = tokenstore.Move(ctx, &from, &to, "default")
		if !errors.Is(err, tokenstore.ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Move: %v; want ErrLocked and the context's error", err)
		}
		_ = lease.Unlock()
		for _, s := range []*tokenstore.Memory{&from, &to} {
			lease, err := s.Lock(t.Context(), "default")
			if err != nil {
				t.Fatalf("a lock was left: %v", err)
			}
			_ = lease.Unlock()
		}
	})
}

// A slowMemory is a store whose locks take a while, as over a network.
type slowMemory struct{ tokenstore.Memory }

func (m *slowMemory) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	lease, err := m.Memory.Lock(ctx, name)
	time.Sleep(10 * time.Millisecond)
	return lease, err
}

// Whoever moves sessions there and whoever moves them back must not wait for each
// other for ever.
func TestMovesInOppositeDirectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var a, b slowMemory
		mustSet(t, &a, "default", &tokenstore.Record{Tokens: newPair("a")})
		done := make(chan error)
		for i := range 4 {
			from, to := &a, &b
			if i%2 == 1 {
				from, to = to, from
			}
			go func() { done <- tokenstore.Move(t.Context(), from, to, "default") }()
		}
		for range 4 {
			if err := <-done; err != nil && !errors.Is(err, tokenstore.ErrNotFound) {
				t.Error(err)
			}
		}
		n, _ := a.Count(t.Context())
		m, _ := b.Count(t.Context())
		if n+m != 1 {
			t.Errorf("%d and %d copies are left; want one", n, m)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("they held up each other for %v", took)
		}
	})
}
