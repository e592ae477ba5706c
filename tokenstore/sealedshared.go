package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	_ Pager      = (*Sealed)(nil)
	_ Stamper    = (*Sealed)(nil)
	_ Watcher    = (*Sealed)(nil)
	_ Timekeeper = (*Sealed)(nil)
)

// NamesAfter implements [Pager]. It needs no key.
func (s *Sealed) NamesAfter(ctx context.Context, after string, limit int) ([]string, error) {
	p, ok := s.store.(Pager)
	if !ok {
		return nil, s.unsupported("list sessions by the page")
	}
	return p.NamesAfter(ctx, after, limit)
}

// Stamp implements [Stamper]. It needs no key, and changes when a session is sealed
// anew too.
func (s *Sealed) Stamp(ctx context.Context, name string) (uint64, error) {
	if err := check(ctx, "look at", name); err != nil {
		return 0, err
	}
	st, ok := s.store.(Stamper)
	if !ok {
		return 0, s.unsupported("look at a session without reading it")
	}
	return st.Stamp(ctx, name)
}

// Watch implements [Watcher]. It needs no key. The store beneath cannot see what a
// sealed record says, so the announcement of a spend is told like any other change
// ([Change.Begun] is false): that is correct, and has every process look at the session
// twice per renewal instead of once.
func (s *Sealed) Watch(ctx context.Context, changed func(Change)) error {
	w, ok := s.store.(Watcher)
	if !ok {
		return s.unsupported("watch sessions")
	}
	return w.Watch(ctx, changed)
}

// Time implements [Timekeeper]. The times that are sealed are by that clock too.
func (s *Sealed) Time(ctx context.Context) (time.Time, error) {
	t, ok := s.store.(Timekeeper)
	if !ok {
		return time.Time{}, s.unsupported("tell the time")
	}
	return t.Time(ctx)
}

func (s *Sealed) unsupported(action string) error {
	return fmt.Errorf("tokenstore: %s: a %T cannot do that: %w", action, s.store, errors.ErrUnsupported)
}
