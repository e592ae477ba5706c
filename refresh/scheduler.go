package refresh

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
)

// A scheduler lets runs look at their sessions when they asked for it: one
// goroutine, one ticker and one timer for any number of runs, and a goroutine for
// each look under way, of which its slots bound the number.
type scheduler struct {
	clk   clock.Clock
	slots slots
	nudge chan struct{}   // the plan has changed
	ctx   context.Context // ends with stop
	quit  context.CancelFunc
	done  chan struct{}
	base  time.Time // what the plan's times count from

	mu      sync.Mutex // guards the fields below and the plan's part of every run
	plan    plan
	last    time.Time // when the plan was last judged by the clock
	changes uint64    // of the plan as a whole, which also concern runs that are looking
}

// newScheduler returns a scheduler that has not begun: what is planned meanwhile is
// served after start. End it with stop.
func newScheduler(clk clock.Clock, s slots) *scheduler {
	ctx, quit := context.WithCancel(context.Background())
	now := clk.Now()
	return &scheduler{
		base:  now,
		last:  now,
		clk:   clk,
		slots: s,
		nudge: make(chan struct{}, 1),
		ctx:   ctx,
		quit:  quit,
		done:  make(chan struct{}),
	}
}

// start begins to serve. Everything is judged anew at least once per interval.
func (s *scheduler) start(interval time.Duration) {
	// The timers of the loop would do, but for a fake clock that is moved on just
	// before one of them is made. For the same reason the ticker is made here.
	go s.loop(s.clk.Ticker(interval))
}

// stop ends the scheduler, once, after its runs have ended.
func (s *scheduler) stop() {
	s.quit()
	<-s.done
}

func (s *scheduler) loop(ticker *clock.Ticker) {
	defer close(s.done)
	defer ticker.Stop()
	for {
		// No Reset and no zero timers: clock.Mock gets both wrong.
		var wake <-chan time.Time
		var timer *clock.Timer
		if wait, planned := s.dispatch(); planned {
			timer = s.clk.Timer(max(wait, time.Millisecond))
			wake = timer.C
		}
		select {
		case <-s.ctx.Done():
		case <-s.nudge:
		case <-ticker.C:
		case <-wake:
		}
		if timer != nil {
			timer.Stop()
		}
		if s.ctx.Err() != nil {
			return
		}
	}
}

// dispatch starts what is due. It returns how long there is nothing to do, and
// false if nothing is planned at all.
func (s *scheduler) dispatch() (wait time.Duration, planned bool) {
	for {
		if wait, planned = s.next(); !planned || wait > 0 {
			return wait, planned
		}
		if !s.slots.take(s.ctx) {
			return 0, false
		}
		go s.serve(s.pop())
	}
}

// next returns how long it is until the first run of the plan is due.
func (s *scheduler) next() (wait time.Duration, planned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clk.Now()
	if stepped(s.last, now) {
		s.replanLocked(now)
	}
	s.last = now
	if len(s.plan) == 0 {
		return 0, false
	}
	return s.plan[0].at - now.Sub(s.base), true
}

// replan lets all runs look now, because what was planned says nothing any more.
func (s *scheduler) replan() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replanLocked(s.clk.Now())
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

func (s *scheduler) replanLocked(now time.Time) {
	s.changes++
	for _, r := range s.plan { // all equal, so the order of the heap holds
		r.at = now.Sub(s.base)
	}
}

// hasten brings all looks forward: they are made in a tenth of the time that was
// planned to pass until then, in the same order, because the Store does not say any
// more what changes.
func (s *scheduler) hasten() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	now := s.clk.Now().Sub(s.base)
	for _, r := range s.plan { // what comes first does so afterwards: the order of the heap holds
		if r.at > now {
			r.at = now + (r.at-now)/rarely
		}
	}
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

// stepped reports whether a clock was set, or its machine slept, between two
// readings of it: then what was planned by the first says nothing any more.
func stepped(last, now time.Time) bool {
	const noise = time.Second // clocks are slewed by less
	elapsed := now.Sub(last)
	return elapsed < 0 || (now.Round(0).Sub(last.Round(0))-elapsed).Abs() > noise
}

// pop takes the first run off the plan, and returns how often that has changed.
func (s *scheduler) pop() (*run, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := heap.Pop(&s.plan).(*run)
	r.busy, r.at = true, never
	return r, s.changes
}

// serve lets a run look, with a slot, and plans its next look: now, if what it has
// seen was overtaken by a change of all plans. A run that has ended falls out of the
// plan here, a check interval later at most.
func (s *scheduler) serve(r *run, changes uint64) {
	if !r.enter() {
		s.slots.free()
		return
	}
	at := r.m.check(r)
	s.slots.free()
	s.mu.Lock()
	r.busy = false
	if s.changes != changes {
		at = s.clk.Now()
	}
	s.planLocked(r, min(s.reading(at), r.at))
	s.mu.Unlock()
	r.landing.Done()
}

// wake lets a run look now; if it is looking, once more.
func (s *scheduler) wake(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.reading(s.clk.Now())
	if !r.busy && r.index < 0 {
		s.planLocked(r, now)
		return
	}
	s.wakeByLocked(r, now)
}

// wakeBy lets a run look at the given time, if it is planned to look later.
func (s *scheduler) wakeBy(r *run, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeByLocked(r, s.reading(at))
}

func (s *scheduler) wakeByLocked(r *run, at time.Duration) {
	switch {
	case r.busy:
		r.at = min(r.at, at) // after the look under way
	case r.index >= 0 && r.at > at:
		s.planLocked(r, at)
	}
}

// reading returns when the scheduler's clock shows a time, which need not have a
// monotonic part: then it is as far away as the wall clock says now.
func (s *scheduler) reading(at time.Time) time.Duration {
	now := s.clk.Now()
	return now.Sub(s.base) + at.Sub(now)
}

// planLocked puts a run where it belongs in the plan.
func (s *scheduler) planLocked(r *run, at time.Duration) {
	if r.at = at; r.index >= 0 {
		heap.Fix(&s.plan, int(r.index))
	} else {
		heap.Push(&s.plan, r)
	}
	if s.plan[0] == r {
		select {
		case s.nudge <- struct{}{}:
		default:
		}
	}
}

// A plan is a heap of runs by when they want to look. Its times count from one
// reading of the clock, by the monotonic part if that has one.
type plan []*run

func (p plan) Len() int           { return len(p) }
func (p plan) Less(i, j int) bool { return p[i].at < p[j].at }

func (p plan) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].index, p[j].index = int32(i), int32(j)
}

// Push implements heap.Interface.
func (p *plan) Push(x any) {
	r := x.(*run)
	r.index = int32(len(*p))
	*p = append(*p, r)
}

// Pop implements heap.Interface.
func (p *plan) Pop() any {
	last := len(*p) - 1
	r := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	r.index = -1
	return r
}

// slots bound how much is under way at a time. Nil slots bound nothing.
type slots chan struct{}

// take waits for a slot, and reports whether it got one before the given context
// ended.
func (s slots) take(ctx context.Context) bool {
	if s == nil {
		return true
	}
	select {
	case s <- struct{}{}:
		return true
	default: // only who has to wait pays for ctx's channel
	}
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// try takes a slot if there is one.
func (s slots) try() bool {
	if s == nil {
		return true
	}
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) free() {
	if s != nil {
		<-s
	}
}

// lend calls wait while holding a slot, and gives the slot away if that takes
// longer than a moment: who only waits must not keep others from their work.
func (s slots) lend(wait func()) {
	const moment = 100 * time.Millisecond
	if s == nil {
		wait()
		return
	}
	timer := time.AfterFunc(moment, s.free)
	wait()
	if !timer.Stop() {
		s.take(context.Background())
	}
}
