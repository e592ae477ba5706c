// Package bridge connects a program that talks to an MCP server by its standard input and
// output to a server that is reached by Streamable HTTP (Model Context Protocol, Transports).
// Messages pass as they are: it reads of them what the transport needs, their ID and method.
//
// It is made of net/http alone. An SDK's client would parse each message into its own types
// and write it anew, and leave out what it does not know.
package bridge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/withoutlogin"
)

// A Config describes a bridge.
type Config struct {
	// URL is the server's endpoint, Client what reaches it with the session's tokens.
	// It must not have a timeout, since streams have no end.
	URL    string
	Client *http.Client
	// In and Out are the program's side: a message on each line.
	In  io.Reader
	Out io.Writer
	// Say tells a person what the bridge waits for. What it is given may hold text of
	// the server's.
	Say func(format string, args ...any)
	// Explain puts an error into words for the program and the person.
	Explain func(error) string
	// Passes reports whether an error means that a request was not sent, and may be later.
	Passes func(error) bool
}

const (
	// finishTime is how long answers are waited for when the program has closed its side,
	// and farewellTime how long the server has to hear of the end. Together they leave
	// some of the two seconds within which editors expect a server to end.
	finishTime   = time.Second
	farewellTime = 300 * time.Millisecond
)

// A bridge is one run.
type bridge struct {
	Config
	ctx    context.Context
	end    context.CancelCauseFunc
	calls  sync.WaitGroup // requests of the program under way
	stream sync.WaitGroup // the server's own stream

	out sync.Mutex // guards Out

	remote   remote
	open     openCalls
	mirrored mirrored
	oddity   sync.Once // tells of what is not a message
}

// Run passes messages until ctx ends or the program closes its side, which is not an error. It
// returns within two seconds of either.
func Run(ctx context.Context, cfg Config) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	cfg.Client = leaving(cfg.Client)
	b := &bridge{Config: cfg, ctx: ctx, end: end}
	b.remote.renewing = make(chan struct{}, 1)
	lines, closed, taken := make(chan []byte), make(chan struct{}), make(chan struct{})
	go b.queue(b.read(), lines, closed)
	go func() {
		defer close(taken)
		for line := range lines {
			b.take(line)
		}
	}()
	select {
	case <-closed:
		b.finish(taken)
		return nil
	case <-ctx.Done():
	}
	b.farewell()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// read returns the program's messages. It is not waited for: a read of a terminal or a pipe
// cannot be ended.
func (b *bridge) read() <-chan []byte {
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		in := bufio.NewReader(b.In)
		for {
			line, err := in.ReadBytes('\n')
			line = bytes.TrimPrefix(line, []byte(byteOrderMark))
			if line = bytes.TrimSpace(line); len(line) > 0 {
				select {
				case lines <- line:
				case <-b.ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// queue keeps messages while one before them waits, as for a login, so that the program's end
// is noticed meanwhile, and closes closed at that.
func (b *bridge) queue(from <-chan []byte, to chan<- []byte, closed chan<- struct{}) {
	defer close(to)
	var waiting [][]byte
	for from != nil || len(waiting) > 0 {
		var next chan<- []byte
		var first []byte
		if len(waiting) > 0 {
			next, first = to, waiting[0]
		}
		select {
		case line, more := <-from:
			if !more {
				from = nil
				close(closed)
				continue
			}
			waiting = append(waiting, line)
		case next <- first:
			waiting = waiting[1:]
		case <-b.ctx.Done():
			return
		}
	}
}

// take handles one line of the program's. It returns when the message is on its way, so that
// none overtakes another.
func (b *bridge) take(line []byte) {
	list, err := heads(line)
	if err != nil || len(list) == 0 {
		b.Say("A line of the program's is not a message and is left out.")
		return
	}
	if b.hangsUp(list) {
		return
	}
	c := b.open.begin(b.ctx, list)
	sent := make(chan struct{})
	b.calls.Go(func() {
		defer b.open.end(c)
		b.send(c, line, list, sync.OnceFunc(func() { close(sent) }))
	})
	for _, h := range list {
		if h.Method == "notifications/cancelled" {
			b.open.cancel(h.Params["requestId"], c)
		}
	}
	select {
	case <-sent:
	case <-b.ctx.Done():
	}
}

// hangsUp does what the program cancels where the end of the answer's stream says so, which is
// from revision 2026-07-28 on, and reports whether that is all.
func (b *bridge) hangsUp(list []head) bool {
	if len(list) != 1 || list[0].Method != "notifications/cancelled" {
		return false
	}
	found, byItself := b.open.hangUp(list[0].Params["requestId"])
	return byItself || !found && !b.remote.hasBegun()
}

// finish waits for what the program has asked for and still may read.
func (b *bridge) finish(taken <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		<-taken
		b.calls.Wait()
		close(done)
	}()
	limit := time.NewTimer(finishTime)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
	case <-b.ctx.Done():
	}
	b.end(nil)
	b.farewell()
}

// farewell tells the server that the session is over.
func (b *bridge) farewell() {
	at := b.remote.state()
	if at.id == "" {
		return
	}
	// A window would open as the program leaves.
	ctx, cancel := context.WithTimeout(withoutlogin.Context(context.Background()), farewellTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, b.URL, nil)
	if err != nil {
		return
	}
	at.setHeader(req)
	done := make(chan struct{})
	go func() { // a transport that waits for a token may not hear of the deadline at once
		defer close(done)
		if resp, err := b.Client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// deliver hands a message to the program.
func (b *bridge) deliver(message []byte) {
	if message = oneLine(message); len(message) == 0 {
		return
	}
	b.out.Lock()
	defer b.out.Unlock()
	if _, err := b.Out.Write(append(message[:len(message):len(message)], '\n')); err != nil {
		b.end(nil) // the program is gone
	}
}
