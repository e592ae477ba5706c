package refresh

import (
	"context"
	"fmt"
	"sync"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/queue"
)

// A run is the time between Start and Stop of a manager. There is one for each
// session of a pool, so it is small.
type run struct {
	m       *Manager
	pool    *poolRun // nil: the manager stands alone
	queue   *queue.Queue[*run]
	landing sync.WaitGroup // looks and flights under way; grows under m.mu while not ending

	// Guarded by m.mu.
	live  *liveRun // made when it is needed
	end   *runEnd  // made when it is needed
	begun bool
	over  bool // to end
	ended bool // no more looks and flights

	place queue.Place // the queue's
}

// Place implements queue.Item.
func (r *run) Place() *queue.Place { return &r.place }

// Work implements queue.Item: it looks at the session. A run that has ended falls out
// of the queue here.
func (r *run) Work() (next moment.Instant, more bool) {
	if !r.enter() {
		return next, false
	}
	defer r.landing.Done()
	return r.m.instant(r.m.check(r)), true
}

// A liveRun is a run's context, for what is done while it lasts.
type liveRun struct {
	context.Context                 // ends with Stop, Close, or the context of Start
	values          context.Context // what it carries, without its end
	cancel          context.CancelFunc
	unhook          func() bool // from the context of Start; nil if that never ends
}

// A runEnd is what a run's end leaves behind.
type runEnd struct {
	grace    context.Context // how long the end may try to save; guarded by m.mu
	finished chan struct{}
	err      error // what was left unsaved; written before finished closes
}

// claimRun makes the manager running until life ends, after waiting for an earlier
// run to end, as long as ctx allows.
func (m *Manager) claimRun(ctx, life context.Context) (*run, error) {
	for {
		m.mu.Lock()
		old := m.run
		if old == nil {
			r, err := m.newRunLocked(life)
			m.run = r
			m.mu.Unlock()
			return r, err
		}
		running, end := !old.overLocked(), old.endLocked()
		m.mu.Unlock()
		if running {
			return nil, ErrRunning
		}
		select {
		case <-end.finished:
		case <-ctx.Done():
			return nil, fmt.Errorf("refresh: start: %w", context.Cause(ctx))
		}
	}
}

// newRunLocked makes a run on the pool's scheduler, or on one of its own.
func (m *Manager) newRunLocked(life context.Context) (*run, error) {
	r := &run{m: m}
	if m.pool == nil {
		r.queue = queue.New[*run](m.cfg.Clock, 0)
	} else {
		if r.pool = m.pool.enter(m); r.pool == nil {
			return nil, fmt.Errorf("refresh: start: the pool: %w", ErrStopped)
		}
		r.queue = r.pool.queue
		if m.cfg.server.join() {
			r.queue.AddAll()
		}
		if life == r.pool.ctx {
			return r, nil // the pool ends its sessions itself
		}
	}
	r.live = newLiveRun(life)
	if life.Done() != nil {
		r.live.unhook = context.AfterFunc(r.live, r.finish)
	}
	return r, nil
}

func newLiveRun(life context.Context) *liveRun {
	l := new(liveRun)
	l.Context, l.cancel = context.WithCancel(life)
	l.values = context.WithoutCancel(life)
	return l
}

// context returns the context of what is done while the run lasts.
func (r *run) context() context.Context {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return r.contextLocked()
}

func (r *run) contextLocked() context.Context {
	if r.live == nil {
		r.live = newLiveRun(r.pool.values)
		if r.over {
			r.live.cancel()
		}
	}
	return r.live
}

// background returns a context for what is followed through although the run ends.
func (r *run) background() context.Context {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return r.backgroundLocked()
}

func (r *run) backgroundLocked() context.Context {
	if r.live == nil {
		return r.pool.values
	}
	return r.live.values
}

// endLocked returns the run's end, for those who wait for it.
func (r *run) endLocked() *runEnd {
	if r.end == nil {
		r.end = &runEnd{finished: make(chan struct{})}
	}
	return r.end
}

// begin lets the scheduler serve the run.
func (r *run) begin() {
	r.m.mu.Lock()
	r.begun = true
	r.m.mu.Unlock()
	r.queue.Add(r)
	if r.pool == nil {
		r.watch()
		r.queue.Start(r.m.cfg.CheckInterval)
	}
	if r.isOver() {
		r.stop()
	}
}

// stop makes the run end, and does not wait for it.
func (r *run) stop() {
	r.m.mu.Lock()
	r.stopLocked()
	r.m.mu.Unlock()
	go r.finish()
}

func (r *run) stopLocked() {
	r.over = true
	if r.live != nil {
		r.live.cancel()
	}
}

// isOver reports whether the run is to end.
func (r *run) isOver() bool {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return r.overLocked()
}

func (r *run) overLocked() bool {
	return r.over || r.live != nil && r.live.Err() != nil || r.pool != nil && r.pool.ctx.Err() != nil
}

// abandon undoes claimRun for a run that has not begun.
func (r *run) abandon() {
	r.m.mu.Lock()
	r.stopLocked()
	r.m.mu.Unlock()
	r.leave(nil)
}

// enter notes that a look or a flight is under way, until landing is told. It
// reports false if none may begin any more.
func (r *run) enter() bool {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return r.enterLocked()
}

func (r *run) enterLocked() bool {
	if r.ended || r.overLocked() {
		return false
	}
	r.landing.Add(1)
	return true
}

// finish ends the run in order, once: flights land, what is unsaved is saved if
// possible, locks are released.
func (r *run) finish() {
	m := r.m
	m.mu.Lock()
	if !r.begun || r.ended {
		m.mu.Unlock()
		return
	}
	r.ended = true
	m.broadcastLocked() // who waits out a backoff would wait in vain
	m.mu.Unlock()
	r.landing.Wait()

	err := r.saveLast()
	if r.pool == nil {
		r.queue.Stop()
	}
	r.leave(err)
}

// saveLast makes the session ready to be left: saved if it can be, and unlocked.
func (r *run) saveLast() (err error) {
	r.m.mu.Lock()
	resting := r.m.awake == nil
	r.m.mu.Unlock()
	if resting {
		return nil // saved, with no lock
	}
	_ = r.m.withTurn(context.Background(), func(c *managed) error {
		err = c.saveAtLast(r)
		c.releaseKept()
		return nil
	})
	return err
}

// leave makes the manager stopped, and tells who waits for that.
func (r *run) leave(err error) {
	m := r.m
	m.mu.Lock()
	if r.live != nil && r.live.unhook != nil {
		r.live.unhook()
	}
	begun, end := r.begun, r.endLocked()
	m.run = nil
	m.broadcastLocked()
	m.mu.Unlock()
	if r.pool != nil {
		m.cfg.server.part()
		r.pool.leave(err)
	}
	if begun {
		m.emit(Event{Kind: EventStopped, Err: err})
	}
	end.err = err
	close(end.finished)
}

// patience returns how long the end of the run may try to save, or nil for one
// more try.
func (r *run) patience() context.Context {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.end != nil && r.end.grace != nil || r.pool == nil {
		return r.endLocked().grace
	}
	return r.pool.patience()
}
