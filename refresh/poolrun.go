package refresh

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/evertoken/evertoken/refresh/internal/queue"
)

// A poolRun is the time between Start and Stop of a pool.
type poolRun struct {
	p        *Pool
	queue    *queue.Queue[*run]
	ctx      context.Context // ends with Stop, Close, or the context of Start
	values   context.Context // what ctx carries, without its end
	cancel   context.CancelFunc
	finished chan struct{}
	err      error // what was left unsaved; written before finished closes

	running  sync.WaitGroup // sessions; grows under p.mu while not ending
	watching sync.WaitGroup // the one who hears of changes in the Store

	// Guarded by p.mu.
	ending  bool            // no more sessions
	grace   context.Context // how long the end may try to save
	unsaved []error         // what ended sessions left unsaved: the first few
	lost    int             // how many there are of them
}

// newRun starts the pool's scheduler. The caller has p.mu.
func (p *Pool) newRun(ctx context.Context) *poolRun {
	r := &poolRun{p: p, finished: make(chan struct{})}
	r.queue = queue.New[*run](p.cfg.Clock, p.workers)
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.values = context.WithoutCancel(ctx)
	r.queue.Start(p.cfg.CheckInterval)
	r.watch()
	context.AfterFunc(r.ctx, r.end)
	return r
}

// enter notes that a session runs, until leave, and returns the run it belongs
// to, or nil if the pool is not running or has dropped the session.
func (p *Pool) enter(m *Manager) *poolRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.run
	if r == nil || r.ending || r.ctx.Err() != nil || p.sessions[m.session] != m {
		return nil
	}
	r.running.Add(1)
	return r
}

// maxErrors is how many unsaved sessions an error names.
const maxErrors = 5

// leave notes that a session has ended, and what it left unsaved.
func (r *poolRun) leave(err error) {
	r.p.mu.Lock()
	if err != nil {
		if r.lost++; r.lost <= maxErrors {
			r.unsaved = append(r.unsaved, err)
		}
	}
	r.p.mu.Unlock()
	r.running.Done()
}

// end ends all sessions, and then the scheduler.
func (r *poolRun) end() {
	r.p.mu.Lock()
	r.ending = true
	r.p.mu.Unlock()
	for _, m := range r.p.open() {
		m.halt()
	}
	r.running.Wait()
	r.watching.Wait()
	r.queue.Stop()

	r.p.mu.Lock()
	r.p.run = nil
	r.err = errors.Join(r.unsaved...)
	if more := r.lost - len(r.unsaved); more > 0 {
		r.err = fmt.Errorf("%w\nand %d more", r.err, more)
	}
	r.p.mu.Unlock()
	close(r.finished)
}

func (r *poolRun) patience() context.Context {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.grace
}

func (p *Pool) close(ctx context.Context, insist bool) error {
	p.mu.Lock()
	r := p.run
	if r == nil {
		p.mu.Unlock()
		return nil
	}
	if insist && r.grace == nil {
		r.grace = ctx
	}
	p.mu.Unlock()
	r.cancel()
	select {
	case <-r.finished:
		return r.err
	case <-ctx.Done():
	}
	var names []string
	for st := range p.Statuses() {
		if st.Unsaved && len(names) < maxErrors {
			names = append(names, st.Session)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("refresh: close: refreshes are still under way: %w: %w", ErrUnsaved, context.Cause(ctx))
	}
	return fmt.Errorf("refresh: close: sessions such as %q: %w: %w", names, ErrUnsaved, context.Cause(ctx))
}
