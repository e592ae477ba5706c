package conformance

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// handoverVariable is set in the environment of a command whose browser is to be
// this test binary. It holds the address where the URL goes.
const handoverVariable = "EVERTOKEN_CONFORMANCE_HANDOVER"

// handOver is what the test binary does as a browser: it sends the URL it was
// asked to open to the test, which has the real one.
func handOver(addr string, args []string) int {
	if len(args) != 1 {
		return 2
	}
	conn, err := net.DialTimeout("tcp", addr, stepLimit)
	if err != nil {
		return 1
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, args[0]); err != nil {
		return 1
	}
	return 0
}

// stepLimit is how long a single step may take before a test gives up on it. It
// is generous: the machine may be busy.
const stepLimit = 2 * time.Minute

// A handover receives the URLs that somebody wants to show in a browser.
type handover struct {
	urls chan string
	addr string // where commands send them
}

// newHandover listens for commands until the test ends.
func newHandover(t *testing.T) *handover {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &handover{urls: make(chan string, 8), addr: l.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.receive(conn)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return h
}

func (h *handover) receive(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(stepLimit))
	if url, err := io.ReadAll(conn); err == nil && len(url) > 0 {
		h.urls <- string(url)
	}
}

// open is an oauth.Config.OpenBrowser.
func (h *handover) open(ctx context.Context, url string) error {
	select {
	case h.urls <- url:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// url waits for the next URL.
func (h *handover) url(t *testing.T) string {
	t.Helper()
	select {
	case url := <-h.urls:
		return url
	case <-time.After(stepLimit):
		t.Fatal("nobody asked for a browser")
		return ""
	}
}
