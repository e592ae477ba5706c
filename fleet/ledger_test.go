package main

import (
	"testing"
	"time"
)

var dawn = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// at returns a spend of the second after dawn, by a host. Its request took no time.
func at(second float64, host int, token, next string) spend {
	when := dawn.Add(time.Duration(second * float64(time.Second)))
	return spend{token: token, next: next, host: host, sent: when, arrived: when}
}

func TestEverySpendIsOneOfThese(t *testing.T) {
	late := at(20, 0, "a", "b") // sent before b was saved, delivered after
	late.sent = dawn.Add(17 * time.Second)
	held := at(20, 1, "a", "b") // sent at nearly the same time, and held up
	held.sent = dawn.Add(15800 * time.Millisecond)
	for name, tc := range map[string]struct {
		spends []spend
		want   tally
		broken int
	}{
		"due":                                       {[]spend{at(16, 0, "a", "b"), at(32, 1, "b", "c")}, tally{Due: 2}, 0},
		"early, by a clock that is ahead":           {[]spend{at(16, 1, "a", "b"), at(20, 2, "b", "c")}, tally{Due: 1, Early: 1}, 0},
		"early, and no clock explains it":           {[]spend{at(16, 2, "a", "b"), at(20, 1, "b", "c")}, tally{Due: 1, Early: 1}, 1},
		"early, though the clocks agree":            {[]spend{at(5, 1, "a", "b")}, tally{Early: 1}, 1},
		"early, announced by a clock that is ahead": {[]spend{at(16, 0, "a", "b"), at(20, 0, "b", "announced")}, tally{Due: 1, Early: 1}, 0},
		"an answer was lost":                        {[]spend{at(16, 0, "a", "b"), at(17, 1, "a", "b")}, tally{Due: 1, Replays: 1}, 0},
		"the successor was saved":                   {[]spend{at(16, 0, "a", "b"), at(19, 1, "a", "b")}, tally{Due: 1, Reuses: 1}, 1},
		"the successor was saved, and is refused":   {[]spend{at(16, 0, "a", "b"), at(19, 1, "a", "")}, tally{Due: 1, Reuses: 1}, 1},
		"while the first is under way":              {[]spend{at(16, 0, "a", "b"), at(16.1, 1, "a", "b")}, tally{Due: 1, Reuses: 1}, 1},
		"sent before, delivered after":              {[]spend{at(16, 0, "a", "b"), late}, tally{Due: 1, Replays: 1}, 0},
		"held up by a broken network":               {[]spend{at(16, 0, "a", "b"), held}, tally{Due: 1, Replays: 1}, 0},
		"refused":                                   {[]spend{at(16, 0, "a", "")}, tally{Refused: 1}, 1},
		"in the order of their arrival":             {[]spend{at(19, 1, "a", "b"), at(16, 0, "a", "b")}, tally{Due: 1, Reuses: 1}, 1},
	} {
		l := newLedger(30 * time.Second)
		l.issue("a", dawn)
		l.save("b", dawn.Add(18*time.Second))
		l.save("b", dawn.Add(40*time.Second)) // again, which changes nothing
		l.spends = tc.spends
		if last := tc.spends[len(tc.spends)-1]; last.next == "announced" {
			l.announce(last.token, 2)
		}
		got, replayed, broken := l.judge([]time.Duration{0, 0, time.Minute}, 0)
		if got != tc.want || len(broken) != tc.broken || replayed["a"] != (tc.want.Replays > 0) {
			t.Errorf("%s: %+v, replayed %v, broken %q; want %+v, and %d promises broken", name, got, replayed, broken, tc.want, tc.broken)
		}
	}
}

func TestATokenIsSpentWhenItWasExchanged(t *testing.T) {
	l := newLedger(30 * time.Second)
	l.spends = []spend{at(1, 0, "a", "b"), at(2, 0, "b", "")}
	if !l.spent("a") || l.spent("b") {
		t.Errorf("spent: a %t, b %t; want only a, which was exchanged", l.spent("a"), l.spent("b"))
	}
}
