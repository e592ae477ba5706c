package moment_test

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
)

func TestWhatIsLeftOfAWait(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	wait := moment.Wait{Written: at, Until: at.Add(20 * time.Second)}
	for after, want := range map[time.Duration]time.Duration{
		0: 20 * time.Second, 5 * time.Second: 15 * time.Second, 20 * time.Second: 0, time.Hour: 0,
		-time.Second: 20 * time.Second, -time.Hour: 20 * time.Second, -10 * 365 * 24 * time.Hour: 20 * time.Second,
	} {
		if got := wait.Left(at.Add(after)); got != want {
			t.Errorf("%v after it was written %v are left; want %v", after, got, want)
		}
	}
	for name, w := range map[string]moment.Wait{
		"none": {}, "not known when, and too long": {Until: at.Add(2 * time.Hour)}, "too long": {Written: at, Until: at.Add(2 * time.Hour)},
		"the wrong way round": {Written: at.Add(time.Hour), Until: at.Add(-time.Hour)},
	} {
		if got := w.Left(at); got != 0 {
			t.Errorf("%s: %v are left; want none", name, got)
		}
	}
}

func TestAWaitExceedsAnother(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	from := func(written time.Time, d time.Duration) moment.Wait {
		return moment.Wait{Written: written, Until: written.Add(d)}
	}
	short, long := from(at, time.Second), from(at, time.Minute)
	// The clock was set back since the other was written.
	ahead := from(at.Add(time.Hour), 20*time.Second)
	for _, tt := range []struct {
		w, other moment.Wait
		want     bool
	}{
		{long, short, true}, {short, long, false}, {short, short, false}, {short, moment.Wait{}, true},
		{moment.Wait{}, moment.Wait{}, false}, {moment.Wait{}, short, false}, {long, ahead, true}, {short, ahead, false},
	} {
		if got := tt.w.Exceeds(tt.other); got != tt.want {
			t.Errorf("%v exceeds %v: %t; want %t", tt.w, tt.other, got, tt.want)
		}
	}
}

func TestAWaitThatIsReadAgainEndsOnce(t *testing.T) {
	now := moment.Of(time.Now())
	at := now.Wall()
	wait := moment.Wait{Written: at.Add(time.Hour), Until: at.Add(time.Hour + 20*time.Second)} // the clock was set back
	var kept moment.Kept
	end := kept.End(wait, now)
	for range 5 {
		now = now.Add(5 * time.Second)
		if again := kept.End(wait, now); again != end {
			t.Errorf("it ends %v later than when it was read first", again.Since(end))
		}
	}
	if !now.Reached(end) {
		t.Error("it is not over")
	}
	other := moment.Wait{Written: now.Wall(), Until: now.Wall().Add(time.Second)}
	if got := kept.End(other, now); got != now.Add(time.Second) {
		t.Error("another wait ends when the first did")
	}
	if got := kept.End(moment.Wait{}, now); !got.IsZero() {
		t.Error("no wait has an end")
	}
}
