package engine

import (
	"context"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/session"
)

// A flight is one renewal in progress, shared by all callers who wait for it. err is
// written before done closes.
type flight struct {
	done     chan struct{}
	ctx      context.Context // ends when the session is replaced
	cancel   context.CancelCauseFunc
	resource string
	err      error
}

// join returns the flight in progress for w's resource. If there is none it returns a
// new one with the run that it belongs to: the caller has to end it with land, and then
// to tell the run.
func (m *Member) join(c *awake, w session.Want) (*flight, *run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.run
	if r == nil || !r.enterLocked() {
		return nil, nil, session.ErrStopped
	}
	if f := c.flights[w.Resource]; f != nil {
		r.landing.Done()
		return f, nil, nil
	}
	f := &flight{done: make(chan struct{}), resource: w.Resource}
	f.ctx, f.cancel = context.WithCancelCause(r.backgroundLocked())
	if c.flights == nil {
		c.flights = make(map[string]*flight, 1)
	}
	c.flights[w.Resource] = f
	return f, r, nil
}

// land ends a flight, before its waiters are told, so that the next caller starts a new
// one.
func (m *Member) land(c *awake, f *flight, err error) {
	m.mu.Lock()
	delete(c.flights, f.resource)
	m.mu.Unlock()
	f.err = err
	f.cancel(nil)
	close(f.done)
}

// fly returns the flight in progress for w's resource, or starts one. A flight runs
// on its own: no caller's context ends it, and Stop waits for it.
func (m *Member) fly(c *awake, w session.Want) (*flight, error) {
	f, r, err := m.join(c, w)
	if r != nil {
		m.hold()
		go m.flight(c, f, r, w)
	}
	return f, err
}

// flight waits for the turn and a worker, and brings a flight to its end. After a
// success it plans the next look; all else is for a look to see.
func (m *Member) flight(c *awake, f *flight, r *run, w session.Want) {
	var next moment.Instant
	workers := r.life.queue.Workers()
	err := c.session.WithTurn(f.ctx, func() error {
		if !workers.Acquire(r.Context()) {
			return session.ErrStopped
		}
		defer workers.Release()
		err := c.session.Renew(f.ctx, r, w)
		next = c.session.NextLook()
		return err
	})
	m.land(c, f, err)
	looked := !c.leftOut.Swap(false)
	m.release(c)
	if err == nil && looked {
		r.life.queue.Advance(r, next)
	} else {
		r.life.queue.Add(r)
	}
	r.landing.Done()
}

// wait waits for a flight that does not put the renewal off, or for the end of ctx.
func (m *Member) wait(ctx context.Context, c *awake, w session.Want) error {
	for {
		f, err := m.fly(c, w)
		if err != nil {
			return err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if f.err != session.ErrDeferred {
			return f.err
		}
	}
}

// abandon makes flights end whose session is being replaced.
func (m *Member) abandon(c *awake) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range c.flights {
		f.cancel(session.ErrReplaced)
	}
}
