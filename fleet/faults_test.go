package main

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// plans calls check with the plans of both sizes by many seeds.
func plans(t *testing.T, check func(t *testing.T, s size, plan []fault)) {
	t.Helper()
	for name, s := range map[string]size{"full": fullSize, "quick": quickSize} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				check(t, s, s.plan(rand.New(rand.NewPCG(seed, seed))))
			}
		})
	}
}

func TestAPlanDependsOnItsSeedOnly(t *testing.T) {
	plan := func(seed uint64) []fault { return fullSize.plan(rand.New(rand.NewPCG(seed, seed))) }
	if !reflect.DeepEqual(plan(1), plan(1)) {
		t.Error("two plans of one seed differ")
	}
	if reflect.DeepEqual(plan(1), plan(2)) {
		t.Error("plans of two seeds are the same")
	}
}

func TestAPlanHasEveryTroubleAndLeavesTimeBeforeAndAfter(t *testing.T) {
	plans(t, func(t *testing.T, s size, plan []fault) {
		var seen [mixed]int
		for _, f := range plan {
			seen[f.trial]++
			if f.at < s.calm || f.at+f.lasts > s.length-s.calm {
				t.Errorf("%v from %v for %v", f.trial, f.at, f.lasts)
			}
			if f.trial == pause && f.lasts <= s.lease {
				t.Errorf("a pause of %v does not outlast a lease of %v", f.lasts, s.lease)
			}
			if f.trial != restart && f.lasts >= grace {
				t.Errorf("%v lasts %v: no client can help where the server repeats an answer for %v", f.trial, f.lasts, grace)
			}
		}
		for tr, n := range seen {
			if n == 0 {
				t.Errorf("%d × %v", n, trial(tr))
			}
		}
	})
}

func TestNothingIsCutOffTwiceAtOnce(t *testing.T) {
	plans(t, func(t *testing.T, s size, plan []fault) {
		for i, a := range plan {
			for _, b := range plan[i+1:] {
				if a.about() == b.about() && b.at < a.at+a.lasts+s.every {
					t.Errorf("%+v and %+v overlap", a, b)
				}
			}
		}
	})
}

func TestTheClocksOfTwoHostsAreOff(t *testing.T) {
	if got := (size{hosts: 3}).offsets(5); !reflect.DeepEqual(got, []time.Duration{-5, 0, 5}) {
		t.Errorf("%v; want one behind, one right and one ahead", got)
	}
}

// What limits refresh must be over before what is judged by it.
func TestSizesLeaveRoom(t *testing.T) {
	for name, s := range map[string]size{"full": fullSize, "quick": quickSize} {
		if s.timeout > s.life/6 {
			t.Errorf("%s: an answer that takes %v makes pools begin earlier, with tokens of %v", name, s.timeout, s.life)
		}
		if s.timeout >= s.lease {
			t.Errorf("%s: a request may take %v, and its lock is gone after %v", name, s.timeout, s.lease)
		}
	}
}
