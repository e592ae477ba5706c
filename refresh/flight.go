package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/refresh/internal/failure"
)

// A want is what somebody needs of a refresh.
type want struct {
	stale    *snapshot // the pair that is not good enough
	resource string    // resource indicator, empty for the session's own token
	force    bool      // do not wait for a backoff of our own
	insist   bool      // the program asks for it (ForceRefresh)
	rejected bool      // an API does not take stale any more
}

// urgent reports whether somebody waits for what is wanted.
func (w want) urgent() bool { return w.force || w.rejected }

// A flight is one refresh shared by all who wait for it. err is written before
// done closes.
type flight struct {
	done   chan struct{}
	ctx    context.Context
	cancel context.CancelCauseFunc
	err    error
}

// fly returns the flight under way for w's resource, or starts one. A flight runs
// on its own: no caller's context ends it, and Stop waits for it.
func (m *managed) fly(w want) (*flight, error) {
	f, r, err := m.board(w)
	if err != nil || r == nil {
		return f, err
	}
	m.hold()
	go m.flight(f, r, w)
	return f, nil
}

// flyAndWait waits for a flight that does not put the refresh off, or for the end
// of ctx.
func (m *managed) flyAndWait(ctx context.Context, w want) error {
	for {
		f, err := m.fly(w)
		if err != nil {
			return err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if f.err != errDeferred {
			return f.err
		}
	}
}

// flyAlong is fly for a caller who cannot leave: the flight is over when it
// returns, and the caller's goroutine does the work unless another one does.
func (m *managed) flyAlong(w want) error {
	for {
		f, r, err := m.board(w)
		if err != nil {
			return err
		}
		if r != nil {
			m.hold()
			m.flight(f, r, w)
		}
		if <-f.done; f.err != errDeferred {
			return f.err
		}
	}
}

// flight waits for the turn and a slot, and brings the flight to its end. After a
// success it plans the next look; all else is for a look to see.
func (m *managed) flight(f *flight, r *run, w want) {
	var next time.Time
	f.err = m.withTurn(f.ctx, func() error {
		if !r.queue.Workers().Acquire(r.context()) {
			return ErrStopped
		}
		defer r.queue.Workers().Release()
		err := m.pilot(f, r, w)
		next = m.nextLook()
		return err
	})
	m.land(f, w.resource)
	looked := !m.leftOut.Swap(false)
	m.release()
	if f.err == nil && looked {
		r.queue.Advance(r, m.instant(next))
	} else {
		r.queue.Add(r)
	}
	r.landing.Done()
}

// flyHere is fly for the scheduler's goroutine, which has the turn and a slot. If
// a flight is waiting for the turn, it leaves the work to that.
func (m *managed) flyHere(w want) {
	f, r, err := m.board(w)
	if err != nil || r == nil {
		return
	}
	f.err = m.pilot(f, r, w)
	m.land(f, w.resource)
	r.landing.Done()
}

// board returns the flight under way for w's resource, or a new one, which
// belongs to the run that it returns with it.
func (m *managed) board(w want) (*flight, *run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.run
	if r == nil || !r.enterLocked() {
		return nil, nil, ErrStopped
	}
	if f := m.flights[w.resource]; f != nil {
		r.landing.Done()
		return f, nil, nil
	}
	f := &flight{done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancelCause(r.backgroundLocked())
	if m.flights == nil {
		m.flights = make(map[string]*flight, 1)
	}
	m.flights[w.resource] = f
	return f, r, nil
}

// pilot brings the session forward, with the turn. A panic of ours is a failure
// like others.
func (m *managed) pilot(f *flight, r *run, w want) error {
	err := failure.Guard("refresh", func() error { return m.renew(f.ctx, r, w) })
	var panicked *PanicError
	if errors.As(err, &panicked) && panicked.Where == "refresh" {
		return m.failed(f.ctx, failure.Transient(err))
	}
	return err
}

// land takes a flight off the board, before its waiters are told, so that the
// next caller starts a new one.
func (m *managed) land(f *flight, resource string) {
	m.mu.Lock()
	delete(m.flights, resource)
	m.mu.Unlock()
	f.cancel(nil)
	close(f.done)
}

// abandonFlights makes flights end whose session is being replaced.
func (m *managed) abandonFlights() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.flights {
		f.cancel(errReplaced)
	}
}
