package bridge

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxMessage is how long a message may be: images in results have some megabytes.
const maxMessage = 64 << 20

var errTooLong = errors.New("the server sent a message of more than 64 MiB")

// An event is one of a stream (HTML, server-sent events).
type event struct {
	id    string
	hasID bool
	kind  string // empty: message
	data  []byte
	retry time.Duration
}

// An eventReader reads a stream of events.
type eventReader struct {
	r       *bufio.Reader
	began   bool // the first line was read
	afterCR bool // the line before ended with CR, of which a LF is a part
}

func newEventReader(body io.Reader) *eventReader { return &eventReader{r: bufio.NewReader(body)} }

// next returns the next event that has data or an ID, or an error such as io.EOF. An event that
// the stream's end has cut is dropped, as the specification has it.
func (e *eventReader) next() (event, error) {
	var ev event
	var some, began bool
	for {
		line, err := e.line()
		if err != nil {
			return event{}, err
		}
		if len(line) == 0 {
			if began {
				ev.data = bytes.TrimSuffix(ev.data, []byte("\n"))
				return ev, nil
			}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		some = true
		switch string(name) {
		case "data":
			if len(ev.data)+len(value) > maxMessage {
				return event{}, errTooLong
			}
			ev.data = append(append(ev.data, value...), '\n')
		case "event":
			ev.kind = string(value)
		case "id":
			if id := string(value); fitsHeader(id) {
				ev.id, ev.hasID = id, true
			}
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				ev.retry = time.Duration(ms) * time.Millisecond
			}
		default:
			some = false // a comment, which keeps the connection alive
		}
		began = began || some
	}
}

// line returns a line without its end, which is LF, CR, or CR and LF. It does not wait for the
// LF of the latter: an event is over before.
func (e *eventReader) line() ([]byte, error) {
	var line []byte
	for {
		if _, err := e.r.Peek(1); err != nil {
			return nil, err // what is left is cut
		}
		part, _ := e.r.Peek(e.r.Buffered())
		if e.afterCR {
			e.afterCR = false
			if part[0] == '\n' {
				_, _ = e.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(part, "\r\n")
		if end < 0 {
			line = append(line, part...)
			_, _ = e.r.Discard(len(part))
		} else {
			line = append(line, part[:end]...)
			e.afterCR = part[end] == '\r'
			_, _ = e.r.Discard(end + 1)
		}
		switch {
		case len(line) > maxMessage:
			return nil, errTooLong
		case end >= 0 && !e.began:
			e.began = true
			return bytes.TrimPrefix(line, []byte(byteOrderMark)), nil
		case end >= 0:
			return line, nil
		}
	}
}

// byteOrderMark is what some programs and servers begin a text with.
const byteOrderMark = "\ufeff"

// maxHeader is how long a header may be for all servers: some refuse 8 KiB with all others.
const maxHeader = 4 << 10

// fitsHeader reports whether a header can carry a text of the server's. With another one no
// request could be sent any more.
func fitsHeader(text string) bool {
	return len(text) <= maxHeader && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// readMessage reads a body that is one message.
func readMessage(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxMessage+1))
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	if err == nil && len(body) > maxMessage {
		err = errTooLong
	}
	return body, err
}
