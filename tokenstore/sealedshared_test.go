package tokenstore_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A sharedStore can what stores of many hosts can.
type sharedStore struct{ *tokenstore.Memory }

var errWatched = errors.New("no more")

func (sharedStore) Stamp(_ context.Context, name string) (uint64, error) {
	return uint64(len(name)), nil
}

func (sharedStore) Watch(_ context.Context, changed func(tokenstore.Change)) error {
	changed(tokenstore.Change{})
	changed(tokenstore.Change{Name: "default", Begun: true})
	return errWatched
}

var itsTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (sharedStore) Time(context.Context) (time.Time, error) { return itsTime, nil }

func TestSealedCanWhatTheStoreBeneathCan(t *testing.T) {
	var s tokenstore.Store = newSealed(sharedStore{new(tokenstore.Memory)}, tokenstore.NewKey())
	if stamp, err := s.(tokenstore.Stamper).Stamp(t.Context(), "default"); err != nil || stamp != 7 {
		t.Errorf("Stamp: %d, %v", stamp, err)
	}
	if _, err := s.(tokenstore.Stamper).Stamp(t.Context(), ""); !errors.Is(err, tokenstore.ErrInvalidName) {
		t.Errorf("Stamp of no session: %v", err)
	}
	if now, err := s.(tokenstore.Timekeeper).Time(t.Context()); err != nil || !now.Equal(itsTime) {
		t.Errorf("Time: %v, %v", now, err)
	}
	var told []tokenstore.Change
	err := s.(tokenstore.Watcher).Watch(t.Context(), func(c tokenstore.Change) { told = append(told, c) })
	if !errors.Is(err, errWatched) || !slices.Equal(told, []tokenstore.Change{{}, {Name: "default", Begun: true}}) {
		t.Errorf("Watch told of %+v, and ended with %v", told, err)
	}
}

func TestSealedBareStoreSaysWhatItCannotShare(t *testing.T) {
	s := newSealed(bareStore{new(tokenstore.Memory)}, tokenstore.NewKey())
	for what, call := range map[string]func(context.Context) error{
		"Pages":   func(ctx context.Context) error { return firstError(s.Pages(ctx, 1)) },
		"Records": func(ctx context.Context) error { _, err := s.Records(ctx); return err },
		"Stamp":   func(ctx context.Context) error { _, err := s.Stamp(ctx, "default"); return err },
		"Time":    func(ctx context.Context) error { _, err := s.Time(ctx); return err },
		"Watch":   func(ctx context.Context) error { return s.Watch(ctx, nil) },
	} {
		if err := call(t.Context()); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "bareStore cannot") {
			t.Errorf("%s: %v; want an error that wraps errors.ErrUnsupported and names the store", what, err)
		}
	}
}

// firstError returns the error that ends the pages, or nil.
func firstError(pages iter.Seq2[[]tokenstore.Entry, error]) error {
	for _, err := range pages {
		if err != nil {
			return err
		}
	}
	return nil
}

// A page has what can be opened; a session in the clear, one of another key, and a damaged one
// come without a record, and Get says why.
func TestSealedPagesLeaveOutWhatCannotBeOpened(t *testing.T) {
	beneath := new(tokenstore.Memory)
	key := tokenstore.NewKey()
	s, stranger := newSealed(beneath, key), newSealed(beneath, tokenstore.NewKey())
	for name, store := range map[string]tokenstore.Store{"ours": s, "theirs": stranger, "plain": beneath} {
		if _, err := store.Set(t.Context(), name, &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: name}}); err != nil {
			t.Fatal(err)
		}
	}
	got := make(map[string]bool)
	for page, err := range s.Pages(t.Context(), 2) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			got[e.Name] = e.Record != nil && e.Record.Tokens.AccessToken == e.Name
		}
	}
	if want := map[string]bool{"ours": true, "theirs": false, "plain": false}; !maps.Equal(got, want) {
		t.Errorf("opened: %v; want %v", got, want)
	}

	locked := errors.New("the keyring is locked")
	s = tokenstore.NewSealed(beneath, func(context.Context) ([]tokenstore.Key, error) { return nil, locked })
	if err := firstError(s.Pages(t.Context(), 2)); !errors.Is(err, locked) {
		t.Errorf("without keys: %v; want the reason, once", err)
	}
}
