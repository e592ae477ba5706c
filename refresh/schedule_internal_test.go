package refresh

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
		timing timing
		want   time.Duration
	}{
		{"long life", timing{issued: t0, expires: at(life), threshold: 5 * time.Minute}, 5 * time.Minute},
		{"fifteen minutes", timing{issued: t0, expires: at(15 * time.Minute), threshold: 5 * time.Minute}, 5 * time.Minute},
		{"twelve minutes", timing{issued: t0, expires: at(12 * time.Minute), threshold: 5 * time.Minute}, 4 * time.Minute},
		{"one minute", timing{issued: t0, expires: at(time.Minute), threshold: 5 * time.Minute}, 20 * time.Second},
		{"five seconds", timing{issued: t0, expires: at(5 * time.Second), threshold: 5 * time.Minute}, 5 * time.Second / 3},
		{"threshold beyond the life", timing{issued: t0, expires: at(life), threshold: 2 * life}, 20 * time.Minute},
		{"issue not known", timing{expires: at(time.Minute), threshold: 5 * time.Minute}, 5 * time.Minute},
		{"dead when issued", timing{issued: t0, expires: t0, threshold: 5 * time.Minute}, 0},
		{"dead before it was issued", timing{issued: t0, expires: at(-life), threshold: 5 * time.Minute}, 0},
		{"half of the jitter", timing{issued: t0, expires: at(life), threshold: 5 * time.Minute, jitter: 0.5}, 5*time.Minute + 15*time.Second},
		{"all of the jitter", timing{issued: t0, expires: at(life), threshold: 5 * time.Minute, jitter: 1}, 5*time.Minute + 30*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.timing.lead(); got != tt.want {
				t.Errorf("lead %v; want %v", got, tt.want)
			}
		})
	}
}

func TestDueIsTheEarliestReasonToRefresh(t *testing.T) {
	const week = 7 * 24 * time.Hour
	hourly := timing{issued: t0, expires: at(time.Hour), renewable: true, threshold: 5 * time.Minute}
	with := func(edit func(*timing)) timing {
		changed := hourly
		edit(&changed)
		return changed
	}
	for _, tt := range []struct {
		name   string
		timing timing
		want   time.Time
	}{
		{"access token", hourly, at(55 * time.Minute)},
		{"nothing to renew with: its end", with(func(x *timing) { x.renewable = false }), at(time.Hour)},
		{"nothing to renew with, end not known", timing{issued: t0}, time.Time{}},
		{"end not known", with(func(x *timing) { x.expires = time.Time{} }), time.Time{}},
		{"issue not known", with(func(x *timing) { x.issued = time.Time{} }), at(55 * time.Minute)},
		{"refresh token lives longer", with(func(x *timing) { x.refreshExpires = at(week) }), at(55 * time.Minute)},
		{"refresh token dies first", with(func(x *timing) { x.refreshExpires = at(20 * time.Minute) }), at(18 * time.Minute)},
		{"refresh token's end, access token's not known", with(func(x *timing) {
			x.expires, x.refreshExpires = time.Time{}, at(week)
		}), at(week - time.Hour)},
		{"idle limit", with(func(x *timing) { x.expires, x.idle = at(24*time.Hour), 15*time.Hour }), at(14 * time.Hour)},
		{"short idle limit", with(func(x *timing) { x.idle = 10 * time.Minute }), at(9 * time.Minute)},
		{"idle limit, issue not known", with(func(x *timing) { x.issued, x.idle = time.Time{}, time.Minute }), at(55 * time.Minute)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.timing.due(); !got.Equal(tt.want) {
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
			if got := (timing{issued: tt.issued}).keepAlive(tt.end); !got.Equal(tt.want) {
				t.Errorf("keepAlive %v; want %v", got, tt.want)
			}
		})
	}
}

func TestEndingIsAnnouncedThreeDaysAheadOrAQuarter(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name   string
		timing timing
		want   time.Time
	}{
		{"long", timing{issued: t0, refreshExpires: at(90 * day)}, at(87 * day)},
		{"a week: a quarter", timing{issued: t0, refreshExpires: at(8 * day)}, at(6 * day)},
		{"issue not known", timing{refreshExpires: at(8 * day)}, at(5 * day)},
		{"end not known", timing{issued: t0}, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.timing.endingNotice(); !got.Equal(tt.want) {
				t.Errorf("notice %v; want %v", got, tt.want)
			}
		})
	}
}

func TestNextWakeIsTheEarliestWithinTheInterval(t *testing.T) {
	for _, tt := range []struct {
		name  string
		times []time.Time
		want  time.Time
	}{
		{"nothing to do", nil, at(time.Minute)},
		{"times not known", []time.Time{{}, {}}, at(time.Minute)},
		{"soon", []time.Time{{}, at(20 * time.Second), at(10 * time.Second)}, at(10 * time.Second)},
		{"later than the interval", []time.Time{at(time.Hour)}, at(time.Minute)},
		{"past", []time.Time{at(-time.Hour), at(time.Second)}, t0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := nextWake(t0, time.Minute, tt.times...); !got.Equal(tt.want) {
				t.Errorf("wake %v; want %v", got, tt.want)
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
		if got := backoff(tt.failures, tt.limit, 0); got != tt.whole/2 {
			t.Errorf("backoff(%d, %v) without jitter: %v; want %v", tt.failures, tt.limit, got, tt.whole/2)
		}
		if got := backoff(tt.failures, tt.limit, 0.999); got <= tt.whole*9/10 || got > tt.whole {
			t.Errorf("backoff(%d, %v) with most of the jitter: %v; want nearly %v", tt.failures, tt.limit, got, tt.whole)
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
	pair := timing{issued: t0, renewable: true}
	end, refreshes := at(100*time.Hour), 0
	for at := pair.keepAlive(end); !at.IsZero() && refreshes < 100; at = pair.keepAlive(end) {
		pair.issued = at // refreshed, and the end is where it was
		refreshes++
	}
	if refreshes > 4 {
		t.Errorf("%d refreshes for the sake of a refresh token whose end stays; want 4 at most", refreshes)
	}
}

func TestAnAbsurdThresholdMakesNothingDueLater(t *testing.T) {
	pair := timing{expires: at(time.Hour), renewable: true, threshold: math.MaxInt64, jitter: 0.9}
	if due := pair.due(); due.After(pair.expires) {
		t.Errorf("due %v; want no later than the token's end %v", due, pair.expires)
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
		x := timing{
			expires: t0.Add(time.Duration(life%century) * time.Second), renewable: true,
			threshold: time.Duration(min(max(threshold, 0), century*int64(time.Second))),
			idle:      time.Duration(max(idle, 0)),
			jitter:    math.Abs(math.Mod(jitter, 1)),
		}
		if math.IsNaN(x.jitter) {
			x.jitter = 0
		}
		if known {
			x.issued = t0
		}
		if refreshLife != 0 {
			x.refreshExpires = t0.Add(time.Duration(refreshLife%century) * time.Second)
		}
		still := x
		still.jitter = 0
		lead, least := x.lead(), still.lead()
		if least < 0 || least > x.threshold || (known && life%century > 0 && least > x.expires.Sub(t0)/3) {
			t.Errorf("lead %v of threshold %v and %+v", least, x.threshold, x)
		}
		if lead < least || lead > least+least/10 {
			t.Errorf("jitter %v made lead %v of %v; want a tenth more at most, and never less", x.jitter, lead, least)
		}
		due := x.due()
		if due.After(x.expires.Add(-least)) {
			t.Errorf("due %v; want no later than %v before %v", due, least, x.expires)
		}
		if known && x.expires.After(t0) && !due.After(t0) {
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
		wait := backoff(failures, time.Duration(limit), jitter)
		if wait < 0 || wait > time.Duration(limit) || wait < min(time.Duration(limit), time.Second)/2 {
			t.Errorf("backoff(%d, %v, %v) = %v; want between half a second and the limit", failures, time.Duration(limit), jitter, wait)
		}
		if next := backoff(max(failures, 0)+1, time.Duration(limit), 0); failures > 0 && failures < 1000 && next < backoff(failures, time.Duration(limit), 0) {
			t.Errorf("the wait shrinks after %d failures", failures)
		}
	})
}

func TestTheServersHintMakesARenewalDueEarlierAndNeverLater(t *testing.T) {
	issued := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	base := timing{issued: issued, expires: issued.Add(24 * time.Hour), renewable: true, threshold: DefaultRefreshThreshold}
	for name, tt := range map[string]struct {
		hint   time.Time
		jitter float64
		want   time.Time
	}{
		"none":                 {want: issued.Add(24*time.Hour - DefaultRefreshThreshold)},
		"half of the life":     {hint: issued.Add(12 * time.Hour), want: issued.Add(12 * time.Hour)},
		"earlier by jitter":    {hint: issued.Add(10 * time.Hour), jitter: 0.5, want: issued.Add(9*time.Hour + 30*time.Minute)},
		"at once":              {hint: issued.Add(time.Second), want: issued.Add(time.Minute)},
		"later than the lead":  {hint: issued.Add(24*time.Hour - time.Minute), want: issued.Add(24*time.Hour - DefaultRefreshThreshold)},
		"of an unknown origin": {hint: issued.Add(time.Hour), want: issued.Add(time.Hour)},
	} {
		x := base
		x.hint, x.jitter = tt.hint, tt.jitter
		if name == "of an unknown origin" {
			x.issued = time.Time{}
		}
		if got := x.due(); !got.Equal(tt.want) {
			t.Errorf("%s: due %v; want %v", name, got, tt.want)
		}
	}
}
