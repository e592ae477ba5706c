// Package drain ends answers whose bodies are not read, so that their connections can
// be used again where that costs little.
package drain

import (
	"io"
	"net/http"
	"time"
)

const (
	// maxBytes is how much of a body is read away. Pages and problem documents that come
	// with a refusal are smaller; a longer body costs more than a new connection.
	maxBytes = 64 << 10
	// maxWait is how long that may take. It is about the time in which a new connection
	// to another continent stands, with TLS. Most bodies are here already.
	maxWait = 250 * time.Millisecond
)

// Response closes the body of resp, which may be nil, after reading what is left of it,
// but no more than 64 KiB and for no longer than 250 ms, whatever the server sends. A
// body that ignores being closed, or takes its time for it, does not hold the caller: it is
// left to a goroutine that ends with the body.
func Response(resp *http.Response) {
	if resp == nil || resp.Body == nil {
		return
	}
	body := resp.Body
	if body == http.NoBody {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp.ContentLength <= maxBytes {
			_, _ = io.CopyN(io.Discard, body, maxBytes)
		}
		_ = body.Close()
	}()
	late := time.NewTimer(maxWait)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		go body.Close() // ends the read; a body may take its time for that, too
	}
}
