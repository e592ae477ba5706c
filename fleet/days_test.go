package main

import (
	"cmp"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestADayHasFaultsOfItsKindThatDoNotOverlap(t *testing.T) {
	for _, quick := range []bool{false, true} {
		for _, d := range days(quick) {
			s := daySize
			s.length, s.life = d.length, cmp.Or(d.life, s.life)
			faults := d.plan(s, rand.New(rand.NewPCG(1, 1)))
			if len(faults) == 0 || !quick && d.what != throttled && len(faults) < 3 {
				t.Errorf("%s in %s: %d faults in %s", d.what, d.kind, len(faults), d.length)
			}
			var over time.Duration
			for _, f := range faults {
				if f.trial != d.what || f.at < over || f.lasts <= 0 {
					t.Errorf("%s: %s from %s for %s, the one before until %s", d.what, f.trial, f.at, f.lasts, over)
				}
				over = f.at + f.lasts
			}
		}
	}
}

// Beside other work nothing follows from the time that passes.
func TestAQuickDayDoesNotJudgeByTime(t *testing.T) {
	for _, quick := range []bool{true, false} {
		for _, d := range days(quick) {
			if d.timed == quick {
				t.Errorf("quick %t: %s in %s is timed: %t", quick, d.what, d.kind, d.timed)
			}
		}
	}
	f := &run{
		size: size{hosts: 1, processes: 1, sessions: 2, grace: grace}, day: authorityDown, begun: dawn, back: []time.Time{after(30)},
		authority: new(authority), processes: [][]*process{{{waits: []wait{{"a", after(25), after(40), true}}}}},
	}
	r := new(row)
	if f.judgeDay(r); len(r.Problems) != 0 || !strings.Contains(r.Note, "all within 10.00 s") {
		t.Errorf("problems %q, note %q; want the time told, and not judged", r.Problems, r.Note)
	}
}

// judged returns what a day finds in the waits of one process.
func judged(d trial, grace time.Duration, t tally, turnedAway int, waits ...wait) []string {
	f := &run{
		size: size{hosts: 1, processes: 1, sessions: 2, grace: grace}, day: d, timed: true, names: users(2), begun: dawn,
		authority: &authority{turnedAway: turnedAway}, processes: [][]*process{{{waits: waits}}},
		faults: []fault{{trial: d, at: 10 * time.Second, lasts: 20 * time.Second}, {trial: d, at: 60 * time.Second, lasts: 20 * time.Second, how: 1}},
		back:   []time.Time{after(30), after(80)},
	}
	r := &row{tally: t}
	f.judgeDay(r)
	return r.Problems
}

func TestADaySeesWhatIsBroken(t *testing.T) {
	waited := func(name string, from, to float64) wait { return wait{name, after(from), after(to), true} }
	many := []wait{waited("user000000", 25, 34)}
	for range 20 {
		many = append(many, waited("user000000", 25, 31))
	}
	for name, tc := range map[string]struct {
		problems []string
		want     string // empty: it holds
	}{
		"sent again without grace":  {judged(awayAfterSpend, 0, tally{Replays: 1}, 0), "sent again"},
		"sent again with grace":     {judged(putBack, grace, tally{Replays: 1}, 0), ""},
		"served soon":               {judged(authorityDown, grace, tally{}, 20, waited("user000000", 25, 31)), ""},
		"all served late":           {judged(authorityDown, grace, tally{}, 20, waited("user000000", 25, 32.5)), "up to 2.5s"},
		"one served late":           {judged(authorityDown, grace, tally{}, 20, many...), "the last one 4s"},
		"not one has waited":        {judged(authorityDown, grace, tally{}, 20, waited("user000000", 31, 50)), "waited for the server"},
		"called too often":          {judged(authorityDown, grace, tally{}, 23, waited("user000000", 25, 31)), "called 23 times"},
		"the others wait":           {judged(throttled, 0, tally{}, 1, waited("user000001", 25, 29)), "user000001 waited 4s"},
		"another is not served":     {judged(throttled, 0, tally{}, 1, wait{"user000001", after(25), after(25), false}), "served: false"},
		"the throttled one waits":   {judged(throttled, 0, tally{}, 1, waited("user000000", 25, 60)), ""},
		"the throttled one is sent": {judged(throttled, 0, tally{}, 2), "asked 2 times"},
	} {
		if got := strings.Join(tc.problems, "; "); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s: problems %q; want %q", name, got, tc.want)
		}
	}
}
