package drivertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore/refreshtoken/database"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken/ginjwt"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// The refresh tokens of a server, in a database (package tokenstore/refreshtoken/database).

var errUnknownToken = errors.New("unknown to this program")

type account struct {
	Name string
	ID   int64
}

// tokens returns a store of refresh tokens in the place, in a table of its own.
func (p place) tokens(t testing.TB, table string, decode func([]byte) (any, error)) *database.Store {
	t.Helper()
	cfg := database.Config{Table: table, NotFound: errUnknownToken, Decode: decode}
	if p.Driver == "sqlite" {
		cfg.Dialect = sqlstore.SQLite
	}
	s, err := database.New(p.db(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRefreshTokensAreKept(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		ctx, later := t.Context(), time.Now().Add(time.Hour)
		table := newTable()
		s := p.tokens(t, table, ginjwt.UserData[*account])
		// Replicas start at once.
		var starting sync.WaitGroup
		for range 4 {
			starting.Go(func() {
				if err := p.tokens(t, table, nil).Migrate(ctx); err != nil {
					t.Errorf("Migrate: %v", err)
				}
			})
		}
		starting.Wait()
		const odd = "t:+/=\"* \x00\xff ä\n'"
		for _, token := range []string{"t", odd} {
			if err := s.Set(ctx, token, &account{"alice\x00", 9007199254740993}, later); err != nil {
				t.Fatal(err)
			}
		}
		got, err := p.tokens(t, table, ginjwt.UserData[*account]).Get(ctx, odd)
		if a, ok := got.(*account); err != nil || !ok || *a != (account{"alice\x00", 9007199254740993}) {
			t.Errorf("Get = %v, %v; want the account", got, err)
		}
		if plain, err := p.tokens(t, table, nil).Get(ctx, "t"); err != nil || plain.(map[string]any)["Name"] != "alice\x00" {
			t.Errorf("Get without Decode = %v, %v; want a map", plain, err)
		}
		if err := s.Set(ctx, "t", &account{"bob", 1}, later); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(ctx, "t"); err != nil || got.(*account).Name != "bob" {
			t.Errorf("Get = %v, %v; want the one that replaced", got, err)
		}
		if err := s.Set(ctx, "t", &account{"carol", 1}, time.Now().Add(-time.Hour)); err == nil {
			t.Error("a Set in the past succeeded")
		}
		if got, err := s.Get(ctx, "t"); err != nil || got.(*account).Name != "bob" {
			t.Errorf("after a Set that failed: %v, %v; want what was there", got, err)
		}
		for range 2 {
			if err := s.Delete(ctx, odd); err != nil {
				t.Error(err)
			}
		}
		if _, err := s.Get(ctx, odd); err != errUnknownToken {
			t.Errorf("Get of a deleted token: %v", err)
		}
		if n, err := s.Count(ctx); n != 1 || err != nil {
			t.Errorf("Count = %d, %v", n, err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := s.Get(ended, "t"); !errors.Is(err, context.Canceled) {
			t.Errorf("Get with a context that has ended: %v", err)
		}
	})
}

func TestExpiredRefreshTokensAreGoneAndSwept(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		ctx, table := t.Context(), newTable()
		s := p.tokens(t, table, nil)
		if err := s.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{"short", "long"} {
			if err := s.Set(ctx, token, token, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		quoted := `"` + table + `"`
		if _, err := p.db(t).Exec("UPDATE " + quoted + ` SET expires_at = 1 WHERE user_data = '"short"'`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, "short"); err != errUnknownToken {
			t.Errorf("Get of an expired token: %v", err)
		}
		rows := func() (n int) {
			if err := p.db(t).QueryRow("SELECT count(*) FROM " + quoted).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n, err := s.Count(ctx); n != 1 || err != nil || rows() != 2 {
			t.Errorf("Count = %d, %v, and %d rows; want 1, and no row swept", n, err, rows())
		}
		if n, err := s.Cleanup(ctx); n != 1 || err != nil || rows() != 1 {
			t.Errorf("Cleanup = %d, %v, and %d rows; want 1 and 1", n, err, rows())
		}
		var stored string
		if err := p.db(t).QueryRow("SELECT token_hash FROM " + quoted).Scan(&stored); err != nil || strings.Contains(stored, "long") || len(stored) != 43 {
			t.Errorf("the table has %q, %v; want a hash", stored, err)
		}
	})
}
