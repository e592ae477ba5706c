package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/internal/drain"
	"github.com/evertoken/evertoken/internal/sleep"
)

const (
	// retryPause is how long a request that could not be sent waits for the next try, so
	// that the server's return is noticed within two seconds.
	retryPause = time.Second
	// maxRetryAfter bounds what a server may ask to wait.
	maxRetryAfter = time.Minute
	// readyTime is how long the server has at most to take note that the program is ready, before
	// the next message is sent. It has no work to do for that.
	readyTime = 2 * time.Second
	// sayAfter is how many tries of a request fail before a person is told.
	sayAfter = 3
)

// errExpired is why a request has no answer whose session the server has ended.
var errExpired = errors.New("the server has ended the session before it answered")

// An unfinished answer is one that has begun, and of which the rest is not to be had.
type unfinished struct {
	error
	at session // in which it was
}

func (u unfinished) Unwrap() error { return u.error }

// isOpen reports whether an error leaves open if the server has carried a request out.
func isOpen(err error) bool {
	_, is := errors.AsType[unfinished](err)
	_, broke := errors.AsType[cut](err)
	return is || broke
}

// send passes a line of the program's on, and what comes back, and answers for the server
// if that does not. sent is called when the request is on its way.
func (b *bridge) send(c *call, line []byte, list []head, sent func()) {
	defer sent()
	b.remote.keep(list, line)
	onItsWay := sent
	if list[0].Method == "notifications/initialized" { // servers refuse what overtakes it
		onItsWay = func() { time.AfterFunc(readyTime, sent) }
	}
	err := b.exchange(c, line, list, onItsWay)
	if err == nil && list[0].Method == "notifications/initialized" {
		b.listen()
	}
	if b.ctx.Err() != nil {
		return
	}
	text := "the server did not answer"
	if err != nil {
		text = b.Explain(err)
	}
	if isOpen(err) {
		text += "; whether it has done what it was asked for is not known"
	}
	for _, id := range c.left() {
		b.deliver(failure(id, text))
	}
	if err != nil && len(list) == 1 && !list[0].isRequest() {
		b.Say("A message to the server was lost: %s", text)
	}
	if u, is := errors.AsType[unfinished](err); is && errors.Is(err, errExpired) {
		_ = b.begin(u.at.generation) // the next request finds out why, if it cannot be
	}
}

// maxAnews is how often a request is sent anew whose session, or whose answer, has ended. More
// would end without it.
const maxAnews = 2

// exchange posts a line until the server has it, and passes on what it answers. What the server
// may have carried out already is posted once more only if it changes nothing.
func (b *bridge) exchange(c *call, line []byte, list []head, sent func()) error {
	anews := 0
	for tries := 1; ; tries++ {
		at, begun := b.remote.state(), time.Now()
		err := b.try(c, line, list, at, sent)
		if list[0].Method == methodListen && time.Since(begun) >= lasting {
			anews = 0
		}
		wait, passes := b.passes(err)
		switch {
		case err == nil:
			return nil
		case passes:
			if tries == sayAfter {
				b.Say("Waiting for the server: %s", b.Explain(err))
			}
		case errors.Is(err, errMismatch):
			c.wishes = true
			b.relearn(c)
			wait = 0
		case isOpen(err) && changesNothing(list), !isOpen(err) && errors.Is(err, errExpired):
			if anews++; anews > maxAnews {
				return err
			}
			if errors.Is(err, errExpired) {
				if err := b.begin(at.generation); err != nil {
					return err
				}
				wait = 0
			}
		default:
			return err
		}
		sent() // what comes after it waits for the same
		if sleep.For(c.ctx, wait) != nil {
			return context.Cause(c.ctx)
		}
		if c.asks && !c.waits() {
			return nil // canceled meanwhile
		}
	}
}

// passes reports whether an error means that a request was not carried out and may be later, and
// after what time to try.
func (b *bridge) passes(err error) (time.Duration, bool) {
	if r, is := errors.AsType[*refusal](err); is && isBusy(r.status) && !isOpen(err) {
		return r.wait, true
	}
	return retryPause, err != nil && !isOpen(err) && b.Passes(err)
}

// try posts a line once, and passes on what the server answers.
func (b *bridge) try(c *call, line []byte, list []head, at session, sent func()) error {
	beginning := list[0].Method == "initialize"
	if versionOf(c.first) != "" {
		at.id, at.version = "", "" // it belongs to no session
	}
	resp, err := b.post(c.ctx, posting{line, list, changesNothing(list)}, at, sent)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusNotFound && at.id != "" && !beginning:
		drain.Response(resp)
		return errExpired
	case isBusy(resp.StatusCode):
		return refused(resp)
	case resp.StatusCode/100 == 2 && !beginning:
		b.remote.prove(at)
	}
	err = b.answered(c, resp, at, beginning)
	if r, is := errors.AsType[*refusal](err); is && beginning && b.isOlder(c, r.status) {
		return errOlder
	}
	return err
}

// A posting is a line for the server.
type posting struct {
	line       []byte
	list       []head // that headers repeat, if it is one
	repeatable bool   // it may be sent twice
}

// post sends a line to the server.
func (b *bridge) post(ctx context.Context, p posting, at session, sent func()) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL, bytes.NewReader(p.line))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	at.setHeader(req)
	if len(p.list) == 1 {
		b.mirrored.mirror(req.Header, p.list[0])
	}
	if p.repeatable {
		// net/http then sends it once more if the connection turns out to be closed. The
		// empty list is for that alone and not sent.
		req.Header["Idempotency-Key"] = []string{}
	}
	return b.do(req, sent)
}

// answered passes on what a server answers.
func (b *bridge) answered(c *call, resp *http.Response, at session, beginning bool) error {
	defer resp.Body.Close()
	id := resp.Header.Get("Mcp-Session-Id")
	if beginning {
		at.id = id
	}
	pass := func(message []byte) { b.pass(c, message, beginning, id) }
	switch {
	case resp.StatusCode == http.StatusAccepted, resp.StatusCode == http.StatusNoContent:
		return nil
	case resp.StatusCode == http.StatusUnauthorized && b.isElsewhere(resp):
		return errElsewhere
	case isStream(resp):
		return b.follow(c, resp, at, pass)
	case isHTML(resp):
		return refusalBy(resp)
	}
	return b.whole(c, resp, at, pass)
}

// whole passes on an answer that is not a stream.
func (b *bridge) whole(c *call, resp *http.Response, at session, pass func([]byte)) error {
	status := resp.StatusCode
	if status != http.StatusOK {
		defer bounded(resp)()
	}
	body, err := readMessage(resp.Body)
	if err != nil && status == http.StatusOK {
		return unfinished{err, at}
	}
	list, invalid := heads(body)
	isMessage := err == nil && invalid == nil && len(list) > 0
	switch {
	case isMessage && status == http.StatusBadRequest && c.misses(list[0]):
		return errMismatch
	case isMessage && (status == http.StatusOK || c.wants(list[0])):
		pass(body)
		return nil
	case status == http.StatusBadRequest && b.isForgotten(c, at):
		return errExpired
	case isMessage && list[0].isNameless() && c.waits():
		pass(body)
		return nil
	}
	return refusalBy(resp)
}

// refusalBy returns what an answer without a message refuses, or nil.
func refusalBy(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return nil
	}
	return &refusal{status: resp.StatusCode}
}

// pass hands a message of the server's to the program, and notes what it answers.
func (b *bridge) pass(c *call, message []byte, beginning bool, session string) {
	list, err := heads(message)
	if err != nil {
		b.Say("A message of the server's is not JSON and is left out.")
		return
	}
	var nameless json.RawMessage
	for _, h := range list {
		if !h.isAnswer() {
			continue
		}
		if beginning && h.Result != nil {
			b.remote.begun(session, h.Result.ProtocolVersion)
		}
		if c.forget(h.ID); h.isNameless() {
			nameless = h.Error
		}
	}
	if c.first.Method == "tools/list" && versionOf(c.first) != "" {
		b.mirrored.learn(message)
	}
	if nameless == nil || len(list) > 1 || !c.waits() {
		b.deliver(message)
	}
	if nameless != nil { // the program would wait for what has its ID
		for _, id := range c.left() {
			b.deliver(refusalOf(id, nameless))
		}
	}
}

// follow passes on a stream that answers a call, and goes on with it when it breaks off: from
// the last event that had an ID.
func (b *bridge) follow(c *call, resp *http.Response, at session, pass func([]byte)) error {
	var pos position
	err := pos.read(resp.Body, pass)
	since, wait, idle := time.Now(), pos.pause(), 0
	for c.waits() && c.ctx.Err() == nil {
		if pos.last == "" || idle > maxIdleStreams {
			return unfinished{fmt.Errorf("the server's answer broke off (%w)", err), at}
		}
		if sleep.For(c.ctx, wait) != nil {
			return context.Cause(c.ctx)
		}
		next, failed := b.rest(c, at, pos.last)
		if failed != nil {
			var try bool
			if wait, try = b.again(failed, since); !try {
				return unfinished{failed, at}
			}
			continue
		}
		ids, begun := pos.ids, time.Now()
		err = pos.read(next.Body, pass)
		_ = next.Body.Close()
		if since, wait = time.Now(), pos.pause(); pos.ids > ids || since.Sub(begun) >= lasting {
			idle = 0
		} else {
			idle++
			wait = max(wait, retryPause)
		}
	}
	return nil
}

// rest asks for the stream that goes on after an event, which is one of its session's.
func (b *bridge) rest(c *call, at session, last string) (*http.Response, error) {
	if b.remote.state().generation != at.generation {
		return nil, errExpired
	}
	resp, err := b.get(c.ctx, at, last)
	switch {
	case err != nil || isStream(resp):
		return resp, err
	case resp.StatusCode == http.StatusNotFound:
		drain.Response(resp)
		return nil, errExpired
	case resp.StatusCode == http.StatusOK: // a page, of a gateway's or a network's
		drain.Response(resp)
		return nil, errNoResult
	}
	return nil, fmt.Errorf("the server's answer broke off, and to being asked for the rest %w", refused(resp))
}

const (
	// lasting is how long a stream is open at least that was given to be listened to. Servers
	// and proxies end silent ones after half a minute or more.
	lasting = 10 * time.Second
	// maxIdleStreams is how many streams in a row may end sooner and without another event than the
	// last: half an hour of them. A server may have its clients ask for an answer so.
	maxIdleStreams = int(30 * time.Minute / retryPause)
	// minRetry is the shortest pause that a server may ask for.
	minRetry = 100 * time.Millisecond
)

// A position is where a stream is.
type position struct {
	last          string        // the ID of the last event
	ids, messages int           // how many there were, counting an ID once in a row
	retry         time.Duration // the pause that the server wants
}

func (p *position) pause() time.Duration {
	if p.retry > 0 {
		return min(max(p.retry, minRetry), maxRetryAfter)
	}
	return retryPause
}

// pauseAfter is the pause after some failures in a row. A server that wants to be asked soon wants
// that for streams that it gives.
func (p *position) pauseAfter(failures int) time.Duration {
	if failures == 0 {
		return p.pause()
	}
	return min(max(p.pause(), retryPause)<<min(failures, 5), max(maxStreamPause, p.pause()))
}

// read passes the messages of a stream on until it ends.
func (p *position) read(body io.Reader, pass func([]byte)) error {
	events := newEventReader(body)
	for {
		ev, err := events.next()
		if err != nil {
			return err
		}
		if len(ev.data) > 0 && (ev.kind == "" || ev.kind == "message") {
			p.messages++
			pass(ev.data)
		}
		if ev.hasID && ev.id != p.last {
			p.ids++
		}
		if ev.hasID { // after the message is passed on, or it would be lost with it
			p.last = ev.id
		}
		if ev.retry > 0 {
			p.retry = ev.retry
		}
	}
}

// isHTML reports whether an answer is a page, which no MCP server sends.
func isHTML(resp *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind == "text/html"
}

// isStream reports whether an answer is a stream of events.
func isStream(resp *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind == "text/event-stream" && resp.StatusCode == http.StatusOK
}
