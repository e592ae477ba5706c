package sim_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/sim"
)

var (
	seeds = flag.Int("seeds", 0, "play so many fresh seeds")
	from  = flag.Uint64("from", 0, "the first of them (default: by chance)")
	only  = flag.Uint64("seed", 0, "play one seed, with its whole timeline")
	brief = flag.Bool("brief", false, "do not shrink what fails")
	kinds = flag.String("modes", "", "the kinds of trouble, separated by commas, also those that are off; on means all that are on (default: on)")
	every = flag.Bool("all", false, "all kinds of trouble, also those that are off")
)

// modes returns the modes that the flags ask for.
func modes() []sim.Mode {
	switch {
	case *every:
		return sim.All()
	case *kinds != "":
		var chosen []sim.Mode
		for name := range strings.SplitSeq(*kinds, ",") {
			if name == "on" {
				chosen = append(chosen, sim.On()...)
			} else {
				chosen = append(chosen, sim.Named(sim.Kind(name))...)
			}
		}
		return chosen
	}
	return sim.On()
}

// play plays a plan in a bubble of its own. What is left running in there is a broken law.
func play(t *testing.T, plan sim.Plan) (r sim.Result) {
	defer func() {
		if p := recover(); p != nil {
			r.Plan, r.Broken = plan, &sim.Violation{Law: 10, What: fmt.Sprint(p)}
		}
	}()
	synctest.Test(t, func(t *testing.T) { r = sim.Run(plan) })
	return r
}

// report fails the test for a history that broke a law, with the shortest that does.
func report(t *testing.T, r sim.Result) {
	t.Helper()
	law := r.Broken.Law
	short := r
	again := func(p sim.Plan) bool {
		for range 2 { // goroutines of one moment may run in another order each time
			if got := play(t, p); got.Broken != nil && got.Broken.Law == law {
				short = got
				return true
			}
		}
		return false
	}
	sim.Shrink(r.Plan, 150, again)
	lines := short.Timeline
	if len(lines) > 40 {
		lines = lines[len(lines)-40:]
	}
	t.Errorf("seed %d: %v\nof %d events %d are left:\n%v\n%s", r.Plan.Seed, r.Broken, len(r.Plan.Events), len(short.Plan.Events),
		short.Plan, strings.Join(lines, "\n"))
}

// A total sums up histories.
type total struct {
	mu        sync.Mutex
	histories int
	spends    int
	lived     time.Duration
	losses    map[sim.Loss]int
	broken    []sim.Result
}

func (s *total) add(r sim.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.histories++
	s.spends += r.Spends
	s.lived += r.Lived
	for why, n := range r.Losses {
		s.losses[why] += n
	}
	if r.Broken != nil {
		s.broken = append(s.broken, r)
	}
}

func (s *total) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d histories, %.1f session-years, %d spends, %d broken laws", s.histories, s.lived.Hours()/24/365, s.spends, len(s.broken))
	for _, why := range slices.Sorted(maps.Keys(s.losses)) {
		fmt.Fprintf(&b, "\n%8d × %s", s.losses[why], why)
	}
	return b.String()
}

// playAll plays seeds on all processors, until too many have failed or time is up.
func playAll(t *testing.T, next func() (uint64, bool)) *total {
	sum := &total{losses: make(map[sim.Loss]int)}
	var failed atomic.Int32
	t.Run("bubbles", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for failed.Load() < 20 {
					seed, ok := next()
					if !ok {
						return
					}
					r := play(t, sim.New(seed, modes()))
					sum.add(r)
					if r.Broken != nil {
						failed.Add(1)
					}
				}
			})
		}
	})
	return sum
}

// counted returns n seeds, from the given one on.
func counted(from uint64, n int) func() (uint64, bool) {
	var next atomic.Uint64
	return func() (uint64, bool) {
		i := next.Add(1) - 1
		return from + i, i < uint64(n)
	}
}

// conclude reports what was played.
func conclude(t *testing.T, sum *total) {
	t.Helper()
	t.Log(sum)
	for i, r := range sum.broken {
		if i >= 3 || *brief {
			t.Errorf("seed %d: %v", r.Plan.Seed, r.Broken)
			continue
		}
		report(t, r)
	}
}

// The same seeds each time, and some that were never played.
func TestLawsHold(t *testing.T) {
	if *seeds > 0 || *only > 0 {
		return // other seeds are asked for
	}
	conclude(t, playAll(t, counted(1, 20)))
	begun := time.Now()
	start, fresh := rand.Uint64()>>16, counted(0, 1000)
	t.Logf("fresh seeds from %d", start)
	conclude(t, playAll(t, func() (uint64, bool) {
		i, ok := fresh()
		return start + i, ok && time.Since(begun) < time.Second
	}))
}

// A process dies at each call of a renewal in turn, in place of the other one or not.
func TestAProcessDiesAtEveryCall(t *testing.T) {
	sum := &total{losses: make(map[sim.Loss]int)}
	for _, policy := range []sim.Policy{sim.StrictAll, sim.Grace, sim.NoRotation} {
		for proc := range 2 {
			for call := range 16 {
				r := play(t, sim.Plan{
					Seed: uint64(call), Policy: policy, Procs: 2, Sessions: 1, Pooled: proc == 0,
					Life: 15 * time.Minute, Check: time.Minute, StoreDelay: time.Millisecond, NetDelay: 80 * time.Millisecond,
					Skew: make([]time.Duration, 2), Length: 40 * time.Minute,
					// For is not a multiple of four: calls that change nothing do not count.
					Events: []sim.Event{{At: 8 * time.Minute, Kind: sim.Crash, Proc: proc, N: call + 1, For: 1}},
				})
				sum.add(r)
			}
		}
	}
	if sum.losses[sim.DiedUnsave] == 0 {
		t.Error("no process died between the answer and the save")
	}
	conclude(t, sum)
}

func TestHostClocksHaveTwoReadings(t *testing.T) {
	if err := sim.CheckClock(); err != nil {
		t.Error(err)
	}
}

func TestOneSeed(t *testing.T) {
	if *only == 0 {
		return // make sim says which
	}
	r := play(t, sim.New(*only, modes()))
	t.Logf("%v\n%s", r.Plan, strings.Join(r.Timeline, "\n"))
	if r.Broken != nil {
		report(t, r)
	}
}

func TestManySeeds(t *testing.T) {
	if *seeds == 0 {
		return // make sim says how many
	}
	start := *from
	if start == 0 {
		start = rand.Uint64() >> 16
	}
	t.Logf("from seed %d", start)
	conclude(t, playAll(t, counted(start, *seeds)))
}

// A seed is worth something only if it makes the same history each time. Where people act and
// callers crowd, at one moment, it depends on who is first.
func TestOneSeedMakesOneHistory(t *testing.T) {
	alone := slices.DeleteFunc(modes(), func(m sim.Mode) bool {
		return slices.Contains([]sim.Kind{sim.Login, sim.Logout, sim.Crowd, sim.ServerEnds, sim.VagueEnd}, m.Kind)
	})
	same, n := 0, 4
	for seed := range n {
		plan := sim.New(uint64(seed)+1, alone)
		if a, b := shape(play(t, plan)), shape(play(t, plan)); a == b {
			same++
		} else {
			was, is := strings.Split(a, "\n"), strings.Split(b, "\n")
			for i := range min(len(was), len(is)) {
				if was[i] != is[i] {
					t.Logf("seed %d, line %d:\n%s\n%s", seed+1, i, was[i], is[i])
					break
				}
			}
		}
	}
	t.Logf("%d of %d seeds made the same history twice", same, n)
	if same < n/2 {
		t.Errorf("only %d of %d seeds make the same history twice", same, n)
	}
}

// shape is a history without its tokens and versions, which are new each time, and
// without the order of what happens at one moment.
func shape(r sim.Result) string {
	lines := slices.Sorted(slices.Values(r.Timeline))
	return regexp.MustCompile(`\b([0-9a-f]{6}|v[0-9]+)\b`).ReplaceAllString(strings.Join(lines, "\n"), "*")
}
