package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

var watchTests = []test{
	{
		"TheFirstCallIsAboutAnySession",
		"Watch calls changed with the zero Change as soon as notices arrive, before any other",
		func(c *check) {
			c.set("default", record("1"))
			w := c.watch(c.store)
			if first := w.next(); first != (tokenstore.Change{}) {
				c.Errorf("the first call is with %+v", first)
			}
		},
	},
	{
		"WritesAreTold",
		"Watch tells of each Set of a new record, each Set that replaces one, and each Delete, by the session's name",
		func(c *check) {
			w := c.watch(c.store)
			w.next()
			for _, name := range oddNames {
				rec := record("1")
				rec.Version = c.set(name, rec)
				w.wait("Set of a new record", name)
				version := c.set(name, rec)
				w.wait("Set", name)
				if err := c.store.Delete(c.ctx, name, version); err != nil {
					c.Fatalf("Delete: %v", err)
				}
				w.wait("Delete", name)
			}
		},
	},
	{
		"OnlyAnnouncementsHaveBegun",
		"Begun is true at most for a Set that replaces a record by one with a Pending mark and without a Dead one",
		func(c *check) {
			w := c.watch(c.store)
			w.next()
			rec := record("1")
			mark := &tokenstore.Mark{Token: tokenstore.Fingerprint(rec.Tokens.RefreshToken), At: time.Now()}
			save := func(what string, begun bool) {
				c.Helper()
				rec.Version = c.set("default", rec)
				if w.wait(what, "default").Begun && !begun {
					c.Errorf("%s is told as the announcement of a spend", what)
				}
			}
			rec.Pending = mark
			save("a new record with a Pending mark", false)
			save("an announcement", true) // or not, by a store that cannot see it
			rec.Pending, rec.Refused = nil, mark
			save("a save", false)
			rec.Pending, rec.Dead = mark, mark
			save("a record with a Dead mark", false)
			if err := c.store.Delete(c.ctx, "default", rec.Version); err != nil {
				c.Fatalf("Delete: %v", err)
			}
			if w.wait("Delete", "default").Begun {
				c.Errorf("a Delete is told as the announcement of a spend")
			}
		},
	},
	{
		"WatchEndsWithItsContext",
		"Watch returns when its context ends, with an error that wraps the context's, and changed is not called any more",
		func(c *check) {
			w := c.watch(c.store)
			w.next()
			w.cancel()
			select {
			case err := <-w.ended:
				c.wantErr("Watch", err, context.Canceled)
			case <-c.ctx.Done():
				c.Fatalf("Watch goes on after its context has ended")
			}
			heard := w.calls.Load()
			c.set("default", record("1"))
			again := c.watch(c.store)
			again.next()
			for i := range 20 { // by the last one the first Watch would have heard something
				name := fmt.Sprint("other", i)
				c.set(name, record("1"))
				again.wait("Set", name)
			}
			if n := w.calls.Load(); n != heard {
				c.Errorf("changed was called after Watch had returned")
			}
			over, cancel := context.WithCancel(c.ctx)
			cancel()
			c.wantErr("Watch with a context that has ended", c.store.(tokenstore.Watcher).Watch(over, func(tokenstore.Change) {}), context.Canceled)
		},
	},
	{
		"CallsComeOneAfterTheOther",
		"Watch never calls changed while an earlier call has not returned",
		func(c *check) {
			w := c.watch(c.store)
			w.next()
			var writers sync.WaitGroup
			for i := range 8 {
				writers.Go(func() {
					for j := range 10 {
						if _, err := c.store.Set(c.ctx, fmt.Sprintf("%d-%d", i, j), record("1")); err != nil {
							c.Errorf("Set: %v", err)
						}
					}
				})
			}
			writers.Wait()
			c.set("last", record("1"))
			w.wait("Set", "last")
			if w.overlaps.Load() {
				c.Errorf("changed was called twice at a time")
			}
		},
	},
	{
		"WritesOfOtherProcessesAreTold",
		"Watch tells of what other processes write and delete",
		func(c *check) {
			if c.reopen == nil {
				c.Skip("there is no Reopen to get another process's store from")
			}
			other := c.second()
			w, far := c.watch(c.store), c.watch(other)
			w.next()
			far.next()
			version, err := other.Set(c.ctx, "default", record("1"))
			if err != nil {
				c.Fatalf("Set by another process: %v", err)
			}
			w.wait("Set by another process", "default")
			far.wait("Set", "default")
			if err := other.Delete(c.ctx, "default", version); err != nil {
				c.Fatalf("Delete by another process: %v", err)
			}
			w.wait("Delete by another process", "default")
		},
	},
}

// A watching is a Watch under way, and what it tells.
type watching struct {
	c        *check
	cancel   context.CancelFunc
	told     chan tokenstore.Change
	ended    chan error // has one value when Watch has returned
	calls    atomic.Int64
	inside   atomic.Int32
	overlaps atomic.Bool
}

// watch begins to watch a store, until the test ends.
func (c *check) watch(store tokenstore.Store) *watching {
	ctx, cancel := context.WithCancel(c.ctx)
	w := &watching{c: c, cancel: cancel, told: make(chan tokenstore.Change, 10_000), ended: make(chan error, 1)}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		w.ended <- store.(tokenstore.Watcher).Watch(ctx, w.changed)
	}()
	c.Cleanup(func() { cancel(); <-returned })
	return w
}

func (w *watching) changed(change tokenstore.Change) {
	if w.inside.Add(1) > 1 {
		w.overlaps.Store(true)
	}
	for range 100 {
		runtime.Gosched() // a caller's function takes longer than that
	}
	w.calls.Add(1)
	w.inside.Add(-1)
	select {
	case w.told <- change:
	default: // a watcher that has told so much has told enough
	}
}

// next returns what is told next.
func (w *watching) next() tokenstore.Change {
	w.c.Helper()
	select {
	case change := <-w.told:
		return change
	case err := <-w.ended:
		w.c.Fatalf("Watch has ended: %v", err)
	case <-w.c.ctx.Done():
		w.c.Fatalf("Watch tells nothing")
	}
	return tokenstore.Change{}
}

// wait returns the first notice of the named session. Others may come before it.
func (w *watching) wait(what, name string) tokenstore.Change {
	w.c.Helper()
	for {
		select {
		case change := <-w.told:
			if change.Name == name {
				return change
			}
		case err := <-w.ended:
			w.c.Fatalf("Watch has ended: %v", err)
		case <-w.c.ctx.Done():
			w.c.Fatalf("Watch does not tell of it: %s, session %q", what, name)
		}
	}
}

// offersNotices reports whether a store tells of changes. One that wraps another, or
// was not told how to, may not.
func offersNotices(store tokenstore.Store) bool {
	w, ok := store.(tokenstore.Watcher)
	if !ok {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return !errors.Is(w.Watch(ctx, func(tokenstore.Change) {}), errors.ErrUnsupported)
}

// toldSpendTests are for a Watcher that is a Spender, too.
var toldSpendTests = []test{
	{
		"SpendsAreTold",
		"Watch tells of what BeginSpend announces and of what Settle saves; Begun is not true for the latter",
		func(c *check) {
			rec := c.announced()
			w := c.watch(c.store)
			w.next()
			s, version := c.begin(rec, false)
			w.wait("BeginSpend", "default")
			rec.Version, rec.Pending = version, nil
			if _, err := s.Settle(c.ctx, rec); err != nil {
				c.Fatalf("Settle: %v", err)
			}
			for w.wait("Settle", "default").Begun { // which may be told twice
			}
		},
	},
}
