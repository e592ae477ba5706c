package main

import (
	"testing"
	"time"
)

var dawn = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// after is a time, in seconds after dawn.
func after(seconds float64) time.Time {
	return dawn.Add(time.Duration(seconds * float64(time.Second)))
}

// at returns a spend of the second after dawn, by a process. Its request took no time.
func at(second float64, process, token, next string) spend {
	return spend{token: token, next: next, process: process, sent: after(second), arrived: after(second)}
}

// held returns a spend whose request was delivered late.
func held(sent, arrived float64, process, token, next string) spend {
	return spend{token: token, next: next, process: process, sent: after(sent), arrived: after(arrived)}
}

func TestEverySpendIsOneOfThese(t *testing.T) {
	for name, tc := range map[string]struct {
		spends []spend
		want   tally
		broken int
	}{
		"due":                                     {[]spend{at(16, "p", "a", "b"), at(32, "q", "b", "c")}, tally{Due: 2}, 0},
		"due, after a request that was held up":   {[]spend{held(16, 18, "p", "a", "b"), at(31, "q", "b", "c")}, tally{Due: 2}, 0},
		"early":                                   {[]spend{at(16, "p", "a", "b"), at(29, "q", "b", "c")}, tally{Due: 1, Early: 1}, 1},
		"due, as clocks agree":                    {[]spend{at(14, "p", "a", "b")}, tally{Due: 1}, 0},
		"early after the login":                   {[]spend{at(13, "p", "a", "b")}, tally{Early: 1}, 1},
		"early, and delivered when it is due":     {[]spend{held(13, 16, "p", "a", "b")}, tally{Early: 1}, 1},
		"due, as slow requests have taught":       {[]spend{at(10, "slow", "a", "b")}, tally{Due: 1}, 0},
		"early, whatever slow requests taught":    {[]spend{at(6, "slow", "a", "b")}, tally{Early: 1}, 1},
		"due, announced by who was taught":        {[]spend{at(16, "p", "a", "b"), at(26, "q", "b", "c")}, tally{Due: 2}, 0},
		"an answer was lost":                      {[]spend{at(16, "p", "a", "b"), at(17, "q", "a", "b")}, tally{Due: 1, Replays: 1}, 0},
		"the successor was saved":                 {[]spend{at(16, "p", "a", "b"), at(19, "q", "a", "b")}, tally{Due: 1, Reuses: 1}, 1},
		"the successor was saved, and is refused": {[]spend{at(16, "p", "a", "b"), at(19, "q", "a", "")}, tally{Due: 1, Reuses: 1}, 1},
		"while the first is under way":            {[]spend{at(16, "p", "a", "b"), at(16.1, "q", "a", "b")}, tally{Due: 1, Reuses: 1}, 1},
		"sent before, delivered after":            {[]spend{at(16, "p", "a", "b"), held(17, 20, "p", "a", "b")}, tally{Due: 1, Replays: 1}, 0},
		"held up by a broken network":             {[]spend{at(16, "p", "a", "b"), held(15.8, 20, "q", "a", "b")}, tally{Due: 1, Replays: 1}, 0},
		"refused":                                 {[]spend{at(16, "p", "a", "")}, tally{Refused: 1}, 1},
		"in the order of their arrival":           {[]spend{at(19, "q", "a", "b"), at(16, "p", "a", "b")}, tally{Due: 1, Reuses: 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(30 * time.Second)
			l.issue("a", dawn)
			l.save("b", after(18))
			l.save("b", after(40)) // again, which changes nothing
			l.answer("slow", after(1), 12*time.Second)
			if tc.spends[len(tc.spends)-1].sent.Equal(after(26)) {
				l.announce("b", "slow")
			}
			l.spends = tc.spends
			got, replayed, broken := l.judge()
			if got != tc.want || len(broken) != tc.broken || replayed["a"] != (tc.want.Replays > 0) {
				t.Errorf("%+v, replayed %v, broken %q; want %+v, and %d promises broken", got, replayed, broken, tc.want, tc.broken)
			}
		})
	}
}

func TestAPoolRenewsEarlierWhereThatTakesLong(t *testing.T) {
	for _, tc := range []struct{ latency, want time.Duration }{
		{0, 30 * time.Second},
		{10 * time.Second, 30 * time.Second},
		{12 * time.Second, 24 * time.Second},
		{15 * time.Second, 15 * time.Second},
		{time.Hour, 15 * time.Second},
	} {
		if got := earliest(time.Minute, tc.latency); got != tc.want {
			t.Errorf("refreshing takes %s: %s; want %s", tc.latency, got, tc.want)
		}
	}
}

func TestWhatAProcessHasLearnedIsForgotten(t *testing.T) {
	l := newLedger(time.Minute)
	l.answer("p", after(1), 8*time.Second)
	l.answer("p", after(2), time.Second)
	l.answer("p", after(3), time.Second)
	l.answer("p", after(4), 10*time.Second)
	for _, tc := range []struct {
		process  string
		from, to float64
		want     time.Duration
	}{
		{"p", 0, 0.5, 0},
		{"p", 0, 3.5, 8 * time.Second},
		{"p", 1.5, 3.5, 8 * time.Second},
		{"p", 2.5, 3.5, 7 * time.Second},
		{"p", 2.5, 5, 10 * time.Second},
		{"q", 0, 5, 0},
	} {
		if got := l.learned(tc.process, after(tc.from), after(tc.to)); got != tc.want {
			t.Errorf("%s, from second %v to %v: %s; want %s", tc.process, tc.from, tc.to, got, tc.want)
		}
	}
}

func TestATokenIsSpentWhenItWasExchanged(t *testing.T) {
	l := newLedger(30 * time.Second)
	l.spends = []spend{at(1, "p", "a", "b"), at(2, "p", "b", ""), at(3, "p", "c", "d")}
	l.save("d", after(4))
	for token, want := range map[string][2]bool{"a": {true, false}, "b": {false, false}, "c": {true, true}, "d": {false, false}} {
		if exchanged, saved := l.spent(token); exchanged != want[0] || saved != want[1] {
			t.Errorf("%s: exchanged %t, its successor saved %t; want %v", token, exchanged, saved, want)
		}
	}
}
