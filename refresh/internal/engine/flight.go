package engine

import (
	"context"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/dormant"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/session"
)

// errExited is the outcome of what a callback of the program has ended the goroutine of.
var errExited = failure.Exited("a callback")

// A flight is one renewal in progress, shared by all callers who wait for it. err is
// written before done closes.
type flight struct {
	done     chan struct{}
	ctx      context.Context // ends when the session is replaced, or the run does not wait any more
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
	err := errExited
	defer func() {
		m.land(c, f, err)
		looked := !c.leftOut.Swap(false)
		m.release(c)
		if err == nil && looked {
			r.life.queue.Advance(r, next)
		} else {
			r.life.queue.Add(r)
		}
		r.landing.Done()
	}()
	err = c.session.WithTurn(f.ctx, func() error {
		if !workers.Acquire(r.Context()) {
			return session.ErrStopped
		}
		defer workers.Release()
		err := c.session.Renew(f.ctx, r, w)
		next = c.session.NextLook()
		return err
	})
}

// wait waits for a flight that does not put the renewal off, or for the end of ctx, which
// is not the flight's.
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

// abandon makes flights end.
func (m *Member) abandon(why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.awake == nil {
		return
	}
	for _, f := range m.awake.flights {
		f.cancel(why)
	}
}

// look looks at clock and Store, does what is due, and returns when to look again. If
// another caller changes the session just now, the look is left out: that caller makes
// up for it when done.
func (m *Member) look(r *run) moment.Instant {
	var told *session.Stamp // what a notice has told of need not be asked for
	if version := m.told.Load(); version != 0 {
		told = &session.Stamp{Value: version, Known: true}
	}
	at, seen, ok := m.glance(r, told)
	if ok {
		return at
	}
	c := m.hold()
	defer m.release(c)
	at = m.lookAwake(c, r, seen, told)
	m.mu.Lock()
	c.warm = max(c.warm-1, 0)
	unused := m.retires() && c.users == 1 && c.warm == 0 && m.Now().Reached(c.used.Add(m.engine.opts.IdleAfter)) && m.quietLocked(c)
	m.mu.Unlock()
	if unused {
		go m.engine.retire(m)
	}
	return at
}

// lookAwake is look for a session that is awake. seen is what the Store has just said
// of the record, nil if it was not asked, and told what a notice has.
func (m *Member) lookAwake(c *awake, r *run, seen, told *session.Stamp) (next moment.Instant) {
	c.leftOut.Store(true) // before the try: the turn's holder will see it then
	next = m.Now().Add(m.cfg.Session.CheckInterval)
	c.session.TryTurn(func() {
		c.leftOut.Store(false)
		m.compared(told)
		if told != nil {
			seen = c.session.Hears(*told)
		}
		next = c.session.Look(r.background(), seen, func(w session.Want) {
			f, r, _ := m.join(c, w)
			if r == nil {
				return // a flight waits for the turn, and does it
			}
			err := errExited
			defer func() {
				m.land(c, f, err)
				r.landing.Done()
			}()
			err = c.session.Renew(f.ctx, r, w)
		})
	})
	m.Emit(session.Event{Kind: session.EventChecked})
	return next
}

// compared notes that a look takes account of what a notice has told. One that finds the
// turn taken leaves that to the look that makes up for it.
func (m *Member) compared(told *session.Stamp) {
	if told != nil {
		m.told.CompareAndSwap(told.Value, 0)
	}
}

// glance looks at a dormant session and returns when to look again. It reports false
// if the session is awake, or has to be woken for a proper look, and then what the Store
// said of the record, if it was asked.
func (m *Member) glance(r *run, told *session.Stamp) (at moment.Instant, seen *session.Stamp, ok bool) {
	m.mu.Lock()
	packed, awake := m.packed, m.awake
	m.mu.Unlock()
	if awake != nil {
		return at, told, false
	}
	cfg, o, now := m.cfg.Session, dormant.Outlook(packed), m.Now()
	if now.Reached(o.Due) || o.Magnitude != cfg.Gate.Magnitude() {
		return at, told, false
	}
	wait := min(now.Until(o.Due), schedule.MaxLife)
	if cfg.Store != nil {
		if told == nil {
			if current := cfg.ReadStamp(r.background(), m.name); !current.Known || current != o.Stamp {
				said := current // not every look is to cost memory
				return at, &said, false
			}
		} else if *told != o.Stamp {
			return at, told, false
		}
		m.compared(told)
		interval := cfg.CheckInterval
		if m.cfg.Watched && m.engine.watching.Load() {
			interval *= rarely
		}
		wait = min(wait, interval)
	}
	return now.Add(wait), nil, true
}

// retires reports whether the engine may forget the session when no caller uses it.
func (m *Member) retires() bool { return m.cfg.Retire && m.engine.opts.IdleAfter > 0 }
