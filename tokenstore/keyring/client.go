package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A client reads and writes the items of one service, within its limits of time.
// Its errors are those of this package, errNoItem, that of a context that ended,
// and what the keyring says beyond that. It is safe for concurrent use.
type client struct {
	guard   *guard
	service string
	timeout time.Duration
	prompt  time.Duration

	mu   sync.Mutex // guards seen
	seen time.Time  // when the keyring was last seen open; zero if the latest call failed
}

// probeEvery is for how long a keyring that was seen open counts as open. One
// operation of a store makes several calls, and to look before each would double
// their cost. If it is locked in between, the next call asks, and meets its limit.
const probeEvery = 100 * time.Millisecond

// errNotKept means that the keyring took a value and has not got it.
var errNotKept = errors.New("the OS keyring did not keep what it was given")

func (c *client) get(ctx context.Context, item string) (string, error) {
	return c.do(ctx, func() (string, error) { return c.guard.ring.get(c.service, item) })
}

// set saves value, and reads it back: where a person dismissed a question,
// go-keyring reports no error.
func (c *client) set(ctx context.Context, item, value string) error {
	_, err := c.do(ctx, func() (string, error) {
		if err := c.guard.ring.set(c.service, item, value); err != nil {
			return "", err
		}
		got, err := c.guard.ring.get(c.service, item)
		if errors.Is(err, errNoItem) || err == nil && got != value {
			err = errNotKept
		}
		return "", err
	})
	return err
}

// remove deletes item, and is content if there is none.
func (c *client) remove(ctx context.Context, item string) error {
	_, err := c.do(ctx, func() (string, error) { return "", c.guard.ring.remove(c.service, item) })
	if errors.Is(err, errNoItem) {
		return nil
	}
	return err
}

// do calls op once the keyring is open.
func (c *client) do(ctx context.Context, op func() (string, error)) (string, error) {
	limit, asking, err := c.ready(ctx)
	if err != nil {
		return "", err
	}
	value, err := run(ctx, c.guard, limit, asking, func(context.Context) (string, error) { return op() })
	if err != nil && !errors.Is(err, errNoItem) {
		return "", c.explain(ctx, err)
	}
	c.stillOpen()
	return value, err
}

// ready has a locked keyring unlocked. It returns how long a call may take now,
// and whether it may ask a person.
//
// The question goes with a call that only reads. If it went with a write, and was
// answered after we had given up, the write would replace what another writer has
// saved since.
func (c *client) ready(ctx context.Context) (limit time.Duration, asking bool, err error) {
	if c.wasOpen() {
		return c.timeout, false, nil
	}
	now, err := c.state(ctx)
	switch {
	case err != nil:
		return 0, false, err
	case now == open:
		c.setOpen(time.Now())
		return c.timeout, false, nil
	case now == unknown:
		if c.canAsk() {
			return c.prompt, true, nil
		}
		return c.timeout, false, nil
	case !c.canAsk():
		return 0, false, fmt.Errorf("%w (no person can be asked here)", ErrKeyringLocked)
	}
	_, err = run(ctx, c.guard, c.prompt, true, func(context.Context) (string, error) { return c.guard.ring.get(c.service, nothingItem) })
	if err != nil && !errors.Is(err, errNoItem) {
		return 0, false, c.explain(ctx, err)
	}
	return c.timeout, false, nil
}

// state asks for the keyring's state. While a person is being asked for the
// password, it waits for that, whichever call came first: so a person's time is waited
// for in parts, since the question may begin while we wait for our turn.
func (c *client) state(ctx context.Context) (state, error) {
	deadline := time.Now().Add(max(c.timeout, c.prompt))
	for {
		now, err := run(ctx, c.guard, min(c.timeout, time.Until(deadline)), false, c.guard.ring.state)
		if !errors.Is(err, ErrKeyringLocked) || ctx.Err() != nil || !time.Now().Before(deadline) {
			return now, err
		}
	}
}

func (c *client) wasOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.seen.IsZero() && time.Since(c.seen) < probeEvery
}

// stillOpen notes that a call has succeeded, if what it found was open before.
func (c *client) stillOpen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.seen.IsZero() {
		c.seen = time.Now()
	}
}

func (c *client) setOpen(seen time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = seen
}

func (c *client) canAsk() bool { return c.prompt > 0 && c.guard.ring.person() }

// explain finds out why a call failed. go-keyring has no error for most causes,
// only texts, and so it is the state of the keyring that tells.
func (c *client) explain(ctx context.Context, err error) error {
	c.setOpen(time.Time{})
	for _, plain := range []error{ErrNoKeyring, ErrKeyringLocked, ErrTimeout, ctx.Err()} {
		if plain != nil && errors.Is(err, plain) {
			return err
		}
	}
	now, cause := c.state(ctx)
	switch {
	case cause != nil:
		return cause
	case now == locked:
		return fmt.Errorf("%w (it was not unlocked)", ErrKeyringLocked)
	}
	return err
}
