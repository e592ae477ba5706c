package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestNextSaveSealsWithTheFirstKey(t *testing.T) {
	inner := new(tokenstore.Memory)
	older, newer := tokenstore.NewKey(), tokenstore.NewKey()
	mustSet(t, newSealed(inner, older), "default", &tokenstore.Record{Tokens: newPair("a")})

	s := newSealed(inner, newer, older)
	rec := mustGet(t, s, "default")
	if got := keyOn(t, inner, "default"); got != older.ID() {
		t.Errorf("reading has sealed the session anew")
	}
	mustSet(t, s, "default", rec)
	if got := keyOn(t, inner, "default"); got != newer.ID() {
		t.Errorf("sealed with key %s; want the first one, %s", got, newer.ID())
	}
	mustGet(t, newSealed(inner, newer), "default")
}

func TestResealMakesTheOldKeysSuperfluous(t *testing.T) {
	f := openFile(t, testdir.New(t))
	oldest, older, newer := tokenstore.NewKey(), tokenstore.NewKey(), tokenstore.NewKey()
	rec := fullRecord()
	mustSet(t, newSealed(f, oldest), "a", rec)
	mustSet(t, newSealed(f, older), "b", rec)
	current := mustSet(t, newSealed(f, newer), "c", rec)

	s := newSealed(f, newer, older, oldest)
	lease, err := s.Lock(t.Context(), "c") // nothing needs it
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if n, err := s.Reseal(ctx); n != 2 || err != nil {
		t.Fatalf("Reseal: %d, %v; want 2", n, err)
	}
	if err := lease.Unlock(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		got := mustGet(t, newSealed(f, newer), name)
		if name == "c" && got.Version != current {
			t.Errorf("a session that was current was sealed anew")
		}
		got.Version = 0
		if !reflect.DeepEqual(spelled(t, got), spelled(t, rec)) {
			t.Errorf("session %s is another one now", name)
		}
	}
	if n, err := s.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("Reseal once more: %d, %v; want nothing to do", n, err)
	}
}

// What package connect keeps beside sessions would be lost with the key that is thrown away.
func TestResealAndSealPlainIncludeWhatIsKeptAboutServers(t *testing.T) {
	inner := new(tokenstore.Memory)
	older, newer := tokenstore.NewKey(), tokenstore.NewKey()
	about := tokenstore.ServerRecord("https://login.example.com")
	mustSet(t, inner, "default", &tokenstore.Record{Tokens: newPair("a")})
	mustSet(t, inner, about, &tokenstore.Record{RefreshedBy: "it"})
	if n, err := newSealed(inner, older).SealPlain(t.Context()); n != 2 || err != nil {
		t.Errorf("SealPlain: %d, %v; want 2", n, err)
	}
	if n, err := newSealed(inner, newer, older).Reseal(t.Context()); n != 2 || err != nil {
		t.Errorf("Reseal: %d, %v; want 2", n, err)
	}
	if got := mustGet(t, newSealed(inner, newer), about).RefreshedBy; got != "it" {
		t.Errorf("the record about a server says %q; want %q", got, "it")
	}
}

// A listedStore lists sessions and nothing else, as a Lister of a program's own may.
type listedStore struct {
	tokenstore.Store
	tokenstore.Lister
}

func TestResealOfAStoreThatListsNoRecordsSealsTheSessions(t *testing.T) {
	inner := new(tokenstore.Memory)
	older, newer := tokenstore.NewKey(), tokenstore.NewKey()
	mustSet(t, newSealed(inner, older), "default", &tokenstore.Record{Tokens: newPair("a")})
	if n, err := newSealed(listedStore{inner, inner}, newer, older).Reseal(t.Context()); n != 1 || err != nil {
		t.Errorf("Reseal: %d, %v; want 1", n, err)
	}
	mustGet(t, newSealed(inner, newer), "default")
}

// Reseal with the keys that a long-lived process has kept would do nothing, and
// the keys that are thrown away afterwards would take the sessions with them.
func TestResealAsksForTheKeysOfNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		older, newer := tokenstore.NewKey(), tokenstore.NewKey()
		inner, ring := new(tokenstore.Memory), &keyring{keys: []tokenstore.Key{older}}
		s := tokenstore.NewSealed(inner, ring.read)
		mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("a")})
		ring.hold(newer, older)
		if n, err := s.Reseal(t.Context()); n != 1 || err != nil {
			t.Errorf("Reseal: %d, %v; want 1", n, err)
		}
		if got := keyOn(t, inner, "default"); got != newer.ID() {
			t.Errorf("sealed with key %s; want the new one, %s", got, newer.ID())
		}
	})
}

// Somebody spends the refresh token. A new version of the record under their
// hands would cost them a conflict at the worst moment.
func TestResealWaitsForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := new(tokenstore.Memory)
		older, newer := tokenstore.NewKey(), tokenstore.NewKey()
		holder := newSealed(inner, older)
		rec := &tokenstore.Record{Tokens: newPair("1")}
		rec.Version = mustSet(t, holder, "default", rec)
		lease, err := holder.Lock(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}

		done := make(chan error, 1)
		go func() {
			n, err := newSealed(inner, newer, older).Reseal(t.Context())
			if n != 1 && err == nil {
				err = fmt.Errorf("%d sessions were sealed; want 1", n)
			}
			done <- err
		}()
		synctest.Wait() // it waits
		rec.Supersede(newPair("2"))
		mustSet(t, holder, "default", rec)
		if err := lease.Unlock(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("Reseal: %v", err)
		}
		if got := mustGet(t, newSealed(inner, newer), "default"); got.Tokens.RefreshToken != "refresh-2" {
			t.Errorf("Reseal put back an old pair")
		}
		synctest.Wait()
		free, err := holder.Lock(t.Context(), "default")
		if err != nil {
			t.Fatalf("Reseal kept the lock: %v", err)
		}
		_ = free.Unlock()
	})
}

// A racingStore calls before ahead of each of its Sets.
type racingStore struct {
	*tokenstore.Memory
	before func(name string) error
}

func (s *racingStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if err := s.before(name); err != nil {
		return 0, err
	}
	return s.Memory.Set(ctx, name, rec)
}

func TestResealBeginsAnewWhenSomebodySavesWithoutTheLock(t *testing.T) {
	inner := new(tokenstore.Memory)
	older, newer := tokenstore.NewKey(), tokenstore.NewKey()
	other := newSealed(inner, older)
	mustSet(t, other, "default", &tokenstore.Record{Tokens: newPair("0")})
	races := 0
	race := func(string) error {
		if races++; races > 3 {
			return nil
		}
		return tokenstore.Func(other, "default")(t.Context(), newPair(fmt.Sprint(races)))
	}
	s := newSealed(&racingStore{inner, race}, newer, older)
	if n, err := s.Reseal(t.Context()); n != 1 || err != nil {
		t.Errorf("Reseal: %d, %v; want 1", n, err)
	}
	if got := mustGet(t, newSealed(inner, newer), "default").Tokens.AccessToken; got != "access-3" {
		t.Errorf("the pair is %s; want the one that was saved last", got)
	}

	mustSet(t, other, "busy", &tokenstore.Record{Tokens: newPair("0")})
	s = newSealed(&racingStore{inner, func(string) error {
		return tokenstore.Func(other, "busy")(t.Context(), newPair("again"))
	}}, newer, older)
	if n, err := s.Reseal(t.Context()); n != 0 || !isConflict(err) || !strings.Contains(err.Error(), `session "busy"`) {
		t.Errorf("Reseal of a session that changes all the time: %d, %v; want ErrConflict in the end", n, err)
	}
}

func TestResealLeavesAloneWhatWasDeletedMeanwhile(t *testing.T) {
	inner := new(tokenstore.Memory)
	older, newer := tokenstore.NewKey(), tokenstore.NewKey()
	version := mustSet(t, newSealed(inner, older), "default", &tokenstore.Record{Tokens: newPair("a")})
	logout := func(name string) error { return inner.Delete(t.Context(), name, version) }
	s := newSealed(&racingStore{inner, logout}, newer, older)
	if n, err := s.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("Reseal: %d, %v; want nothing sealed and no error", n, err)
	}
	if _, err := inner.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
		t.Errorf("Reseal undid a logout: %v", err)
	}
}

func TestInterruptedResealGoesOnWhereItEnded(t *testing.T) {
	inner := new(tokenstore.Memory)
	older, newer := tokenstore.NewKey(), tokenstore.NewKey()
	for i := range 10 {
		mustSet(t, newSealed(inner, older), fmt.Sprint(i), &tokenstore.Record{Tokens: newPair("a")})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := newSealed(&racingStore{inner, func(name string) error {
		if name == "4" {
			cancel()
		}
		return ctx.Err()
	}}, newer, older)
	if n, err := s.Reseal(ctx); n != 4 || !errors.Is(err, context.Canceled) {
		t.Errorf("Reseal: %d, %v; want 4 and the context's error", n, err)
	}
	if n, err := newSealed(inner, newer, older).Reseal(t.Context()); n != 6 || err != nil {
		t.Errorf("Reseal once more: %d, %v; want the other 6", n, err)
	}
}

func TestResealTellsOfWhatItCannotOpenAndDoesTheRest(t *testing.T) {
	inner := new(tokenstore.Memory)
	lost, older, newer := tokenstore.NewKey(), tokenstore.NewKey(), tokenstore.NewKey()
	mustSet(t, newSealed(inner, lost), "a", &tokenstore.Record{Tokens: newPair("a")})
	mustSet(t, newSealed(inner, older), "b", &tokenstore.Record{Tokens: newPair("b")})
	mustSet(t, inner, "c", &tokenstore.Record{Tokens: newPair("c")})
	mustSet(t, newSealed(inner, older), "d", &tokenstore.Record{Tokens: newPair("d")})
	n, err := newSealed(inner, newer, older).Reseal(t.Context())
	if n != 2 || !errors.Is(err, tokenstore.ErrSealed) || !errors.Is(err, tokenstore.ErrNotSealed) {
		t.Fatalf("Reseal: %d, %v; want 2, and the other two named", n, err)
	}
	for _, want := range []string{`tokenstore: seal session "a": session cannot be opened: it is sealed with key`, `tokenstore: seal session "c": session cannot be opened: it is not sealed`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q in it", err, want)
		}
	}
}

func TestResealEndsWhenTheStoreFails(t *testing.T) {
	inner := new(tokenstore.Memory)
	older, newer := tokenstore.NewKey(), tokenstore.NewKey()
	for i := range 3 {
		mustSet(t, newSealed(inner, older), fmt.Sprint(i), &tokenstore.Record{Tokens: newPair("a")})
	}
	full, tries := errors.New("no space left"), 0
	s := newSealed(&racingStore{inner, func(string) error { tries++; return full }}, newer, older)
	if n, err := s.Reseal(t.Context()); n != 0 || !errors.Is(err, full) || tries != 1 {
		t.Errorf("Reseal: %d, %v after %d tries; want it to end with the first", n, err, tries)
	}
}

func TestSealPlainTakesOverWhatLiesInTheClear(t *testing.T) {
	f := openFile(t, testdir.New(t))
	older, newer := tokenstore.NewKey(), tokenstore.NewKey()
	rec := fullRecord()
	delete(rec.Unknown, "sealed") // in the clear, that would be an envelope beside tokens
	mustSet(t, f, "plain", rec)
	mustSet(t, f, "no tokens", &tokenstore.Record{RefreshedBy: "client"})
	mustSet(t, newSealed(f, older), "sealed", rec)
	mustSet(t, newSealed(f, older), "both", &tokenstore.Record{Tokens: newPair("old")})
	if err := tokenstore.Func(f, "both")(t.Context(), newPair("new")); err != nil {
		t.Fatal(err)
	}

	s := newSealed(f, newer, older)
	if n, err := s.SealPlain(t.Context()); n != 3 || err != nil {
		t.Fatalf("SealPlain: %d, %v; want 3", n, err)
	}
	wantAllSealed(t, f)
	got := mustGet(t, s, "plain")
	got.Version = 0
	if !reflect.DeepEqual(spelled(t, got), spelled(t, rec)) {
		t.Errorf("the session is another one now")
	}
	if got := mustGet(t, s, "no tokens"); got.RefreshedBy != "client" || got.Tokens != nil {
		t.Errorf("the session without tokens is now %v", got)
	}
	if got := mustGet(t, s, "both"); got.Tokens.AccessToken != "access-new" || got.Unknown != nil {
		t.Errorf("the session that was saved over a sealed one is %v with %v; want the new pair and nothing else", got, got.Unknown)
	}
	if got := keyOn(t, f, "sealed"); got != older.ID() {
		t.Errorf("a session that was sealed was sealed anew")
	}
	if n, err := s.SealPlain(t.Context()); n != 0 || err != nil {
		t.Errorf("SealPlain once more: %d, %v; want nothing to do", n, err)
	}
}

func TestSealPlainWaitsForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := new(tokenstore.Memory)
		mustSet(t, inner, "default", &tokenstore.Record{Tokens: newPair("a")})
		lease, err := inner.Lock(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = lease.Unlock() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if n, err := newSealed(inner, tokenstore.NewKey()).SealPlain(ctx); n != 0 || !errors.Is(err, tokenstore.ErrLocked) {
			t.Errorf("SealPlain while the lock is held: %d, %v; want ErrLocked", n, err)
		}
	})
}
