package refresh

import (
	"context"
	"errors"
)

// A want is what somebody needs of a refresh.
type want struct {
	stale    *snapshot // the pair that is not good enough
	resource string    // resource indicator, empty for the session's own token
	force    bool      // do not wait for a backoff of our own
}

// A flight is one refresh shared by all who wait for it. err is written before
// done closes.
type flight struct {
	done   chan struct{}
	cancel context.CancelCauseFunc
	err    error
}

// fly returns the flight under way for w's resource, or starts one. A flight runs
// on its own: no caller's context ends it, and Stop waits for it.
func (m *Manager) fly(w want) (*flight, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.run
	if r == nil || r.ending || r.ctx.Err() != nil {
		return nil, ErrStopped
	}
	if f := m.flights[w.resource]; f != nil {
		return f, nil
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.ctx))
	f := &flight{done: make(chan struct{}), cancel: cancel}
	if m.flights == nil {
		m.flights = make(map[string]*flight, 1)
	}
	m.flights[w.resource] = f
	r.landing.Add(1)
	go func() {
		defer r.landing.Done()
		defer m.wakeUp()
		defer close(f.done)
		defer cancel(nil)
		defer m.land(w.resource)
		f.err = m.withTurn(ctx, func() error {
			err := guard("refresh", func() error { return m.renew(ctx, r, w) })
			var panicked *PanicError
			if errors.As(err, &panicked) && panicked.Where == "refresh" {
				return m.failed(ctx, transient(err))
			}
			return err
		})
	}()
	return f, nil
}

// land takes a flight off the board, before its waiters are told, so that the
// next caller starts a new one.
func (m *Manager) land(resource string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if delete(m.flights, resource); len(m.flights) == 0 {
		m.flights = nil
	}
}

// abandonFlights makes flights end whose session is being replaced.
func (m *Manager) abandonFlights() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.flights {
		f.cancel(errReplaced)
	}
}
