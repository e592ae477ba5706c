package storetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

// A clocked store is a Memory with a clock.
type clocked struct {
	*tokenstore.Memory
	time func(context.Context) (time.Time, error)
}

func (c *clocked) Time(ctx context.Context) (time.Time, error) { return c.time(ctx) }

// offBy returns a store whose clock is off, which is not a mistake.
func offBy(d time.Duration) *clocked {
	return &clocked{new(tokenstore.Memory), func(ctx context.Context) (time.Time, error) {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		return time.Now().Add(d), nil
	}}
}

func TestStoreWithAClockPasses(t *testing.T) {
	storetest.Run(t, func(*testing.T) tokenstore.Store { return offBy(-time.Hour) }, storetest.Reopen(sharing))
}

func init() {
	brokenStores["tells_the_same_time_for_ever"] = badClock(func(context.Context) (time.Time, error) { return time.Time{}, nil }, "Timekeeper/TimeGoesOn")
	days := time.Duration(0)
	brokenStores["counts_in_days"] = badClock(func(context.Context) (time.Time, error) {
		days += 24 * time.Hour
		return time.Now().Add(days), nil
	}, "Timekeeper/TimeGoesOn", "Timekeeper/TimeWithAnEndedContext")
	private := badClock(offBy(0).time, "Timekeeper/TimeIsShared")
	private.reopen = func(_ *testing.T, s tokenstore.Store) tokenstore.Store {
		return &clocked{s.(*clocked).Memory, offBy(-time.Minute).time}
	}
	brokenStores["tells_each_process_another_time"] = private
}

func badClock(tell func(context.Context) (time.Time, error), fails ...string) broken {
	return broken{
		store:  func() tokenstore.Store { return &clocked{new(tokenstore.Memory), tell} },
		reopen: sharing,
		fails:  fails,
	}
}
