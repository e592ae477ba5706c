package drain

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A body gives one byte after each pause, until it has been closed or has given all.
type body struct {
	left   int
	pause  time.Duration
	closed chan struct{}
	deaf   bool // closing it ends no read
	slow   bool // closing it takes an hour
	ends   atomic.Int32
	read   atomic.Int64
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if b.pause > 0 {
		over := time.NewTimer(b.pause)
		defer over.Stop()
		ended := b.closed
		if b.deaf {
			ended = nil
		}
		select {
		case <-over.C:
		case <-ended:
			return 0, http.ErrBodyReadAfterClose
		}
		p = p[:1]
	}
	n := min(len(p), b.left)
	b.left -= n
	b.read.Add(int64(n))
	return n, nil
}

func (b *body) Close() error {
	if b.ends.Add(1) == 1 {
		close(b.closed)
	}
	if b.slow {
		time.Sleep(time.Hour)
	}
	return nil
}

func TestF93_BodyThatIsNotReadCostsLittle(t *testing.T) {
	for name, tt := range map[string]struct {
		body   *body
		length int64
		wait   time.Duration
		read   int64
	}{
		"short":                {&body{left: 1000}, 1000, 0, 1000},
		"of unknown length":    {&body{left: 1000}, -1, 0, 1000},
		"at the limit":         {&body{left: 64 << 10}, -1, 0, 64 << 10},
		"beyond the limit":     {&body{left: 1 << 30}, -1, 0, 64 << 10},
		"announced as long":    {&body{left: 1 << 30}, 1 << 30, 0, 0},
		"a byte each second":   {&body{left: 1000, pause: time.Second}, 1000, 250 * time.Millisecond, 0},
		"a byte each 100 ms":   {&body{left: 1000, pause: 100 * time.Millisecond}, -1, 250 * time.Millisecond, 2},
		"silent":               {&body{left: 1, pause: 24 * time.Hour}, -1, 250 * time.Millisecond, 0},
		"slow to close":        {&body{left: 1000, slow: true}, 1000, 250 * time.Millisecond, 1000},
		"silent and slow":      {&body{left: 1, pause: time.Hour, slow: true}, -1, 250 * time.Millisecond, 0},
		"long and slow":        {&body{left: 1 << 30, slow: true}, 1 << 30, 250 * time.Millisecond, 0},
		"silent though closed": {&body{left: 1, pause: time.Hour, deaf: true}, -1, 250 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.body.closed = make(chan struct{})
				begun := time.Now()
				Response(&http.Response{Body: tt.body, ContentLength: tt.length})
				if waited := time.Since(begun); waited != tt.wait {
					t.Errorf("the caller waited %v; want %v", waited, tt.wait)
				}
				if got := tt.body.read.Load(); got != tt.read {
					t.Errorf("%d bytes were read; want %d", got, tt.read)
				}
				time.Sleep(2 * time.Hour) // a deaf body ends, and its goroutine
				if tt.body.ends.Load() == 0 {
					t.Error("the body was not closed")
				}
			})
		})
	}
}

func TestAnswersWithoutABodyAreFine(t *testing.T) {
	Response(nil)
	Response(&http.Response{})
	Response(&http.Response{Body: http.NoBody})
	Response(&http.Response{Body: io.NopCloser(strings.NewReader("x"))})
}
