//go:build real && linux

package drivertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
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
	watch := func() {
		ended <- tokenstore.NewSealed(s, nil).Watch(ctx, func(c tokenstore.Change) { told <- c })
	}
	go watch()
	wants := func(name string, begun bool) {
		t.Helper()
		want := tokenstore.Change{Name: name, Begun: begun}
		select {
		case got := <-told:
			if got.Version = 0; got != want { // of whatever version
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
	wants(odd, false) // once: a conflict is not a change

	server.kill()
	if err := <-ended; !errors.Is(err, tokenstore.ErrUnavailable) {
		t.Errorf("Watch ended with %v; want %v", err, tokenstore.ErrUnavailable)
	}
	server.start()
	go watch()
	wants("", false)
	mustSet(t, store(), "again", &tokenstore.Record{Tokens: newPair("a")})
	wants("again", false)

	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ended with %v", err)
	}
}

// Nothing that would be said arrives any more, and no connection fails.
func TestWatchEndsWhenNothingArrives(t *testing.T) {
	server := startPostgres(t)
	p := server.newPlace(t)
	migrate(t, p)
	far, proxy := server.behindProxy(p)
	for name, database := range map[string]place{"over the listening connection": p, "over any": far} {
		t.Run(name, func(t *testing.T) {
			var returned chan error // by the last store's Listen
			listen := far.listener()
			store := func(leaseTime time.Duration) *sqlstore.Store {
				back := make(chan error, 1)
				returned = back
				return database.store(t, func(cfg *sqlstore.Config) {
					cfg.LeaseTime = leaseTime // which is also the silence that is doubted
					cfg.Listen = func(ctx context.Context, channel string, notify func(string)) error {
						err := listen(ctx, channel, notify)
						back <- err
						return err
					}
				})
			}
			resume := func() {
				<-returned // it does not wait for the database
				proxy.Resume()
			}
			teststore.WatchUntilSilent(t, func(silence time.Duration) tokenstore.Watcher { return store(silence) }, proxy.Hold, resume)

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			told := make(chan tokenstore.Change, 100)
			ended := teststore.Watch(ctx, store(longLease), func(c tokenstore.Change) { told <- c })
			if first := <-told; first != (tokenstore.Change{}) {
				t.Errorf("the first call is about %+v; want any session", first)
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Watch ended with %v", err)
			}
		})
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
