package bridge

import (
	"context"
	"encoding/json"
	"sync"
)

// A call is a line of the program's on its way: its requests that have no answer yet.
type call struct {
	ctx    context.Context
	cancel context.CancelFunc
	asks   bool // it has requests
	first  head
	wishes bool // the server has been asked what its tools want

	mu   sync.Mutex                 // guards open
	open map[string]json.RawMessage // by sameID
}

// openCalls are those under way.
type openCalls struct {
	mu    sync.Mutex
	calls map[*call]struct{}
}

func (o *openCalls) begin(ctx context.Context, list []head) *call {
	c := &call{open: make(map[string]json.RawMessage), first: list[0]}
	c.ctx, c.cancel = context.WithCancel(ctx)
	for _, h := range list {
		if h.isRequest() {
			c.open[sameID(h.ID)] = h.ID
		}
	}
	c.asks = len(c.open) > 0
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.calls == nil {
		o.calls = make(map[*call]struct{})
	}
	o.calls[c] = struct{}{}
	return c
}

func (o *openCalls) end(c *call) {
	c.cancel()
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.calls, c)
}

// cancel gives up a request for which the program does not wait any more: no answer is made
// up for it, and it is not tried again. One that the server has is for the server to end.
func (o *openCalls) cancel(id json.RawMessage, by *call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.calls {
		if c != by {
			c.forget(id)
		}
	}
}

// hangUp ends the answer of a request for which the program does not wait any more. It reports
// whether there is such a request, and whether that is of a revision in which this cancels it.
func (o *openCalls) hangUp(id json.RawMessage) (found, byItself bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.calls {
		if !c.has(id) {
			continue
		}
		if versionOf(c.first) == "" {
			return true, false
		}
		c.forget(id)
		c.cancel()
		return true, true
	}
	return false, false
}

// has reports whether a request of the call has that ID, and no answer yet.
func (c *call) has(id json.RawMessage) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, open := c.open[sameID(id)]
	return open
}

// forget takes a request off the call.
func (c *call) forget(id json.RawMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, sameID(id))
}

// waits reports whether a request has no answer yet.
func (c *call) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open) > 0
}

// wants reports whether a message answers one of the call's requests.
func (c *call) wants(h head) bool {
	return h.isAnswer() && c.has(h.ID)
}

// left returns the requests without an answer, and forgets them.
func (c *call) left() []json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []json.RawMessage
	for _, id := range c.open {
		ids = append(ids, id)
	}
	clear(c.open)
	return ids
}
