package refresh

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A run is the time between Start and Stop of a manager.
type run struct {
	m        *Manager
	pool     *poolRun // nil: the manager stands alone
	sched    *scheduler
	ctx      context.Context // ends with Stop, Close, or the context of Start
	cancel   context.CancelFunc
	unhook   func() bool    // from the contexts that end it
	landing  sync.WaitGroup // looks and flights under way; grows under m.mu while not ending
	finished chan struct{}
	err      error // what was left unsaved; written before finished closes

	// Guarded by m.mu.
	begun  bool
	ending bool            // no more looks and flights
	grace  context.Context // how long the end may try to save

	// The scheduler's, guarded by its mu.
	at    time.Time // when to look
	index int       // in the plan, or -1
	busy  bool      // looking
	again bool      // and to look again after that
}

// claimRun makes the manager running until life ends, after waiting for an earlier
// run to end, as long as ctx allows.
func (m *Manager) claimRun(ctx, life context.Context) (*run, error) {
	for {
		m.mu.Lock()
		old := m.run
		if old == nil {
			r, err := m.newRun(life)
			m.run = r
			m.mu.Unlock()
			return r, err
		}
		m.mu.Unlock()
		if !old.over() {
			return nil, ErrRunning
		}
		select {
		case <-old.finished:
		case <-ctx.Done():
			return nil, fmt.Errorf("refresh: start: %w", context.Cause(ctx))
		}
	}
}

// newRun makes a run on the pool's scheduler, or on one of its own.
func (m *Manager) newRun(life context.Context) (*run, error) {
	r := &run{m: m, index: -1, finished: make(chan struct{})}
	if m.pool == nil {
		r.sched = newScheduler(m.cfg.Clock, nil)
	} else {
		if r.pool = m.pool.enter(m); r.pool == nil {
			return nil, fmt.Errorf("refresh: start: the pool: %w", ErrStopped)
		}
		r.sched = r.pool.sched
		if life == r.pool.ctx {
			// The pool ends its sessions itself: a context below its own would
			// cost each of them more than the rest of the run.
			life = r.pool.values
		}
	}
	r.ctx, r.cancel = context.WithCancel(life)
	r.unhook = func() bool { return true }
	if life.Done() != nil {
		r.unhook = context.AfterFunc(r.ctx, r.end)
	}
	return r, nil
}

// begin lets the scheduler serve the run.
func (r *run) begin() {
	r.m.mu.Lock()
	r.begun = true
	r.m.mu.Unlock()
	r.sched.wake(r)
	if r.pool == nil {
		r.sched.start(r.m.cfg.CheckInterval)
	}
	if r.over() {
		r.stop()
	}
}

// stop makes the run end, and does not wait for it.
func (r *run) stop() {
	r.cancel()
	go r.end()
}

// over reports whether the run is to end.
func (r *run) over() bool {
	return r.ctx.Err() != nil || r.pool != nil && r.pool.ctx.Err() != nil
}

// abandon undoes claimRun for a run that has not begun.
func (r *run) abandon() {
	r.cancel()
	r.leave()
	close(r.finished)
}

// enter notes that a look or a flight is under way, until landing is told. It
// reports false if none may begin any more.
func (r *run) enter() bool {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return r.enterLocked()
}

func (r *run) enterLocked() bool {
	if r.ending || r.over() {
		return false
	}
	r.landing.Add(1)
	return true
}

// end ends the run in order, once: flights land, what is unsaved is saved if
// possible, locks are released.
func (r *run) end() {
	m := r.m
	m.mu.Lock()
	if !r.begun || r.ending {
		m.mu.Unlock()
		return
	}
	r.ending = true
	m.broadcastLocked() // who waits out a backoff would wait in vain
	m.mu.Unlock()
	r.landing.Wait()

	m.turn <- struct{}{}
	r.err = m.saveAtLast(r)
	m.releaseKept()
	<-m.turn
	if r.pool == nil {
		r.sched.stop()
	}
	r.leave()
	m.emit(Event{Kind: EventStopped, Err: r.err})
	close(r.finished)
}

// leave makes the manager stopped.
func (r *run) leave() {
	r.unhook()
	r.m.mu.Lock()
	r.m.run = nil
	r.m.broadcastLocked()
	r.m.mu.Unlock()
	if r.pool != nil {
		r.pool.leave(r.err)
	}
}

// patience returns how long the end of the run may try to save, or nil for one
// more try.
func (r *run) patience() context.Context {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.grace == nil && r.pool != nil {
		return r.pool.patience()
	}
	return r.grace
}
