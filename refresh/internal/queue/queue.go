// Package queue hands items to workers when they are due: a delaying queue for any
// number of items with one goroutine, one timer, and a bounded number of workers. It knows
// nothing of what it queues.
//
// Timers only wake the queue. When one fires, or at the latest once per interval, all
// items are judged anew by the clock; after the clock was set, or the machine has slept,
// all of them are handed out.
package queue

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/evertoken/evertoken/internal/moment"
)

// An Item is what a Queue hands out, one worker at a time.
type Item interface {
	comparable
	// Place returns the item's place in the queue, always the same one.
	Place() *Place
	// Work does what is due, and returns when there is more to do. Without more the
	// item leaves the queue until it is added again.
	Work() (next moment.Instant, more bool)
}

// A Place is where an item is in its queue. Its zero value is that of an item that is
// not queued. The queue guards it.
type Place struct {
	at    int64 // when it is due, in monotonic time; of an item in work: when, if before it says so itself
	index int32 // in the heap, from 1; 0: it is not there
	busy  bool  // in work
}

const never = int64(1<<63 - 1)

// soon is the shortest time a timer is made for.
const soon = time.Millisecond

// A Queue is safe for concurrent use.
type Queue[T Item] struct {
	clk     clock.Clock
	workers Workers
	nudge   chan struct{}   // the first item in the heap is another one
	ctx     context.Context // ends with Stop
	quit    context.CancelFunc
	running sync.WaitGroup // the loop and the workers

	interval time.Duration // written by Start

	mu      sync.Mutex // guards the fields below and every item's Place
	heap    places[T]
	last    moment.Instant // when items were last judged by the clock
	changes uint64         // of all items at once, which those in work have to follow
}

// New returns a queue that hands out nothing before Start. Zero workers mean no limit.
// End it with Stop.
func New[T Item](clk clock.Clock, workers int) *Queue[T] {
	q := &Queue[T]{clk: clk, nudge: make(chan struct{}, 1), last: moment.Of(clk.Now())}
	q.ctx, q.quit = context.WithCancel(context.Background())
	if workers > 0 {
		q.workers = make(Workers, workers)
	}
	return q
}

// Workers returns the queue's workers, whose number also bounds what else is done.
func (q *Queue[T]) Workers() Workers { return q.workers }

// Start begins to hand out items. All of them are judged anew at least once per
// interval.
func (q *Queue[T]) Start(interval time.Duration) {
	q.interval = interval
	timer := q.clk.Timer(min(soon, interval)) // made here: a fake clock may be moved on at once
	q.running.Go(func() { q.loop(interval, timer) })
}

// Stop ends the queue and waits until no item is in work.
func (q *Queue[T]) Stop() {
	q.quit()
	q.running.Wait()
}

// loop hands out what is due. It also hears of time and of changes while it waits for a
// free worker: the first item may then be another one.
func (q *Queue[T]) loop(interval time.Duration, timer *clock.Timer) {
	var worker Workers
	for {
		select {
		case <-q.ctx.Done():
		case <-q.nudge:
		case <-timer.C:
		case worker <- struct{}{}:
			q.handOut()
		}
		if q.ctx.Err() != nil {
			timer.Stop()
			return
		}
		last := timer
		timer, worker = q.dispatch(interval)
		last.Stop() // not before there is another: a fake clock goes from timer to timer
	}
}

// dispatch hands out what is due, and returns what to wait for: a timer, and a worker if
// all are busy and more is due.
func (q *Queue[T]) dispatch(interval time.Duration) (*clock.Timer, Workers) {
	for {
		now := moment.Of(q.clk.Now())
		wait, any := q.next(now)
		var worker Workers
		if any && wait <= 0 {
			if q.workers.tryAcquire() {
				q.handOut()
				continue
			}
			worker, wait = q.workers, interval
		}
		// No Reset and no zero timers: clock.Mock gets both wrong.
		timer := q.clk.Timer(min(max(wait, soon), interval))
		if moment.Of(q.clk.Now()).Mono()-now.Mono() < int64(soon) {
			return timer, worker
		}
		timer.Stop() // a fake clock was moved on, or the machine stood still, before it was made
	}
}

// handOut has the first item's work done by a worker that was acquired.
func (q *Queue[T]) handOut() {
	item, changes := q.pop()
	q.running.Go(func() { q.work(item, changes) })
}

// next returns how long it is until the first item is due; without one, an age.
func (q *Queue[T]) next(now moment.Instant) (wait time.Duration, any bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Stepped(q.last) {
		q.addAllLocked(now)
	}
	q.last = now
	if len(q.heap) == 0 {
		return time.Duration(never), false
	}
	return time.Duration(q.heap[0].Place().at - now.Mono()), true
}

func (q *Queue[T]) pop() (T, uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	item := heap.Pop(&q.heap).(T)
	place := item.Place()
	place.busy, place.at = true, never
	return item, q.changes
}

// work lets a worker, which was acquired, do an item's work, and queues it for the next
// time: now, if what it has seen was overtaken by a change of all items.
func (q *Queue[T]) work(item T, changes uint64) {
	next, more := moment.Of(q.clk.Now()).Add(q.interval), true // of work that ends its goroutine
	defer func() {
		q.workers.Release()
		q.mu.Lock()
		defer q.mu.Unlock()
		place := item.Place()
		place.busy = false
		if !more {
			return
		}
		if q.changes != changes {
			next = moment.Of(q.clk.Now())
		}
		q.putLocked(item, min(next.Mono(), place.at))
	}()
	next, more = item.Work()
}

// Add queues an item, or brings it forward, so that it is handed out now. One that is
// in work is handed out once more after it.
func (q *Queue[T]) Add(item T) { q.AddAt(item, moment.Of(q.clk.Now())) }

// AddAt queues an item for a time, or brings it forward to it. Of items that are due, the
// one whose time was first is handed out first.
func (q *Queue[T]) AddAt(item T, at moment.Instant) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if place := item.Place(); !place.busy && place.index == 0 {
		q.putLocked(item, at.Mono())
		return
	}
	q.advanceLocked(item, at.Mono())
}

// Advance brings an item forward that would be handed out after at. It does nothing
// with one that is not queued.
func (q *Queue[T]) Advance(item T, at moment.Instant) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.advanceLocked(item, at.Mono())
}

func (q *Queue[T]) advanceLocked(item T, at int64) {
	switch place := item.Place(); {
	case place.busy:
		place.at = min(place.at, at) // after the work that is being done
	case place.index > 0 && place.at > at:
		q.putLocked(item, at)
	}
}

// AddAll has all items handed out now, those first that were to come first.
func (q *Queue[T]) AddAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addAllLocked(moment.Of(q.clk.Now()))
	q.nudgeLocked()
}

func (q *Queue[T]) addAllLocked(now moment.Instant) {
	q.changes++
	for _, item := range q.heap { // none comes before one that it came after, so the heap is in order
		place := item.Place()
		place.at = min(place.at, now.Mono())
	}
}

// AdvanceAll has all items handed out in the given fraction of the time that was to
// pass until then, in the same order.
func (q *Queue[T]) AdvanceAll(fraction int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changes++
	now := moment.Of(q.clk.Now()).Mono()
	for _, item := range q.heap { // what comes first still does: the order of the heap holds
		if place := item.Place(); place.at > now {
			place.at = now + (place.at-now)/fraction
		}
	}
	q.nudgeLocked()
}

// putLocked puts an item where it belongs in the heap.
func (q *Queue[T]) putLocked(item T, at int64) {
	place := item.Place()
	if place.at = at; place.index > 0 {
		heap.Fix(&q.heap, int(place.index-1))
	} else {
		heap.Push(&q.heap, item)
	}
	if q.heap[0] == item {
		q.nudgeLocked()
	}
}

func (q *Queue[T]) nudgeLocked() {
	select {
	case q.nudge <- struct{}{}:
	default:
	}
}

// places is a heap of items by when they are due.
type places[T Item] []T

func (p places[T]) Len() int           { return len(p) }
func (p places[T]) Less(i, j int) bool { return p[i].Place().at < p[j].Place().at }

func (p places[T]) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].Place().index, p[j].Place().index = int32(i+1), int32(j+1)
}

// Push implements heap.Interface.
func (p *places[T]) Push(x any) {
	item := x.(T)
	*p = append(*p, item)
	item.Place().index = int32(len(*p))
}

// Pop implements heap.Interface.
func (p *places[T]) Pop() any {
	last := len(*p) - 1
	item := (*p)[last]
	clear((*p)[last:])
	*p = (*p)[:last]
	item.Place().index = 0
	return item
}

// Workers bound how much is done at a time. Nil Workers bound nothing.
type Workers chan struct{}

// Acquire waits for a free worker, and reports whether there was one before ctx ended.
// The caller releases it.
func (w Workers) Acquire(ctx context.Context) bool {
	if w.tryAcquire() {
		return true // without paying for ctx's channel
	}
	select {
	case w <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w Workers) tryAcquire() bool {
	if w == nil {
		return true
	}
	select {
	case w <- struct{}{}:
		return true
	default:
		return false
	}
}

// Release gives an acquired worker back.
func (w Workers) Release() {
	if w != nil {
		<-w
	}
}

// Lend calls wait for a caller that has acquired a worker. If that takes longer than
// a moment, the worker is free for others meanwhile: waiting does not count as work.
func (w Workers) Lend(wait func()) {
	const moment = 100 * time.Millisecond
	if w == nil {
		wait()
		return
	}
	timer := time.AfterFunc(moment, w.Release)
	defer func() {
		if !timer.Stop() {
			w.Acquire(context.Background())
		}
	}()
	wait()
}
