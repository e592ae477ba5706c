package bridge

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
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
type eventReader struct{ r *bufio.Reader }

// next returns the next event that has data or an ID, or an error such as io.EOF. An event that
// the stream's end has cut is dropped, as the specification has it.
func (e eventReader) next() (event, error) {
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
			if bytes.IndexByte(value, 0) < 0 {
				ev.id, ev.hasID = string(value), true
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

// line returns a line without its end: LF, or CR and LF.
func (e eventReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := e.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxMessage:
			return nil, errTooLong
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err // what is left is cut
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
}

// readMessage reads a body that is one message.
func readMessage(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxMessage+1))
	if err == nil && len(body) > maxMessage {
		err = errTooLong
	}
	return body, err
}
