package sim

import (
	"errors"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/benbjohnson/clock"
)

// A hostClock is a host's: its wall time can be wrong and be set, its monotonic time
// goes on. (In a bubble package time has no monotonic readings.)
type hostClock struct {
	clock.Clock
	made   time.Time
	offset atomic.Int64
	seed   uint64 // of what is left to chance on this host
	drawn  atomic.Uint64
}

// ahead returns how far the clock is ahead of the time.
func (c *hostClock) ahead() time.Duration { return time.Duration(c.offset.Load()) }

func newHostClock(seed uint64, skew time.Duration) *hostClock {
	c := &hostClock{Clock: clock.New(), made: time.Now(), seed: seed}
	c.offset.Store(int64(skew))
	return c
}

func (c *hostClock) set(by time.Duration) { c.offset.Add(int64(by)) }

// Now returns both readings.
func (c *hostClock) Now() time.Time {
	now := time.Now()
	return withMonotonic(now.Add(time.Duration(c.offset.Load())), now.Sub(c.made)+1)
}

func (c *hostClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *hostClock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

// Chance implements chance.Source.
func (c *hostClock) Chance() float64 { return unit(mix(c.seed ^ c.drawn.Add(1))) }

// ChanceOf implements chance.Source.
func (c *hostClock) ChanceOf(name string) float64 { return unit(mix(c.seed ^ hash(name))) }

func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// withMonotonic returns a time with the given readings, which package time does
// not offer: the first word holds a flag, the seconds since 1885 and the
// nanoseconds, the second the monotonic reading. A test says so if that changes.
func withMonotonic(wall time.Time, mono time.Duration) time.Time {
	seconds := wall.Unix() - time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	t := time.Unix(0, 0)
	words := (*[2]uint64)(unsafe.Pointer(&t))
	words[0] = 1<<63 | uint64(seconds)<<30 | uint64(wall.Nanosecond())
	words[1] = uint64(mono)
	return t
}

// CheckClock returns an error if time.Time is laid out differently in this Go release:
// then withMonotonic has to be adapted.
func CheckClock() error {
	now := time.Now().Round(0)
	a, b := withMonotonic(now, time.Hour), withMonotonic(now.Add(-365*24*time.Hour), 2*time.Hour)
	if !a.Equal(now) || b.Sub(a) != time.Hour || a.Round(0).Sub(b.Round(0)) != 365*24*time.Hour {
		return errors.New("sim: time.Time is laid out differently in this Go release")
	}
	return nil
}
