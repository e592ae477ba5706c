package bridge

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestARequestAfterAPauseHasAConnectionOfItsOwn(t *testing.T) {
	var conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()

	now := time.Unix(1e9, 0)
	transport := NewTransport()
	transport.now = func() time.Time { return now }
	client := &http.Client{Transport: transport}
	for _, step := range []struct {
		name  string
		after time.Duration
		conns int32
	}{
		{"first", 0, 1},
		{"at once", 0, 1},
		{"soon", maxIdle, 1},
		{"after a sleep", time.Hour, 2},
		{"at once after it", 0, 2},
		{"after the clock was set back", -time.Hour, 3},
	} {
		now = now.Add(step.after)
		resp, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if got := conns.Load(); got != step.conns {
			t.Errorf("%s: %d connections; want %d", step.name, got, step.conns)
		}
	}
}
