package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/queue"
	"github.com/evertoken/evertoken/refresh/internal/session"
)

// A run is the time between start and end of a session. There is one for each session
// of a pool, so it is small.
type run struct {
	m       *Member
	life    *life
	landing sync.WaitGroup // looks and flights in progress; grows under m.mu while not ending
	place   queue.Place

	// Guarded by m.mu.
	live  *liveRun // made when it is needed
	end   *runEnd  // made when it is needed
	begun bool
	over  bool // to end
	ended bool // no more looks and flights
}

// A liveRun is a run's context, for what is done while it lasts.
type liveRun struct {
	context.Context                 // ends with the run
	values          context.Context // what it carries, without its end
	cancel          context.CancelFunc
	unhook          func() bool // from the context of Start; nil if the engine ends the run
}

// A runEnd is what a run's end leaves behind.
type runEnd struct {
	grace    context.Context // how long the end may try to save; guarded by m.mu
	finished chan struct{}
	err      error // what was left unsaved; written before finished closes
}

// claimRun makes the session running until ends ends, after waiting for an earlier run
// to end, as long as ctx allows.
func (m *Member) claimRun(ctx, ends context.Context) (*run, error) {
	for {
		m.mu.Lock()
		old := m.run
		if old == nil {
			r, err := m.newRunLocked(ends)
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

func (m *Member) newRunLocked(ends context.Context) (*run, error) {
	r := &run{m: m, life: m.engine.enter(m)}
	if r.life == nil {
		return nil, fmt.Errorf("refresh: start: the pool: %w", session.ErrStopped)
	}
	if m.cfg.Session.Gate.Join() {
		r.life.queue.AddAll()
	}
	if ends != r.life.ctx { // the engine ends its sessions itself
		r.live = newLiveRun(ends)
		r.live.unhook = context.AfterFunc(r.live, r.finish)
	}
	return r, nil
}

func newLiveRun(ends context.Context) *liveRun {
	l := new(liveRun)
	l.Context, l.cancel = context.WithCancel(ends)
	l.values = context.WithoutCancel(ends)
	return l
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
	return r.m.look(r), true
}

// Context implements session.Run.
func (r *run) Context() context.Context {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return r.contextLocked()
}

func (r *run) contextLocked() context.Context {
	if r.live == nil {
		r.live = newLiveRun(r.life.values)
		if r.overLocked() {
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
		return r.life.values
	}
	return r.live.values
}

// Lend implements session.Run.
func (r *run) Lend(wait func()) { r.life.queue.Workers().Lend(wait) }

// Over implements session.Run.
func (r *run) Over() bool {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return r.overLocked()
}

func (r *run) overLocked() bool {
	return r.over || r.live != nil && r.live.Err() != nil || r.life.ctx.Err() != nil
}

// endLocked returns the run's end, for callers that wait for it.
func (r *run) endLocked() *runEnd {
	if r.end == nil {
		r.end = &runEnd{finished: make(chan struct{})}
	}
	return r.end
}

// begin lets the queue serve the run.
func (r *run) begin() {
	r.m.mu.Lock()
	r.begun = true
	r.m.mu.Unlock()
	r.life.queue.Add(r)
	if r.Over() {
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

// abandon undoes claimRun for a run that has not begun.
func (r *run) abandon() {
	r.m.mu.Lock()
	r.stopLocked()
	r.m.mu.Unlock()
	r.leave(nil)
}

// enter notes that a look or a flight is in progress, until landing is told. It
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

// finish ends the run in order, once: flights end, what is unsaved is saved if
// possible, locks are released.
func (r *run) finish() {
	m := r.m
	m.mu.Lock()
	if !r.begun || r.ended {
		m.mu.Unlock()
		return
	}
	r.ended = true
	m.broadcastLocked() // callers who wait out a backoff would wait in vain
	m.mu.Unlock()
	r.landing.Wait()
	r.leave(r.saveLast())
}

// saveLast makes the session ready to be left: saved if it can be, and unlocked.
func (r *run) saveLast() (err error) {
	r.m.mu.Lock()
	dormant := r.m.awake == nil
	r.m.mu.Unlock()
	if dormant {
		return nil // saved, with no lock
	}
	_ = r.m.WithTurn(context.Background(), func(s *session.Session) error {
		err = s.SaveAtLast(r.background(), r.patience())
		return nil
	})
	return err
}

// leave makes the session stopped, and tells the callers that wait for that.
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
	m.cfg.Session.Gate.Leave()
	if begun {
		m.Emit(session.Event{Kind: EventStopped, Err: err})
	}
	end.err = err
	close(end.finished)
	r.life.leave(err)
}

// patience returns how long the end of the run may try to save, or nil for one
// more try.
func (r *run) patience() context.Context {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.end != nil && r.end.grace != nil {
		return r.end.grace
	}
	return r.life.patience()
}
