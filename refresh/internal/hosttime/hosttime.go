// Package hosttime makes the times of a Store's records those of the host's clock.
//
// Hosts that share a Store write and read its times by the Store's clock
// (tokenstore.Timekeeper), because their own may be minutes off.
package hosttime

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/tokenstore"
)

// A store translates the times of another one's records.
type store struct {
	tokenstore.Store
	keeper tokenstore.Timekeeper
	now    func() time.Time
	every  time.Duration // how long a reading is good for
	logger *slog.Logger

	asking chan struct{} // held (by sending) by the caller that asks the Store what time it is
	last   atomic.Pointer[reading]
}

// Of returns shared with its records' times by the host's clock, which now reads, or
// shared itself if it does not tell the time. The Store's clock is asked anew when what
// it said is older than every.
func Of(shared tokenstore.Store, now func() time.Time, every time.Duration, logger *slog.Logger) tokenstore.Store {
	keeper, ok := shared.(tokenstore.Timekeeper)
	if !ok {
		return shared
	}
	return &store{
		Store: shared, keeper: keeper, now: now, every: every, logger: logger,
		asking: make(chan struct{}, 1),
	}
}

// Get reads a record. Its times are by the host's clock.
func (s *store) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	rec, err := s.Store.Get(ctx, name)
	if err != nil || rec == nil {
		return rec, err
	}
	ahead, err := s.ahead(ctx)
	if err != nil {
		return nil, err
	}
	return moved(rec, ahead), nil
}

// Pages implements tokenstore.Pager. The records' times are by the host's clock.
func (s *store) Pages(ctx context.Context, size int) iter.Seq2[[]tokenstore.Entry, error] {
	return func(yield func([]tokenstore.Entry, error) bool) {
		p, ok := s.Store.(tokenstore.Pager)
		if !ok {
			yield(nil, errors.ErrUnsupported)
			return
		}
		for page, err := range p.Pages(ctx, size) {
			if err == nil {
				err = s.movePage(ctx, page)
			}
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
}

func (s *store) movePage(ctx context.Context, page []tokenstore.Entry) error {
	ahead, err := s.ahead(ctx)
	for i := range page {
		if rec := page[i].Record; err == nil && rec != nil {
			page[i].Record = moved(rec, ahead)
		}
	}
	return err
}

// Set writes a record, whose times are by the host's clock.
func (s *store) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	ahead, err := s.ahead(ctx)
	if err != nil {
		return 0, err
	}
	return s.Store.Set(ctx, name, moved(rec, -ahead))
}

// BeginSpend begins a spend of a record whose times are by the host's clock, if the
// Store is a [tokenstore.Spender]. via is the Store itself.
func (s *store) BeginSpend(ctx context.Context, via tokenstore.Store, name string, rec *tokenstore.Record, reserve bool) (tokenstore.Spending, uint64, error) {
	spender, ok := s.Store.(tokenstore.Spender)
	if !ok {
		return nil, 0, errors.ErrUnsupported
	}
	ahead, err := s.ahead(ctx)
	if err != nil {
		return nil, 0, err
	}
	begun, version, err := spender.BeginSpend(ctx, via, name, moved(rec, -ahead), reserve)
	if err != nil {
		return nil, 0, err
	}
	return &spending{begun, s}, version, nil
}

type spending struct {
	tokenstore.Spending
	store *store
}

// Settle saves a record, whose times are by the host's clock.
func (s *spending) Settle(ctx context.Context, rec *tokenstore.Record) (uint64, error) {
	ahead, err := s.store.ahead(ctx)
	if err != nil {
		return 0, err
	}
	return s.Spending.Settle(ctx, moved(rec, -ahead))
}

// A reading is what a look at the Store's clock has told.
type reading struct {
	at    moment.Instant // by the host's clock
	ahead time.Duration  // how far the host's clock was ahead of the Store's
}

// good reports whether a reading still tells: it is young by both clocks, and the
// host's clock was not set since.
func (r *reading) good(now moment.Instant, every time.Duration) bool {
	return r != nil && !now.Reached(r.at.Add(every)) && !now.Stepped(r.at)
}

const (
	// clockNoise is what clocks may differ by as if they agreed: tokens live for whole
	// seconds, and it takes one to hand one out.
	clockNoise = time.Second
	// clockDrift is how much a difference may change and still count as it did, so that
	// the times of one record stay the same.
	clockDrift = 100 * time.Millisecond
)

// ahead returns how far the host's clock is ahead of the Store's. Once that is known,
// a Store that does not tell the time leaves it as it is; before, it is an error.
func (s *store) ahead(ctx context.Context) (time.Duration, error) {
	if r := s.last.Load(); r.good(moment.Of(s.now()), s.every) {
		return r.ahead, nil
	}
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	last := s.last.Load()
	if last.good(moment.Of(s.now()), s.every) {
		return last.ahead, nil
	}
	r, err := s.read(ctx, last)
	if err != nil {
		return 0, fmt.Errorf("the Store's clock: %w", err)
	}
	s.last.Store(r)
	if last == nil && r.ahead != 0 || last != nil && last.ahead != r.ahead {
		s.logger.Warn("this host's clock differs from that of the Store", "ahead", r.ahead)
	}
	return r.ahead, nil
}

// read asks the Store what time it is. last is what it said before, or nil.
func (s *store) read(ctx context.Context, last *reading) (*reading, error) {
	asked := s.now()
	told, err := s.keeper.Time(ctx)
	took := s.now().Sub(asked)
	switch {
	case err == nil && !told.IsZero():
		r := &reading{at: moment.Of(asked).Add(took), ahead: asked.Add(took / 2).Round(0).Sub(told.Round(0))}
		r.ahead = settled(r.ahead, took/2, last)
		return r, nil
	case last != nil:
		return &reading{at: moment.Of(asked).Add(took), ahead: last.ahead}, nil
	case errors.Is(err, tokenstore.ErrUnavailable), ctx.Err() != nil:
		return nil, err
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		s.logger.Warn("the Store does not tell the time; this host's clock counts", "error", err)
	}
	return &reading{at: moment.Of(asked).Add(took)}, nil
}

// settled returns what a difference between two clocks, measured to within doubt,
// counts as: what the last one counted as, if it may be that; nothing, if it may be
// noise.
func settled(ahead, doubt time.Duration, last *reading) time.Duration {
	switch {
	case last != nil && (ahead-last.ahead).Abs() <= clockDrift+doubt:
		return last.ahead
	case ahead.Abs() <= clockNoise+doubt:
		return 0
	}
	return ahead
}

// moved returns rec with all its times moved: a copy, unless they stay.
func moved(rec *tokenstore.Record, by time.Duration) *tokenstore.Record {
	if by == 0 {
		return rec
	}
	c := rec.Clone()
	moment.EditTimes(c, func(t time.Time) time.Time { return t.Add(by) })
	if c.Tokens != nil {
		c.Tokens.Skew += by // so that what one host has learnt of the server's clock helps all
	}
	return c
}
