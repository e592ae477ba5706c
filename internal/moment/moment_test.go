package moment

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestAWaitIsOverWhenEitherClockSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := Of(time.Now())
		at := begun.Add(time.Minute)
		if begun.Reached(at) || begun.Until(at) != time.Minute {
			t.Errorf("a minute before: reached %v, left %v", begun.Reached(at), begun.Until(at))
		}
		time.Sleep(time.Minute)
		if now := Of(time.Now()); !now.Reached(at) || now.Until(at) != 0 || now.Since(begun) != time.Minute {
			t.Errorf("a minute later: reached %v, left %v, passed %v", now.Reached(at), now.Until(at), now.Since(begun))
		}
	})
}

func TestTheClocksDisagree(t *testing.T) {
	const hour = int64(time.Hour)
	now := Of(time.Now())
	at := now.Add(time.Hour)
	slept := Instant{now.wall + hour, now.mono} // the monotonic clock may stand still meanwhile
	if !slept.Reached(at) || slept.Until(at) != 0 || !slept.Stepped(now) {
		t.Error("a wait goes on although the machine has slept through it")
	}
	setBack := Instant{now.wall - hour, now.mono + hour}
	if !setBack.Reached(at) || setBack.Until(at) != 0 || setBack.Since(now) != time.Hour || !setBack.Stepped(now) {
		t.Error("a wait goes on because the wall clock was set back")
	}
	if at.Stepped(now) || now.Add(time.Second/2).Stepped(now) {
		t.Error("time that passes by both clocks counts as a step")
	}
}

func TestExtremes(t *testing.T) {
	now := Of(time.Now())
	if now.Reached(Never) || now.Until(Never) <= 100*365*24*time.Hour {
		t.Error("Never is near")
	}
	if Never.Add(time.Hour) != Never || Never.Add(-time.Hour) != Never {
		t.Error("Never moves")
	}
	if far := now.Add(math.MaxInt64); far.Wall() != (time.Time{}) {
		t.Errorf("the sum of now and all time is %v; want Never", far.Wall())
	}
	var none Instant
	if !none.IsZero() || !none.Wall().IsZero() || !now.Reached(none) || now.At(time.Time{}) != none || Of(time.Time{}) != none {
		t.Error("the zero Instant is not none")
	}
	if none.Or(now) != now || now.Or(none) != now || none.And(now) != now || now.And(none) != now {
		t.Error("a zero Instant counts in a comparison")
	}
	if soon := now.Add(time.Second); now.Or(soon) != now || soon.Or(now) != now || now.And(soon) != soon || soon.And(now) != soon {
		t.Error("Or is not the sooner, or And not the later")
	}
	if zero := time.Unix(0, 0); Of(zero).IsZero() || !Of(zero).Wall().Equal(zero) {
		t.Error("1970, at which fake clocks begin, counts as none")
	}
}

// Monotonic time may be negative: it is, in a bubble of package synctest.
func TestMonotonicTimeBeforeTheProcessBegan(t *testing.T) {
	early := Instant{0, -int64(time.Hour)}
	if left := early.Until(Never); left <= 0 || early.Reached(Never) {
		t.Errorf("%v left until Never", left)
	}
	if early.Reached(early.Add(time.Second)) || early.Until(early.Add(time.Second)) != time.Second {
		t.Error("a second is not a second")
	}
	var none Instant
	if none.After(early) || !early.Reached(none) || early.Until(none) > 0 {
		t.Error("the zero Instant is later than another one")
	}
}

func TestEditTimes(t *testing.T) {
	type inner struct {
		At     time.Time
		hidden time.Time
	}
	type outer struct {
		Name  string
		At    time.Time
		Unset time.Time
		In    inner
		To    *inner
		None  *inner
	}
	at := time.Unix(1000, 0)
	v := outer{At: at, In: inner{at, at}, To: &inner{At: at}}
	EditTimes(&v, func(t time.Time) time.Time { return t.Add(time.Hour) })
	later := at.Add(time.Hour)
	if !v.At.Equal(later) || !v.In.At.Equal(later) || !v.To.At.Equal(later) || !v.Unset.IsZero() || !v.In.hidden.Equal(at) {
		t.Errorf("%+v", v)
	}
}
