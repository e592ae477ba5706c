package schedule

import (
	"math"
	"slices"
	"testing"
	"time"
)

// replays returns when a token whose answers all get lost at once is sent again.
func replays(first, grace time.Duration) (at []time.Duration) {
	since := first
	for n := 0; n < 100; n++ {
		wait, again := ReplayWait(n, since, grace)
		if !again {
			break
		}
		since += wait
		at = append(at, since)
	}
	return at
}

func TestReplaysGoOnUntilTheGraceIsNearlyOver(t *testing.T) {
	seconds := func(of ...float64) (at []time.Duration) {
		for _, s := range of {
			at = append(at, time.Duration(s*float64(time.Second)))
		}
		return at
	}
	long := seconds(1, 3, 7, 15, 23, 31, 39, 47, 55, 60)
	for name, tt := range map[string]struct {
		first, grace time.Duration // how long the first attempt took, and what is known
		want         []time.Duration
	}{
		"not known":                           {0, 0, seconds(1, 3, 7, 15)},
		"none":                                {0, -1, nil},
		"until the successor is used":         {0, math.MaxInt64, long},
		"half a second":                       {0, time.Second / 2, seconds(1)},
		"five seconds":                        {0, 5 * time.Second, seconds(1, 3, 4.5)},
		"ten seconds":                         {0, 10 * time.Second, seconds(1, 3, 7, 9)},
		"thirty seconds":                      {0, 30 * time.Second, seconds(1, 3, 7, 15, 23, 27)},
		"a minute":                            {0, time.Minute, seconds(1, 3, 7, 15, 23, 31, 39, 47, 54)},
		"ten minutes":                         {0, 10 * time.Minute, long},
		"90 days":                             {0, 90 * 24 * time.Hour, long},
		"not known, after a long wait":        {30 * time.Second, 0, seconds(31, 33, 37, 45)},
		"thirty seconds, after as many":       {30 * time.Second, 30 * time.Second, seconds(31)},
		"ten minutes, after thirty seconds":   {30 * time.Second, 10 * time.Minute, seconds(31, 33, 37, 45, 53, 60)},
		"not known, after more than a minute": {61 * time.Second, 0, nil},
		"known, after more than a minute":     {61 * time.Second, 10 * time.Minute, nil},
	} {
		if got := replays(tt.first, tt.grace); !slices.Equal(got, tt.want) {
			t.Errorf("%s: sent again after %v; want %v", name, got, tt.want)
		}
	}
}
