// Package moment has points in time by two clocks at once: the wall clock, which goes
// on while a machine sleeps but can be set back, and the monotonic clock, which cannot.
//
// A wait until an [Instant] is over when either clock says so. A wait that was written
// down somewhere, as a wall-clock time, becomes an Instant by [Instant.At].
package moment

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"time"
)

// An Instant is a point in time by both clocks. The zero Instant means that there is none. Instants of
// one process can be compared with each other, but not with those of another one.
type Instant struct {
	wall int64 // nanoseconds since 1970
	mono int64 // nanoseconds since epoch
}

// epoch is where monotonic time counts from. Any reading of the clock does.
var epoch = time.Now()

// Never is after every other Instant.
var Never = Instant{math.MaxInt64, math.MaxInt64}

// Of returns the Instant of a clock's reading. A reading without a monotonic part, as
// fake clocks have, counts by the wall clock alone.
func Of(reading time.Time) Instant {
	if reading.IsZero() {
		return Instant{}
	}
	return Instant{reading.UnixNano(), int64(reading.Sub(epoch))}
}

// IsZero reports whether i is the zero Instant, which stands for no point in time.
func (i Instant) IsZero() bool { return i == Instant{} }

// Wall returns what the wall clock shows at i: zero if i is zero or [Never].
func (i Instant) Wall() time.Time {
	if i.IsZero() || i.wall == math.MaxInt64 {
		return time.Time{}
	}
	return time.Unix(0, i.wall)
}

// Mono returns the nanoseconds of monotonic time at i, counted from a point that is
// the same for the whole process.
func (i Instant) Mono() int64 { return i.mono }

// Add returns the Instant that is d later by both clocks.
func (i Instant) Add(d time.Duration) Instant { return Instant{add(i.wall, d), add(i.mono, d)} }

// AddMono returns i, d later by the monotonic clock alone.
func (i Instant) AddMono(d time.Duration) Instant { return Instant{i.wall, add(i.mono, d)} }

func add(t int64, d time.Duration) int64 {
	switch sum := t + int64(d); {
	case t == math.MaxInt64, d > 0 && sum < t:
		return math.MaxInt64
	case d < 0 && sum > t:
		return math.MinInt64
	default:
		return sum
	}
}

// Since returns how long before i the Instant past was, by the monotonic clock.
func (i Instant) Since(past Instant) time.Duration { return sub(i.mono, past.mono) }

// sub returns the difference of two times, or the longest there is if that is longer.
func sub(a, b int64) time.Duration {
	switch d := a - b; {
	case a >= b && d < 0:
		return math.MaxInt64
	case a < b && d > 0:
		return math.MinInt64
	default:
		return time.Duration(d)
	}
}

// At returns the Instant at which the wall clock, as it goes now, will show a time;
// zero for a zero time.
func (i Instant) At(wall time.Time) Instant {
	if wall.IsZero() {
		return Instant{}
	}
	return i.Add(wall.Sub(i.Wall()))
}

// Until returns how much is left of a wait until at: less than nothing if it is over.
func (i Instant) Until(at Instant) time.Duration {
	if at.IsZero() {
		return math.MinInt64
	}
	return min(sub(at.wall, i.wall), sub(at.mono, i.mono))
}

// Reached reports whether a wait until at is over. One until the zero Instant is.
func (i Instant) Reached(at Instant) bool {
	return at.IsZero() || i.wall >= at.wall || i.mono >= at.mono
}

// After reports whether i is later than other by the monotonic clock. The zero Instant is
// not.
func (i Instant) After(other Instant) bool { return !i.IsZero() && i.mono > other.mono }

// Stepped reports whether the wall clock was set, or the machine slept, between past
// and i: then a wait that was planned by one clock tells nothing any more.
func (i Instant) Stepped(past Instant) bool {
	const noise = time.Second // clocks are slewed by less
	passed := i.Since(past)
	return passed < 0 || (sub(i.wall, past.wall)-passed).Abs() > noise
}

// Or returns the sooner of i and other by each clock, ignoring a zero one.
func (i Instant) Or(other Instant) Instant {
	if i.IsZero() {
		return other
	}
	if other.IsZero() {
		return i
	}
	return Instant{min(i.wall, other.wall), min(i.mono, other.mono)}
}

// And returns the later of i and other by each clock.
func (i Instant) And(other Instant) Instant {
	if i.IsZero() {
		return other
	}
	if other.IsZero() {
		return i
	}
	return Instant{max(i.wall, other.wall), max(i.mono, other.mono)}
}

// OrMono returns i, or the sooner of i and other by the monotonic clock alone.
func (i Instant) OrMono(other Instant) Instant { return Instant{i.wall, min(i.mono, other.mono)} }

// Later returns the later of two wall-clock times.
func Later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Earlier returns the earlier of two wall-clock times, ignoring a zero one.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// EditTimes replaces each time in the struct that p points to, and in structs that it
// refers to, by what edit makes of it; zero ones are left alone. It edits in place, so
// what p refers to must be the caller's own.
func EditTimes(p any, edit func(time.Time) time.Time) {
	editTimes(reflect.ValueOf(p), edit)
}

func editTimes(v reflect.Value, edit func(time.Time) time.Time) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			editTimes(v.Elem(), edit)
		}
	case reflect.Struct:
		if t, ok := reflect.TypeAssert[time.Time](v); ok {
			if !t.IsZero() && v.CanSet() {
				v.Set(reflect.ValueOf(edit(t)))
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				editTimes(v.Field(i), edit)
			}
		}
	}
}

// Parts returns i as two numbers, of which FromParts makes it again in this process.
func (i Instant) Parts() (wall, mono int64) { return i.wall, i.mono }

// FromParts is the inverse of Parts.
func FromParts(wall, mono int64) Instant { return Instant{wall, mono} }

// MarshalBinary writes i for UnmarshalBinary in this process.
func (i Instant) MarshalBinary() ([]byte, error) {
	return binary.AppendVarint(binary.AppendVarint(nil, i.wall), i.mono), nil
}

// UnmarshalBinary reads what MarshalBinary has written.
func (i *Instant) UnmarshalBinary(form []byte) error {
	wall, n := binary.Varint(form)
	mono, m := binary.Varint(form[max(n, 0):])
	if n <= 0 || m <= 0 {
		return errors.New("moment: not an Instant")
	}
	*i = Instant{wall, mono}
	return nil
}

// LongestWait is the longest wait that is believed when it is read: one that is longer
// was written before the clock was set back, or is nonsense.
const LongestWait = time.Hour

// A Wait is a wait that was written down: until when by the wall clock, and when it was
// written by the same clock, zero if that is not known. The zero Wait is over.
type Wait struct{ Written, Until time.Time }

// Left returns how much of the wait is left: no more than there was when it was written,
// as a clock that was set back since would have it; zero if it is over or longer than
// LongestWait.
func (w Wait) Left(now time.Time) time.Duration {
	left := w.Until.Sub(now)
	if !w.Written.IsZero() {
		left = min(left, w.Until.Sub(w.Written))
	}
	if w.Until.IsZero() || left > LongestWait {
		return 0
	}
	return max(left, 0)
}

// Exceeds reports whether the wait, at the time it was written, ends later than other.
func (w Wait) Exceeds(other Wait) bool {
	return !w.Until.IsZero() && w.Until.Sub(w.Written) > other.Left(w.Written)
}

// A Kept remembers a [Wait] that is read again and again, so that it ends once, by
// whichever clock: otherwise one that was written before the clock was set back would
// begin anew with each look. The zero Kept has seen none.
type Kept struct {
	written, until int64
	begun, end     Instant
}

// End returns when the wait is over, as it was when it was seen first; zero if there is none.
func (k *Kept) End(w Wait, now Instant) Instant {
	_, end := k.See(w, Instant{}, now)
	return end
}

// See returns when the wait was written, and when it is over, as it was when it was seen
// first; zero if there is none. looked is a time before at which it was not there yet, if
// one is known: the clock of the host that has written it may be behind.
func (k *Kept) See(w Wait, looked, now Instant) (begun, end Instant) {
	if w.Until.IsZero() {
		return Instant{}, Instant{}
	}
	written := int64(0)
	if !w.Written.IsZero() {
		written = w.Written.UnixNano()
	}
	if until := w.Until.UnixNano(); k.end.IsZero() || k.written != written || k.until != until {
		*k = Kept{written: written, until: until, begun: now, end: now.Add(w.Left(now.Wall()))}
		if written != 0 {
			k.begun = now.At(w.Written).Or(now).And(looked)
			if whole := w.Until.Sub(w.Written); whole > 0 && whole <= LongestWait && !looked.IsZero() {
				k.end = k.end.And(looked.Add(whole))
			}
		}
	}
	return k.begun, k.end
}
