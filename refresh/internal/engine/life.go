package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/queue"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// A life is the time between Start and Close of an engine.
type life struct {
	e        *Engine
	queue    *queue.Queue[*run]
	ctx      context.Context // ends with Close, or the context of Start
	values   context.Context // what ctx carries, without its end
	cancel   context.CancelFunc
	finished chan struct{}
	err      error // what was left unsaved; written before finished closes

	running  sync.WaitGroup // sessions; grows under e.mu while not ending
	watching sync.WaitGroup // the goroutine that hears of changes in the Store

	// Guarded by e.mu.
	ending  bool            // no more sessions
	grace   context.Context // how long the end may try to save
	unsaved []error         // what ended sessions left unsaved: the first few
	lost    int             // how many there are of them
}

// newLife starts the engine's queue. The caller has e.mu.
func (e *Engine) newLife(ctx context.Context) *life {
	l := &life{e: e, finished: make(chan struct{})}
	l.queue = queue.New[*run](e.opts.Clock, e.opts.Workers)
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.values = context.WithoutCancel(ctx)
	l.queue.Start(e.opts.CheckInterval)
	if w, ok := e.opts.Store.(tokenstore.Watcher); ok {
		l.watching.Go(func() { l.watch(w) })
	}
	context.AfterFunc(l.ctx, l.end)
	return l
}

// enter notes that a session runs, until leave, and returns the life it belongs to, or
// nil if the engine is not running or has forgotten the session.
func (e *Engine) enter(m *Member) *life {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.life
	if l == nil || l.ending || l.ctx.Err() != nil || e.members[m.name] != m {
		return nil
	}
	l.running.Add(1)
	return l
}

// MaxErrors is how many unsaved sessions an error names.
const MaxErrors = 5

// leave notes that a session has ended, and what it left unsaved.
func (l *life) leave(err error) {
	l.e.mu.Lock()
	if err != nil {
		if l.lost++; l.lost <= MaxErrors {
			l.unsaved = append(l.unsaved, err)
		}
	}
	l.e.mu.Unlock()
	l.running.Done()
}

// end ends all sessions, and then the queue.
func (l *life) end() {
	l.e.mu.Lock()
	l.ending = true
	l.e.mu.Unlock()
	for _, m := range l.e.Members() {
		m.halt()
	}
	l.running.Wait()
	l.watching.Wait()
	l.queue.Stop()

	l.e.mu.Lock()
	l.e.life = nil
	l.err = errors.Join(l.unsaved...)
	if more := l.lost - len(l.unsaved); more > 0 {
		l.err = fmt.Errorf("%w\nand %d more", l.err, more)
	}
	l.e.mu.Unlock()
	close(l.finished)
}

func (l *life) patience() context.Context {
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	return l.grace
}

// rarely is how many check intervals pass between two looks at the Store for a
// dormant session, while the Store says by itself what changes. They are planned ten
// times sooner the moment that it does not any more.
const rarely = 10

// takeover is how long after the announcement of a spend a session is looked at.
// Until then there is nothing to see: the process that announced it holds the lock, and
// most spends are over by then, which the notice of the save tells. A process that has
// died meanwhile is taken over from soon after, before the window closes in which servers
// give a lost answer again; whether it has died, the lock's lease decides in any case.
const takeover = 5 * time.Second

// watch hears of changes in the Store until the life ends. When it cannot hear any more,
// all looks are brought forward, and it listens anew: soon at first, and once per check
// interval in the end, since each time may make all sessions look.
func (l *life) watch(w tokenstore.Watcher) {
	opts, watching := &l.e.opts, &l.e.watching
	now := func() moment.Instant { return moment.Of(opts.Clock.Now()) }
	for failures := 0; l.ctx.Err() == nil; {
		begun := now()
		err := failure.Guard("Store.Watch", func() error {
			return w.Watch(l.ctx, func(c tokenstore.Change) {
				watching.Store(true)
				l.hear(c)
			})
		})
		heard := watching.Swap(false)
		if l.ctx.Err() != nil || errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if heard {
			l.queue.AdvanceAll(rarely)
		}
		if failures++; heard && now().Since(begun) > opts.CheckInterval {
			failures = 1 // it has worked for a while
		}
		opts.Logger.Warn("changes in the Store are not heard of", "error", err)
		timer := opts.Clock.Timer(schedule.Backoff(failures, opts.CheckInterval, rand.Float64()))
		select {
		case <-timer.C:
		case <-l.ctx.Done():
		}
		timer.Stop()
	}
}

// hear follows a notice of a change in the Store.
func (l *life) hear(c tokenstore.Change) {
	if c.Name == "" {
		l.queue.AddAll()
		return
	}
	m := l.e.find(c.Name)
	switch {
	case m == nil:
	case c.Begun:
		m.wakeBy(takeover)
	default:
		m.Wake()
	}
}
