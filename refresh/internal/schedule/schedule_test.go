package schedule

import (
	"math"
	"testing"
	"time"
)

// The tables count from t0, an arbitrary moment.
var t0 = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

func TestLeadIsTheThresholdOrAThirdOfTheLife(t *testing.T) {
	const life = time.Hour
	for _, tt := range []struct {
		name   string
		Timing Timing
		want   time.Duration
	}{
		{"long life", Timing{Issued: t0, Expires: at(life), Threshold: 5 * time.Minute}, 5 * time.Minute},
		{"fifteen minutes", Timing{Issued: t0, Expires: at(15 * time.Minute), Threshold: 5 * time.Minute}, 5 * time.Minute},
		{"twelve minutes", Timing{Issued: t0, Expires: at(12 * time.Minute), Threshold: 5 * time.Minute}, 4 * time.Minute},
		{"one minute", Timing{Issued: t0, Expires: at(time.Minute), Threshold: 5 * time.Minute}, 20 * time.Second},
		{"five seconds", Timing{Issued: t0, Expires: at(5 * time.Second), Threshold: 5 * time.Minute}, 5 * time.Second / 3},
		{"threshold beyond the life", Timing{Issued: t0, Expires: at(life), Threshold: 2 * life}, 20 * time.Minute},
		{"issue not known", Timing{Expires: at(time.Minute), Threshold: 5 * time.Minute}, 5 * time.Minute},
		{"dead when issued", Timing{Issued: t0, Expires: t0, Threshold: 5 * time.Minute}, 0},
		{"dead before it was issued", Timing{Issued: t0, Expires: at(-life), Threshold: 5 * time.Minute}, 0},
		{"half of the jitter", Timing{Issued: t0, Expires: at(life), Threshold: 5 * time.Minute, Jitter: 0.5}, 5*time.Minute + 15*time.Second},
		{"all of the jitter", Timing{Issued: t0, Expires: at(life), Threshold: 5 * time.Minute, Jitter: 1}, 5*time.Minute + 30*time.Second},
		{"jitter of fifteen minutes", Timing{Issued: t0, Expires: at(15 * time.Minute), Threshold: 5 * time.Minute, Jitter: 1}, 5*time.Minute + 10*time.Second},
		{"jitter of a minute", Timing{Issued: t0, Expires: at(time.Minute), Threshold: 5 * time.Minute, Jitter: 1}, 20*time.Second + 40*time.Second/60},
		{"in a crowd", Timing{Issued: t0, Expires: at(life), Threshold: 5 * time.Minute, Jitter: 1, Crowded: true}, 7*time.Minute + 30*time.Second},
		{"in a crowd, a threshold beyond the life", Timing{Issued: t0, Expires: at(life), Threshold: 2 * life, Jitter: 1, Crowded: true}, 30 * time.Minute},
		{"a rate that the lead is enough for", Timing{Issued: t0, Expires: at(life), Threshold: 5 * time.Minute, Jitter: 1, Crowd: 150 * time.Second}, 5*time.Minute + 30*time.Second},
		{"a rate that needs twice the lead", Timing{Issued: t0, Expires: at(life), Threshold: 5 * time.Minute, Jitter: 1, Crowd: 10 * time.Minute}, 12*time.Minute + 30*time.Second},
		{"a rate that is too low", Timing{Issued: t0, Expires: at(life), Threshold: 5 * time.Minute, Jitter: 1, Crowd: 10 * life}, 32*time.Minute + 30*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.Timing.Lead(); got != tt.want {
				t.Errorf("lead %v; want %v", got, tt.want)
			}
		})
	}
}

func TestDueIsTheEarliestReasonToRefresh(t *testing.T) {
	const week = 7 * 24 * time.Hour
	hourly := Timing{Issued: t0, Expires: at(time.Hour), Renewable: true, Threshold: 5 * time.Minute}
	with := func(edit func(*Timing)) Timing {
		changed := hourly
		edit(&changed)
		return changed
	}
	for _, tt := range []struct {
		name   string
		Timing Timing
		want   time.Time
	}{
		{"access token", hourly, at(55 * time.Minute)},
		{"nothing to renew with: its end", with(func(x *Timing) { x.Renewable = false }), at(time.Hour)},
		{"nothing to renew with, end not known", Timing{Issued: t0}, time.Time{}},
		{"end not known", with(func(x *Timing) { x.Expires = time.Time{} }), time.Time{}},
		{"issue not known", with(func(x *Timing) { x.Issued = time.Time{} }), at(55 * time.Minute)},
		{"refresh token lives longer", with(func(x *Timing) { x.RefreshExpires = at(week) }), at(55 * time.Minute)},
		{"refresh token dies first", with(func(x *Timing) { x.RefreshExpires = at(20 * time.Minute) }), at(18 * time.Minute)},
		{"refresh token's end, access token's not known", with(func(x *Timing) {
			x.Expires, x.RefreshExpires = time.Time{}, at(week)
		}), at(week - time.Hour)},
		{"idle limit", with(func(x *Timing) { x.Expires, x.Idle = at(24*time.Hour), 15*time.Hour }), at(14 * time.Hour)},
		{"short idle limit", with(func(x *Timing) { x.Idle = 10 * time.Minute }), at(9 * time.Minute)},
		{"idle limit, issue not known", with(func(x *Timing) { x.Issued, x.Idle = time.Time{}, time.Minute }), at(55 * time.Minute)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.Timing.Due(); !got.Equal(tt.want) {
				t.Errorf("due %v; want %v", got, tt.want)
			}
		})
	}
}

func TestKeepAliveComesATenthBeforeTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		issued time.Time
		end    time.Time
		want   time.Time
	}{
		{"long: an hour before", t0, at(100 * time.Hour), at(99 * time.Hour)},
		{"short: a tenth before", t0, at(100 * time.Second), at(90 * time.Second)},
		{"issue not known", time.Time{}, at(100 * time.Hour), at(99 * time.Hour)},
		{"ended when issued", t0, t0, time.Time{}},
		{"ended before it was issued", t0, at(-time.Hour), time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (Timing{Issued: tt.issued}).keepAlive(tt.end); !got.Equal(tt.want) {
				t.Errorf("keepAlive %v; want %v", got, tt.want)
			}
		})
	}
}

func TestEndingIsAnnouncedThreeDaysAheadOrAQuarter(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name   string
		Timing Timing
		want   time.Time
	}{
		{"long", Timing{Issued: t0, RefreshExpires: at(90 * day)}, at(87 * day)},
		{"a week: a quarter", Timing{Issued: t0, RefreshExpires: at(8 * day)}, at(6 * day)},
		{"issue not known", Timing{RefreshExpires: at(8 * day)}, at(5 * day)},
		{"end not known", Timing{Issued: t0}, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.Timing.EndingNotice(); !got.Equal(tt.want) {
				t.Errorf("notice %v; want %v", got, tt.want)
			}
		})
	}
}

func TestBackoffDoublesUpToTheLimit(t *testing.T) {
	for _, tt := range []struct {
		failures int
		limit    time.Duration
		whole    time.Duration
	}{
		{math.MinInt, time.Minute, time.Minute},
		{-1, time.Minute, time.Second},
		{0, time.Minute, time.Second},
		{1, time.Minute, time.Second},
		{2, time.Minute, 2 * time.Second},
		{5, time.Minute, 16 * time.Second},
		{6, time.Minute, 32 * time.Second},
		{7, time.Minute, time.Minute},
		{30, time.Minute, time.Minute},
		{31, time.Minute, time.Minute},
		{1000, time.Minute, time.Minute},
		{math.MaxInt, time.Minute, time.Minute},
		{30, math.MaxInt64, time.Second << 29},
		{1, 100 * time.Millisecond, 100 * time.Millisecond},
	} {
		if got := Backoff(tt.failures, tt.limit, 0); got != tt.whole/2 {
			t.Errorf("Backoff(%d, %v) without Jitter: %v; want %v", tt.failures, tt.limit, got, tt.whole/2)
		}
		if got := Backoff(tt.failures, tt.limit, 0.999); got <= tt.whole*9/10 || got > tt.whole {
			t.Errorf("Backoff(%d, %v) with most of the Jitter: %v; want nearly %v", tt.failures, tt.limit, got, tt.whole)
		}
	}
}

func TestReplaysStayInsideGraceWindows(t *testing.T) {
	if first := replayDelays[0]; first > 5*time.Second {
		t.Errorf("the first replay comes after %v; want within 5s", first)
	}
	var sum time.Duration
	for _, d := range replayDelays {
		sum += d
	}
	if sum > 15*time.Second {
		t.Errorf("the last replay comes after %v; want within 15s", sum)
	}
}

// A server whose sessions end at a fixed time does not move the end, however
// often it is asked.
func TestKeepAliveGivesUpOnAFixedEnd(t *testing.T) {
	pair := Timing{Issued: t0, Renewable: true}
	end, refreshes := at(100*time.Hour), 0
	for at := pair.keepAlive(end); !at.IsZero() && refreshes < 100; at = pair.keepAlive(end) {
		pair.Issued = at // refreshed, and the end is where it was
		refreshes++
	}
	if refreshes > 4 {
		t.Errorf("%d refreshes for the sake of a refresh token whose end stays; want 4 at most", refreshes)
	}
}

func TestAnAbsurdThresholdMakesNothingDueLater(t *testing.T) {
	pair := Timing{Expires: at(time.Hour), Renewable: true, Threshold: math.MaxInt64, Jitter: 0.9}
	if due := pair.Due(); due.After(pair.Expires) {
		t.Errorf("due %v; want no later than the token's end %v", due, pair.Expires)
	}
}

func FuzzDue(f *testing.F) {
	const hour = int64(time.Hour)
	f.Add(true, int64(3600), int64(0), 5*hour/60, int64(0), 0.0)
	f.Add(true, int64(60), int64(86400), 5*hour/60, 15*hour, 0.5)
	f.Add(false, int64(5), int64(-1), hour, hour, 0.99)
	f.Add(true, int64(-3), int64(30), hour, int64(1), 1.0)
	f.Add(true, int64(math.MaxInt64), int64(math.MinInt64), 24*365*hour, int64(math.MaxInt64), 0.3)
	f.Fuzz(func(t *testing.T, known bool, life, refreshLife, threshold, idle int64, jitter float64) {
		const century = 100 * 365 * 24 * 3600
		x := Timing{
			Expires: t0.Add(time.Duration(life%century) * time.Second), Renewable: true,
			Threshold: time.Duration(min(max(threshold, 0), century*int64(time.Second))),
			Idle:      time.Duration(max(idle, 0)),
			Jitter:    math.Abs(math.Mod(jitter, 1)),
		}
		if math.IsNaN(x.Jitter) {
			x.Jitter = 0
		}
		if known {
			x.Issued = t0
		}
		if refreshLife != 0 {
			x.RefreshExpires = t0.Add(time.Duration(refreshLife%century) * time.Second)
		}
		still := x
		still.Jitter = 0
		lead, least := x.Lead(), still.Lead()
		if least < 0 || least > x.Threshold || (known && life%century > 0 && least > x.Expires.Sub(t0)/3) {
			t.Errorf("lead %v of threshold %v and %+v", least, x.Threshold, x)
		}
		if lead < least || lead > least+least/10 {
			t.Errorf("jitter %v made lead %v of %v; want a tenth more at most, and never less", x.Jitter, lead, least)
		}
		due := x.Due()
		if due.After(x.Expires.Add(-least)) {
			t.Errorf("due %v; want no later than %v before %v", due, least, x.Expires)
		}
		if known && x.Expires.After(t0) && !due.After(t0) {
			t.Errorf("due %v, at or before its issue at %v: refreshed in a loop (%+v)", due, t0, x)
		}
	})
}

func FuzzBackoff(f *testing.F) {
	f.Add(1, int64(time.Minute), 0.5)
	f.Add(40, int64(time.Second), 0.0)
	f.Add(-7, int64(math.MaxInt64), 0.999)
	f.Fuzz(func(t *testing.T, failures int, limit int64, jitter float64) {
		limit, jitter = max(limit, 1), math.Abs(math.Mod(jitter, 1))
		if math.IsNaN(jitter) {
			jitter = 0
		}
		wait := Backoff(failures, time.Duration(limit), jitter)
		if wait < 0 || wait > time.Duration(limit) || wait < min(time.Duration(limit), time.Second)/2 {
			t.Errorf("Backoff(%d, %v, %v) = %v; want between half a second and the limit", failures, time.Duration(limit), jitter, wait)
		}
		if next := Backoff(max(failures, 0)+1, time.Duration(limit), 0); failures > 0 && failures < 1000 && next < Backoff(failures, time.Duration(limit), 0) {
			t.Errorf("the wait shrinks after %d failures", failures)
		}
	})
}

func TestTheServersHintMakesARenewalDueEarlierAndNeverLater(t *testing.T) {
	issued := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	base := Timing{Issued: issued, Expires: issued.Add(24 * time.Hour), Renewable: true, Threshold: 5 * time.Minute}
	for name, tt := range map[string]struct {
		hint   time.Time
		jitter float64
		want   time.Time
	}{
		"none":                 {want: issued.Add(24*time.Hour - 5*time.Minute)},
		"half of the life":     {hint: issued.Add(12 * time.Hour), want: issued.Add(12 * time.Hour)},
		"earlier by jitter":    {hint: issued.Add(10 * time.Hour), jitter: 0.5, want: issued.Add(9*time.Hour + 55*time.Minute)},
		"at once":              {hint: issued.Add(time.Second), want: issued.Add(time.Minute)},
		"later than the lead":  {hint: issued.Add(24*time.Hour - time.Minute), want: issued.Add(24*time.Hour - 5*time.Minute)},
		"of an unknown origin": {hint: issued.Add(time.Hour), want: issued.Add(time.Hour)},
	} {
		x := base
		x.Hint, x.Jitter = tt.hint, tt.jitter
		if name == "of an unknown origin" {
			x.Issued = time.Time{}
		}
		if got := x.Due(); !got.Equal(tt.want) {
			t.Errorf("%s: due %v; want %v", name, got, tt.want)
		}
	}
}

func TestFallingWaitsGrowWithTheTrouble(t *testing.T) {
	for _, tt := range []struct{ lasted, limit, want time.Duration }{
		{0, time.Hour, time.Minute},
		{30 * time.Second, time.Hour, time.Minute},
		{5 * time.Minute, time.Hour, 5 * time.Minute},
		{12 * time.Hour, time.Hour, time.Hour},
		{12 * time.Hour, 10 * time.Minute, 10 * time.Minute},
		{0, time.Second, time.Minute}, // never below a check interval
	} {
		if got := FallingWait(tt.lasted, time.Minute, tt.limit); got != tt.want {
			t.Errorf("after %v, at most %v: %v; want %v", tt.lasted, tt.limit, got, tt.want)
		}
	}
}
