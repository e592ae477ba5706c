package queue_test

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/queue"
)

// A job is an item that notes when it was done.
type job struct {
	place queue.Place
	work  func(j *job) (moment.Instant, bool)

	mu   sync.Mutex
	done []time.Duration // since the queue's start
}

func (j *job) Place() *queue.Place { return &j.place }

func (j *job) Work() (moment.Instant, bool) { return j.work(j) }

func (j *job) times() []time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.done)
}

// every returns a job that takes some time and is due again after a pause.
func every(begun time.Time, takes, pause time.Duration) *job {
	return &job{work: func(j *job) (moment.Instant, bool) {
		j.mu.Lock()
		j.done = append(j.done, time.Since(begun))
		j.mu.Unlock()
		time.Sleep(takes)
		return moment.Of(time.Now()).Add(pause), true
	}}
}

func start(t *testing.T, workers int) *queue.Queue[*job] {
	q := queue.New[*job](clock.New(), workers)
	q.Start(time.Minute)
	t.Cleanup(q.Stop)
	return q
}

func TestItemsAreHandedOutWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, begun := start(t, 0), time.Now()
		j := every(begun, 0, 10*time.Second)
		q.Advance(j, moment.Of(begun)) // not queued: nothing happens
		synctest.Wait()
		if n := len(j.times()); n != 0 {
			t.Fatalf("done %d times before it was added", n)
		}
		q.Add(j)
		time.Sleep(25 * time.Second)
		q.Advance(j, moment.Of(time.Now()).Add(time.Second))
		q.Advance(j, moment.Of(time.Now()).Add(time.Hour)) // later than it is due: nothing happens
		time.Sleep(2 * time.Second)
		q.Add(j)
		synctest.Wait()
		want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 26 * time.Second, 27 * time.Second}
		if got := j.times(); !slices.Equal(got, want) {
			t.Errorf("done at %v; want %v", got, want)
		}
	})
}

func TestAnItemInWorkIsHandedOutOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, begun := start(t, 0), time.Now()
		j := every(begun, 5*time.Second, time.Hour)
		q.Add(j)
		time.Sleep(time.Second)
		for range 3 {
			q.Add(j)
		}
		time.Sleep(30 * time.Second)
		if got, want := j.times(), []time.Duration{0, 5 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("done at %v; want %v", got, want)
		}
	})
}

// Of items that are due, those come first whose time was first, also when all are handed out.
func TestDueItemsComeInTheOrderOfTheirTimes(t *testing.T) {
	for name, all := range map[string]bool{"overdue": false, "all at once": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, now := queue.New[*job](clock.New(), 1), moment.Of(time.Now())
				var got, want []int
				for i := range 100 {
					n := (i * 37) % 100
					j := &job{work: func(*job) (moment.Instant, bool) { got = append(got, n); return moment.Instant{}, false }}
					at := now.Add(time.Duration(n-100) * time.Second)
					if all {
						at = now.Add(time.Duration(n-50) * time.Hour)
					}
					q.AddAt(j, at)
					want = append(want, i)
				}
				if all {
					q.AddAll()
					want = want[:50] // the others are equal
				}
				q.Start(time.Minute)
				synctest.Wait()
				q.Stop()
				if len(got) != 100 || !slices.Equal(got[:len(want)], want) {
					t.Errorf("handed out in the order %v", got)
				}
			})
		})
	}
}

func TestWithoutMoreAnItemLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := start(t, 0)
		var done atomic.Int32
		j := &job{work: func(*job) (moment.Instant, bool) { done.Add(1); return moment.Instant{}, false }}
		q.Add(j)
		time.Sleep(time.Hour)
		q.AddAll()
		q.Advance(j, moment.Of(time.Now()))
		synctest.Wait()
		if n := done.Load(); n != 1 {
			t.Errorf("done %d times; want once", n)
		}
		q.Add(j)
		synctest.Wait()
		if n := done.Load(); n != 2 {
			t.Errorf("added again: done %d times; want twice", n)
		}
	})
}

func TestWorkersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, begun := start(t, 2), time.Now()
		var jobs []*job
		for range 6 {
			jobs = append(jobs, every(begun, time.Second, time.Hour))
			q.Add(jobs[len(jobs)-1])
		}
		time.Sleep(10 * time.Second)
		var times []time.Duration
		for _, j := range jobs {
			times = append(times, j.times()...)
		}
		slices.Sort(times)
		want := []time.Duration{0, 0, time.Second, time.Second, 2 * time.Second, 2 * time.Second}
		if !slices.Equal(times, want) {
			t.Errorf("done at %v; want two at a time", times)
		}
	})
}

// A worker that only waits is free for others.
func TestAWorkerIsLent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, begun := start(t, 1), time.Now()
		waits := &job{work: func(*job) (moment.Instant, bool) {
			q.Workers().Lend(func() { time.Sleep(time.Minute) })
			return moment.Instant{}, false
		}}
		q.Add(waits)
		synctest.Wait()
		j := every(begun, 0, time.Hour)
		q.Add(j)
		time.Sleep(time.Second)
		if got, want := j.times(), []time.Duration{100 * time.Millisecond}; !slices.Equal(got, want) {
			t.Errorf("done at %v; want %v", got, want)
		}
		time.Sleep(time.Hour)
	})
}

func TestAllItemsAreBroughtForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, begun := start(t, 0), time.Now()
		a, b := every(begun, 0, 100*time.Second), every(begun, 0, 200*time.Second)
		q.Add(a)
		q.Add(b)
		synctest.Wait()
		q.AdvanceAll(10)
		time.Sleep(30 * time.Second)
		q.AddAll()
		synctest.Wait()
		if got, want := a.times(), []time.Duration{0, 10 * time.Second, 30 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("the first was done at %v; want %v", got, want)
		}
		if got, want := b.times(), []time.Duration{0, 20 * time.Second, 30 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("the second was done at %v; want %v", got, want)
		}
	})
}

// An item in work when all are brought forward is handed out again: what it has seen
// may be from before.
func TestAChangeOfAllItemsConcernsThoseInWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, begun := start(t, 0), time.Now()
		j := every(begun, 5*time.Second, time.Hour)
		q.Add(j)
		time.Sleep(time.Second)
		q.AddAll()
		time.Sleep(10 * time.Second)
		if got, want := j.times(), []time.Duration{0, 5 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("done at %v; want %v", got, want)
		}
	})
}

// A clock that is set makes all items due, at the next tick at the latest.
func TestAClockThatIsSet(t *testing.T) {
	clk := clock.NewMock()
	q := queue.New[*job](clk, 0)
	done := make(chan time.Time, 10)
	j := &job{work: func(*job) (moment.Instant, bool) {
		done <- clk.Now()
		return moment.Of(clk.Now()).Add(24 * time.Hour), true
	}}
	q.Start(time.Minute)
	q.Add(j)
	<-done
	clk.Set(clk.Now().Add(-time.Hour)) // it has no monotonic part: time goes backwards
	q.Advance(j, moment.Of(clk.Now()).Add(-time.Hour))
	<-done
	q.Stop()
}

func TestStopWaitsForWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, begun := queue.New[*job](clock.New(), 1), time.Now()
		q.Start(time.Minute)
		q.Add(every(begun, 5*time.Second, time.Hour))
		q.Add(every(begun, 5*time.Second, time.Hour)) // waits for a worker, in vain
		synctest.Wait()
		q.Stop()
		if passed := time.Since(begun); passed != 5*time.Second {
			t.Errorf("Stop returned after %v; want 5s", passed)
		}
	})
}

// Work that ends its goroutine, as a callback of a program's can, keeps neither the worker
// nor its item's place.
func TestWorkThatEndsItsGoroutineIsComeBackTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, begun := start(t, 1), time.Now()
		j := every(begun, 0, 10*time.Second)
		var exits atomic.Int32
		work := j.work
		j.work = func(j *job) (moment.Instant, bool) {
			if exits.Add(1) < 3 {
				q.Workers().Lend(func() { time.Sleep(time.Second); runtime.Goexit() })
			}
			return work(j)
		}
		q.Add(j)
		time.Sleep(2*time.Minute + 30*time.Second)
		if got := j.times(); len(got) == 0 || got[0] > 2*time.Minute+3*time.Second || exits.Load() < 3 {
			t.Errorf("done at %v after %d exits; want two minutes after the start", got, exits.Load())
		}
		if !q.Workers().Acquire(t.Context()) {
			t.Fatal("no worker is free")
		}
		q.Workers().Release()
	})
}
