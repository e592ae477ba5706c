package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/chance"
	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/queue"
	"github.com/evertoken/evertoken/refresh/internal/reach"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/session"
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
	if l == nil || l.ending || l.ctx.Err() != nil || e.members.find(m.name) != m {
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

// soonBack is how much sooner sessions are looked at when a Store is back that was away:
// what happened there was missed.
const soonBack = 6

// hearReturn brings all looks forward when the Store that a line leads to is back, once
// per check interval at most: some records of a Store may be unreadable all the time.
func (e *Engine) hearReturn(line *reach.Line) {
	line.Await(e, func() { // one for all lives of the engine
		now := moment.Of(e.opts.Clock.Now())
		e.mu.Lock()
		l := e.life
		if !e.returned.IsZero() && now.Since(e.returned) < e.opts.CheckInterval {
			l = nil
		}
		if l != nil {
			e.returned = now
		}
		e.mu.Unlock()
		if l != nil {
			l.queue.AdvanceAll(soonBack)
		}
		e.hearReturn(line)
	})
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
		err := reach.Await(l.ctx, failure.Apart("Store.Watch", func() error {
			return w.Watch(l.ctx, func(c tokenstore.Change) {
				if l.ctx.Err() == nil {
					watching.Store(true)
					l.hear(c)
				}
			})
		}))
		heard := watching.Swap(false)
		if l.ctx.Err() != nil || errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if heard {
			opts.Reach.Broken(err)
			l.queue.AdvanceAll(rarely)
		}
		if failures++; heard && now().Since(begun) > opts.CheckInterval {
			failures = 1 // it has worked for a while
		}
		opts.Logger.Warn("changes in the Store are not heard of", "error", err)
		timer := opts.Clock.Timer(schedule.Backoff(failures, opts.CheckInterval, chance.Float64(opts.Clock)))
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
	m := l.e.members.find(c.Name)
	switch {
	case m == nil:
	case c.Begun:
		m.wakeBy(takeover)
	default:
		m.told.Store(c.Version)
		m.Wake()
	}
}

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
	after    func()          // called at last, nil: nothing is; guarded by m.mu
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
	m.engine.hearReturn(m.cfg.Session.Reach)
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

// begin lets the queue serve the run, by queue.
func (r *run) begin(queue func(*run)) {
	r.m.mu.Lock()
	r.begun = true
	if !r.overLocked() && (r.live == nil || r.live.unhook == nil) {
		r.m.serving.Store(r)
	}
	r.m.mu.Unlock()
	queue(r)
	if r.Over() {
		r.stop()
	}
}

// queueNow has the run's session looked at now.
func (r *run) queueNow() { r.life.queue.Add(r) }

// stop makes the run end, and does not wait for it.
func (r *run) stop() {
	r.m.mu.Lock()
	r.stopLocked()
	r.m.mu.Unlock()
	go r.finish()
}

func (r *run) stopLocked() {
	r.over = true
	r.m.serving.CompareAndSwap(r, nil)
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

// finish ends the run in order, once: flights land, what is unsaved is saved if
// possible, locks are released. Flights have as long as a caller without a token waits,
// or as their own deadlines say if the program waits for the end with a limit of its own
// (Close): the pair that is on its way can be all that is left of the session.
func (r *run) finish() {
	m := r.m
	m.mu.Lock()
	if !r.begun || r.ended {
		m.mu.Unlock()
		return
	}
	r.ended = true
	m.broadcastLocked() // callers who wait out a backoff would wait in vain
	flying := m.awake != nil && len(m.awake.flights) > 0
	m.mu.Unlock()
	stop := func() bool { return true }
	if flying {
		stop = time.AfterFunc(m.cfg.Session.MaxWait, func() {
			if r.patience() == nil {
				m.abandon(session.ErrStopped)
			}
		}).Stop
	}
	err := errExited
	defer func() { r.leave(err) }()
	r.landing.Wait()
	stop()
	err = r.saveLast()
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
	after := end.after
	m.run = nil
	m.broadcastLocked()
	m.mu.Unlock()
	m.cfg.Session.Gate.Leave()
	defer func() {
		end.err = err
		close(end.finished)
		if after != nil {
			after()
		}
		r.life.leave(err)
	}()
	if begun {
		m.Emit(session.Event{Kind: EventStopped, Err: err})
	}
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
