package main

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

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
	for seed := range uint64(50) {
		var seen [troubles]int
		for _, f := range fullSize.plan(rand.New(rand.NewPCG(seed, seed))) {
			seen[f.trouble]++
			if f.at < fullSize.calm || f.at+f.lasts > fullSize.length-fullSize.calm {
				t.Errorf("seed %d: %v from %v for %v", seed, f.trouble, f.at, f.lasts)
			}
			if f.trouble == pause && f.lasts <= fullSize.lease {
				t.Errorf("seed %d: a pause of %v does not outlast a lease of %v", seed, f.lasts, fullSize.lease)
			}
			if f.trouble != restart && f.lasts >= grace {
				t.Errorf("seed %d: %v lasts %v: no client can help where the server repeats an answer for %v", seed, f.trouble, f.lasts, grace)
			}
		}
		for tr, n := range seen {
			if n == 0 {
				t.Errorf("seed %d: %d × %v", seed, n, trouble(tr))
			}
		}
	}
}

func TestNothingIsCutOffTwiceAtOnce(t *testing.T) {
	for seed := range uint64(50) {
		plan := fullSize.plan(rand.New(rand.NewPCG(seed, seed)))
		for i, a := range plan {
			for _, b := range plan[i+1:] {
				if a.about() == b.about() && b.at < a.at+a.lasts && a.at < b.at+b.lasts {
					t.Errorf("seed %d: %+v and %+v overlap", seed, a, b)
				}
			}
		}
	}
}
