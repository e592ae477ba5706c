package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
)

// maxStreamPause is the longest wait for the server's own stream. The program misses
// notifications meanwhile, and no answers.
const maxStreamPause = 30 * time.Second

// get asks for a stream, from after the event with the given ID.
func (b *bridge) get(ctx context.Context, last string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL, nil)
	if err != nil {
		return nil, err
	}
	id, version, _ := b.remote.state()
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-Id", last)
	}
	setHeader(req, id, version)
	return b.Client.Do(req)
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
	failures := 0
	for ctx.Err() == nil {
		_, _, generation := b.remote.state()
		resp, err := b.get(ctx, at.last)
		switch {
		case err == nil && resp.StatusCode == http.StatusOK:
			failures = 0
			_ = at.read(resp.Body, b.deliver)
			_ = resp.Body.Close()
		case err == nil && resp.StatusCode == http.StatusNotFound:
			drop(resp)
			if id, _, _ := b.remote.state(); id == "" || b.begin(generation) == nil {
				return // without sessions there is no such stream; a new one has its own
			}
			failures++
		case err == nil && (resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests):
			drop(resp)
			return // the server has none
		case err == nil:
			drop(resp)
			failures++
		default:
			failures++
		}
		if sleep.For(ctx, min(at.pause()<<min(failures, 5), maxStreamPause)) != nil {
			return
		}
	}
}

// begin begins the session anew that the server has ended, unless that was done since the
// given generation, with what the program has begun it with. The program does not hear of it.
func (b *bridge) begin(generation int) error {
	select {
	case b.remote.renewing <- struct{}{}:
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
	defer func() { <-b.remote.renewing }()
	b.remote.mu.Lock()
	current, initialize, ready := b.remote.generation, b.remote.initialize, b.remote.ready
	b.remote.mu.Unlock()
	if current != generation {
		return nil
	}
	if initialize == nil {
		return errExpired
	}
	if err := b.initializeAgain(initialize); err != nil {
		return err
	}
	if ready == nil {
		return nil
	}
	id, version, _ := b.remote.state()
	resp, err := b.post(b.ctx, ready, nil, id, version, func() {})
	if err != nil {
		return err
	}
	drop(resp)
	b.listen()
	return nil
}

// initializeAgain sends the program's first request once more, and keeps the answer to itself.
func (b *bridge) initializeAgain(initialize []byte) error {
	resp, err := b.post(b.ctx, initialize, nil, "", "", func() {})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	begun := errors.New("the server ends its answer without a result")
	note := func(message []byte) {
		list, err := heads(message)
		if err != nil {
			return
		}
		for _, h := range list {
			if h.Result != nil && h.Method == "" {
				b.remote.begun(resp.Header.Get("Mcp-Session-Id"), h.Result.ProtocolVersion)
				begun = nil
			}
		}
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the server has ended the session, and says HTTP %d to a new one", resp.StatusCode)
	case isEvents(resp):
		var at position
		_ = at.read(resp.Body, note)
	default:
		body, err := readMessage(resp.Body)
		if err != nil {
			return err
		}
		note(body)
	}
	return begun
}
