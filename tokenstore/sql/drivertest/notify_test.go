//go:build real && linux

package drivertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sql"
)

func TestWatchTellsOfEveryWriteUntilItsContextEnds(t *testing.T) {
	server := startPostgres(t)
	p := server.newPlace(t)
	p.Table = "public." + p.Table // one channel, whatever its name
	store := func() *sqlstore.Store {
		return p.store(t, func(cfg *sqlstore.Config) { cfg.Listen = p.listener() })
	}
	s, writer := store(), store()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan tokenstore.Change, 100), make(chan error, 1)
	go func() {
		ended <- tokenstore.NewSealed(s, nil).Watch(ctx, func(c tokenstore.Change) { told <- c })
	}()
	wants := func(name string, begun bool) {
		t.Helper()
		want := tokenstore.Change{Name: name, Begun: begun}
		select {
		case got := <-told:
			if got != want {
				t.Errorf("told of %+v; want %+v", got, want)
			}
		case err := <-ended:
			t.Fatalf("Watch ended: %v", err)
		case <-time.After(patience):
			t.Fatalf("not told of %+v", want)
		}
	}
	wants("", false)
	const odd = `it's "odd" é`
	rec := &tokenstore.Record{Tokens: newPair("a")}
	rec.Version = mustSet(t, writer, odd, rec)
	wants(odd, false)
	rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint("a"), At: time.Now()}
	version := mustSet(t, writer, odd, rec)
	wants(odd, true)
	if _, err := writer.Set(t.Context(), odd, rec); !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("a conflict: %v", err)
	}
	if err := writer.Delete(t.Context(), odd, version); err != nil {
		t.Error(err)
	}
	wants(odd, false) // once: a conflict is no change

	server.kill()
	server.start()
	wants("", false)
	mustSet(t, writer, "again", &tokenstore.Record{Tokens: newPair("a")})
	wants("again", false)

	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ended with %v", err)
	}
}

func TestWatchEndsIfTheDatabaseIsDownFromTheBeginning(t *testing.T) {
	server := startPostgres(t)
	p := server.newPlace(t)
	s := p.store(t, func(cfg *sqlstore.Config) { cfg.Listen = p.listener() })
	server.kill()
	if err := s.Watch(t.Context(), func(tokenstore.Change) {}); !errors.Is(err, tokenstore.ErrUnavailable) {
		t.Errorf("%v; want %v", err, tokenstore.ErrUnavailable)
	}
}

// The promises hold while every write notifies.
func TestNotifyingStoreKeepsThePromisesOfAStore(t *testing.T) {
	server := startPostgres(t)
	runSuite(t, func(t testing.TB) place { p := server.newPlace(t); p.Notify = true; return p })
}
