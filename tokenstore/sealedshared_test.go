package tokenstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// A sharedStore can what stores of many hosts can.
type sharedStore struct{ *tokenstore.Memory }

var errWatched = errors.New("no more")

func (sharedStore) NamesAfter(_ context.Context, after string, limit int) ([]string, error) {
	return []string{after + "+"}[:limit], nil
}

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
	if names, err := s.(tokenstore.Pager).NamesAfter(t.Context(), "a", 1); err != nil || !slices.Equal(names, []string{"a+"}) {
		t.Errorf("NamesAfter: %q, %v", names, err)
	}
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
		"NamesAfter": func(ctx context.Context) error { _, err := s.NamesAfter(ctx, "", 1); return err },
		"Stamp":      func(ctx context.Context) error { _, err := s.Stamp(ctx, "default"); return err },
		"Time":       func(ctx context.Context) error { _, err := s.Time(ctx); return err },
		"Watch":      func(ctx context.Context) error { return s.Watch(ctx, nil) },
	} {
		if err := call(t.Context()); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "bareStore cannot") {
			t.Errorf("%s: %v; want an error that wraps errors.ErrUnsupported and names the store", what, err)
		}
	}
}
