package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/tokenstore"
)

// hostTime translates the times of a Store's records. Hosts that share the Store
// write and read them by its clock (tokenstore.Timekeeper); here they are by the
// host's own, which may be minutes off.
type hostTime struct {
	tokenstore.Store
	keeper tokenstore.Timekeeper
	now    func() time.Time
	every  time.Duration // how long a reading is good for
	logger *slog.Logger

	asking chan struct{} // held (by sending) by whoever asks the Store what time it is
	last   atomic.Pointer[clockReading]
}

// recordsOf returns the Store of cfg with its times by the host's clock, or the Store
// itself if it has no clock.
func recordsOf(cfg Config) tokenstore.Store {
	keeper, ok := cfg.Store.(tokenstore.Timekeeper)
	if !ok {
		return cfg.Store
	}
	return &hostTime{
		Store: cfg.Store, keeper: keeper, now: cfg.Clock.Now, every: cfg.CheckInterval, logger: cfg.Logger,
		asking: make(chan struct{}, 1),
	}
}

// Get reads a record. Its times are by the host's clock.
func (h *hostTime) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	rec, err := h.Store.Get(ctx, name)
	if err != nil || rec == nil {
		return rec, err
	}
	ahead, err := h.ahead(ctx)
	if err != nil {
		return nil, err
	}
	return moved(rec, ahead), nil
}

// Set writes a record, whose times are by the host's clock.
func (h *hostTime) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	ahead, err := h.ahead(ctx)
	if err != nil {
		return 0, err
	}
	return h.Store.Set(ctx, name, moved(rec, -ahead))
}

// A clockReading is what a look at the Store's clock has told.
type clockReading struct {
	at    time.Time     // by the host's clock
	ahead time.Duration // how far the host's clock was ahead of the Store's
}

// good reports whether a reading still tells: it is young by both witnesses of time,
// and the host's clock was not set since.
func (r *clockReading) good(now time.Time, every time.Duration) bool {
	return r != nil && remaining(now, r.at.Add(every)) > 0 && !moment.Of(now).Stepped(moment.Of(r.at))
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
func (h *hostTime) ahead(ctx context.Context) (time.Duration, error) {
	if r := h.last.Load(); r.good(h.now(), h.every) {
		return r.ahead, nil
	}
	select {
	case h.asking <- struct{}{}:
		defer func() { <-h.asking }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	last := h.last.Load()
	if last.good(h.now(), h.every) {
		return last.ahead, nil
	}
	r, err := h.read(ctx, last)
	if err != nil {
		return 0, fmt.Errorf("the Store's clock: %w", err)
	}
	h.last.Store(r)
	if last == nil && r.ahead != 0 || last != nil && last.ahead != r.ahead {
		h.logger.Warn("this host's clock differs from that of the Store", "ahead", r.ahead)
	}
	return r.ahead, nil
}

// read asks the Store what time it is. last is what it said before, or nil.
func (h *hostTime) read(ctx context.Context, last *clockReading) (*clockReading, error) {
	asked := h.now()
	told, err := h.keeper.Time(ctx)
	took := h.now().Sub(asked)
	switch {
	case err == nil && !told.IsZero():
		r := &clockReading{at: asked.Add(took), ahead: asked.Add(took / 2).Round(0).Sub(told.Round(0))}
		r.ahead = settled(r.ahead, took/2, last)
		return r, nil
	case last != nil:
		return &clockReading{at: asked.Add(took), ahead: last.ahead}, nil
	case errors.Is(err, tokenstore.ErrUnavailable), ctx.Err() != nil:
		return nil, err
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		h.logger.Warn("the Store does not tell the time; this host's clock counts", "error", err)
	}
	return &clockReading{at: asked.Add(took)}, nil
}

// settled returns what a difference between two clocks, measured to within doubt,
// counts as: what the last one counted as, if it may be that; nothing, if it may be
// noise.
func settled(ahead, doubt time.Duration, last *clockReading) time.Duration {
	switch {
	case last != nil && (ahead-last.ahead).Abs() <= clockDrift+doubt:
		return last.ahead
	case ahead.Abs() <= clockNoise+doubt:
		return 0
	}
	return ahead
}

// moved returns rec with all its times moved. It shares with rec what has none.
func moved(rec *tokenstore.Record, by time.Duration) *tokenstore.Record {
	if by == 0 {
		return rec
	}
	c := *rec
	if rec.Tokens != nil {
		tokens := *rec.Tokens
		for _, t := range []*time.Time{&tokens.IssuedAt, &tokens.ExpiresAt, &tokens.RefreshAt, &tokens.RefreshExpiresAt} {
			move(t, by)
		}
		tokens.Skew += by // so that what one host has learnt of the server's clock helps all
		c.Tokens = &tokens
	}
	for _, m := range []**tokenstore.Mark{&c.Pending, &c.Refused, &c.Dead} {
		if *m != nil {
			mark := **m
			move(&mark.At, by)
			move(&mark.Last, by)
			*m = &mark
		}
	}
	move(&c.NotBefore, by)
	move(&c.RefreshedAt, by)
	return &c
}

func move(t *time.Time, by time.Duration) {
	if !t.IsZero() {
		*t = t.Add(by)
	}
}
