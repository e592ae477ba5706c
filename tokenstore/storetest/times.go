package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// timeSlack is how much two clocks may disagree on how long something took.
const timeSlack = time.Second

var timeTests = []test{
	{
		"TimeGoesOn",
		"Time returns a time between its call and its return, by a clock that goes as fast as others",
		func(c *check) {
			begun := time.Now()
			first := c.time(c.store)
			c.set("default", record("1"))
			c.get("default")
			c.wantSoonAfter(first, c.time(c.store), time.Since(begun))
		},
	},
	{
		"TimeIsShared",
		"Time returns to all processes that share the store the time of one clock",
		func(c *check) {
			if c.reopen == nil {
				return // no other process shares the store
			}
			begun := time.Now()
			first := c.time(c.store)
			c.wantSoonAfter(first, c.time(c.second()), time.Since(begun))
		},
	},
	{
		"TimeWithAnEndedContext",
		"Time with an ended context fails with an error that wraps the context's",
		func(c *check) {
			ctx, cancel := context.WithCancel(c.ctx)
			cancel()
			now, err := c.store.(tokenstore.Timekeeper).Time(ctx)
			c.wantErr("Time", err, context.Canceled)
			if !now.IsZero() {
				c.Errorf("Time returned %v beside an error", now)
			}
		},
	},
}

func (c *check) time(s tokenstore.Store) time.Time {
	c.Helper()
	now, err := s.(tokenstore.Timekeeper).Time(c.ctx)
	if err != nil || now.IsZero() {
		c.Fatalf("Time: %v, %v", now, err)
	}
	return now
}

// wantSoonAfter requires that no more than elapsed lies between two times.
func (c *check) wantSoonAfter(first, second time.Time, elapsed time.Duration) {
	c.Helper()
	if passed := second.Sub(first); passed < -timeSlack || passed > elapsed+timeSlack {
		c.Errorf("Time returned %v and then %v, within %v", first, second, elapsed)
	}
}

// offersTimes reports whether a store has a clock. One that wraps another has one
// only if that one has.
func offersTimes(store tokenstore.Store) bool {
	t, ok := store.(tokenstore.Timekeeper)
	if !ok {
		return false
	}
	_, err := t.Time(context.Background())
	return !errors.Is(err, errors.ErrUnsupported)
}
