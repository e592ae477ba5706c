package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/drain"
	"github.com/evertoken/evertoken/internal/sleep"
)

// maxStreamPause is the longest wait for the server's own stream. The program misses
// notifications meanwhile, and no answers.
const maxStreamPause = 30 * time.Second

// get asks for a stream of a session, from after the event with the given ID.
func (b *bridge) get(ctx context.Context, at session, last string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-Id", last)
	}
	at.setHeader(req)
	return b.do(req, func() {})
}

// listen begins to pass on what the server says by itself, and ends the stream of an earlier
// session.
func (b *bridge) listen() {
	ctx, cancel := context.WithCancel(b.ctx)
	b.remote.mu.Lock()
	if end := b.remote.listening; end != nil {
		end()
	}
	b.remote.listening = cancel
	b.remote.mu.Unlock()
	b.stream.Go(func() { b.hear(ctx) })
}

// hear passes on the server's own stream, for as long as it has one.
func (b *bridge) hear(ctx context.Context) {
	var at position
	heard := false // in this session
	for failures := 0; ctx.Err() == nil; {
		now := b.remote.state()
		var wait time.Duration
		resp, err := b.get(ctx, now, at.last)
		switch {
		case err != nil:
			failures++
		case isStream(resp):
			b.remote.heard.Store(true)
			had, begun := at.ids+at.messages, time.Now()
			_ = at.read(resp.Body, b.overhear)
			_ = resp.Body.Close()
			if failures++; at.ids+at.messages > had || time.Since(begun) >= lasting {
				failures, heard = 0, true
			}
		case resp.StatusCode == http.StatusNotFound && heard: // else it may be what the server says to any GET
			drain.Response(resp)
			if now.id == "" || b.begin(now.generation) == nil {
				return // without sessions there is no such stream; a new one has its own
			}
			failures++
		default:
			r := refused(resp)
			if r.status == http.StatusMethodNotAllowed || !b.remote.heard.Load() && !passesForStreams(r.status) {
				return // the server has none
			}
			if !passesForStreams(r.status) && r.status >= 400 {
				at.last = "" // it may be that which is refused
			}
			wait = r.wait
			failures++
		}
		if sleep.For(ctx, max(wait, at.pauseAfter(failures))) != nil {
			return
		}
	}
}

// overhear passes on what the server says by itself. An answer there, where none belongs, is one
// all the same; what is not a message, such as a sign of life, is left out.
func (b *bridge) overhear(message []byte) {
	list, err := heads(message)
	if err != nil || len(list) == 0 || slices.ContainsFunc(list, func(h head) bool { return h.Method == "" && !h.isAnswer() }) {
		b.oddity.Do(func() { b.Say("What the server says by itself is not a message, and is left out.") })
		return
	}
	for _, h := range list {
		if h.isAnswer() {
			b.open.cancel(h.ID, nil)
		}
	}
	b.deliver(message)
}

// passesForStreams reports whether a status says nothing of whether there is a stream: 409 is
// what servers say that still have the one before it.
func passesForStreams(status int) bool { return mayPass(status) || status == http.StatusConflict }

// errOlder is what helps against a server that isOlder.
var errOlder = errors.New("the server has the transport HTTP+SSE of 2024-11-05 under this address, which this does not speak: ask for its address for Streamable HTTP, most often one that ends with /mcp")

// olderTime is how long a server of that transport has to say where messages go.
const olderTime = 5 * time.Second

// isOlder reports whether a server that refuses to begin by the given status has the transport of
// 2024-11-05, whose stream begins by saying where messages go (MCP, Backward Compatibility).
func (b *bridge) isOlder(c *call, status int) bool {
	if status != http.StatusBadRequest && status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		return false
	}
	ctx, cancel := context.WithTimeout(c.ctx, olderTime)
	defer cancel()
	resp, err := b.get(ctx, session{}, "")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if !isStream(resp) {
		return false
	}
	ev, err := newEventReader(resp.Body).next()
	return err == nil && ev.kind == "endpoint"
}

// isForgotten reports whether the server, which has known a session, does not know it any more and
// says so by a 400, as many do that were started anew, and not by the 404 that it should be. Then it
// says so to all that comes.
func (b *bridge) isForgotten(c *call, at session) bool {
	if !b.remote.isProven(at) {
		return false
	}
	ping := []byte(`{"jsonrpc":"2.0","id":"evertoken","method":"ping"}`)
	resp, err := b.post(c.ctx, posting{line: ping, repeatable: true}, at, func() {})
	if err != nil {
		return false
	}
	status := refused(resp).status
	return status == http.StatusBadRequest || status == http.StatusNotFound
}

// begin begins the session anew that the server has ended, unless that was done since the
// given generation, with what the program has begun it with. The program does not hear of it.
// A caller that waits while another tries that in vain shares the outcome: each would try for as long.
func (b *bridge) begin(generation int) error {
	asked := time.Now()
	select {
	case b.remote.renewing <- struct{}{}:
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
	defer func() { <-b.remote.renewing }()
	b.remote.mu.Lock()
	current, initialize, ready := b.remote.session.generation, b.remote.initialize, b.remote.ready
	b.remote.mu.Unlock()
	switch last := b.remote.failed; {
	case current != generation:
		return nil
	case initialize == nil:
		return errExpired
	case last.err != nil && !last.at.Before(asked):
		return last.err
	}
	err := b.beginUntil(initialize, ready)
	b.remote.failed = failed{err, time.Now()}
	if err == nil && ready != nil {
		b.listen()
	}
	return err
}

// A failed is why a session was not begun anew, and when that was given up.
type failed struct {
	err error
	at  time.Time
}

// beginUntil tries to begin a session until the server does so, or that is not to be expected.
func (b *bridge) beginUntil(initialize, ready []byte) error {
	since := time.Now()
	for tries := 1; ; tries++ {
		err := b.beginOnce(initialize, ready)
		if err == nil {
			return nil
		}
		wait, try := b.again(err, since)
		if !try {
			return err
		}
		if tries == sayAfter {
			b.Say("Waiting for the server: %s", b.Explain(err))
		}
		if sleep.For(b.ctx, wait) != nil {
			return context.Cause(b.ctx)
		}
	}
}

// beginOnce tries to begin a session. It is ours when the server knows that the program is ready
// (nil: it is not yet), so that no request comes before that.
func (b *bridge) beginOnce(initialize, ready []byte) error {
	id, version, err := b.initializeAgain(initialize)
	if err != nil {
		return err
	}
	if ready != nil {
		resp, err := b.post(b.ctx, posting{line: ready, repeatable: true}, session{id: id, version: version}, func() {})
		if err != nil {
			return err
		}
		switch r := refused(resp); {
		case mayPass(r.status):
			return r
		case r.status == http.StatusNotFound: // ended already
			return errNoResult
		}
	}
	b.remote.begun(id, version)
	return nil
}

// initializeAgain sends the program's first request once more, and keeps the answer to itself.
func (b *bridge) initializeAgain(initialize []byte) (id, version string, err error) {
	resp, err := b.post(b.ctx, posting{line: initialize, repeatable: true}, session{}, func() {})
	if err != nil {
		return "", "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("the server has ended the session, and does not begin a new one: %w", refused(resp))
	}
	defer resp.Body.Close()
	defer bounded(resp)()
	err = errNoResult
	note := note(func(message []byte) {
		list, _ := heads(message)
		for _, h := range list {
			switch {
			case !h.isAnswer():
			case h.Result != nil:
				version, err = h.Result.ProtocolVersion, nil
			default:
				err = errors.New("the server has ended the session, and refuses a new one")
			}
		}
	})
	note.each(resp)
	return resp.Header.Get("Mcp-Session-Id"), version, err
}

// A note is what is done with an answer that is not the program's.
type note func(message []byte)

// each hands over the messages of an answer.
func (n note) each(resp *http.Response) {
	if isStream(resp) {
		var at position
		_ = at.read(resp.Body, n)
	} else if body, err := readMessage(resp.Body); err == nil {
		n(body)
	}
}
