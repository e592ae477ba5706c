package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

var (
	_ Pager      = (*Sealed)(nil)
	_ Stamper    = (*Sealed)(nil)
	_ Watcher    = (*Sealed)(nil)
	_ Timekeeper = (*Sealed)(nil)
)

// Pages implements [Pager]. A session that cannot be opened comes without its record; an
// error of the [KeyFunc] ends the iteration.
func (s *Sealed) Pages(ctx context.Context, size int) iter.Seq2[[]Entry, error] {
	return func(yield func([]Entry, error) bool) {
		p, ok := s.store.(Pager)
		if !ok {
			yield(nil, s.unsupported("read sessions by the page"))
			return
		}
		for page, err := range p.Pages(ctx, size) {
			if err == nil {
				err = s.openPage(ctx, page)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// openPage puts the records that are sealed in those of a page in their place.
func (s *Sealed) openPage(ctx context.Context, page []Entry) error {
	for i := range page {
		stored := page[i].Record
		if stored == nil {
			continue
		}
		rec, err := s.open(ctx, page[i].Name, stored)
		if err != nil && !errors.Is(err, ErrSealed) && !errors.Is(err, ErrNewerFormat) && !errors.Is(err, ErrDamaged) {
			return failed("read", page[i].Name, err)
		}
		page[i].Record = rec
	}
	return nil
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
