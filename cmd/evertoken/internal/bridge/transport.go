package bridge

import (
	"net/http"
	"sync/atomic"
	"time"
)

// maxIdle is how long a connection may have been idle that a request is sent on. Servers
// that close idle ones do so after five seconds (Node.js) or more.
const maxIdle = 3 * time.Second

// A Transport sends requests on connections that were in use a moment ago, or on new ones. A
// message of MCP is a POST, which is not sent a second time: on a connection that the server
// has closed meanwhile, or that has not outlived a sleep of the machine, it would be lost.
// Make one with NewTransport. It is safe for concurrent use.
type Transport struct {
	base *http.Transport
	now  func() time.Time
	last atomic.Int64 // when the latest request was sent, in nanoseconds since 1970
}

// NewTransport returns a Transport that is otherwise like http.DefaultTransport.
func NewTransport() *Transport {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		base = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	return &Transport{base: base.Clone(), now: time.Now}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	now := t.now().UnixNano() // by the wall clock: the other one stands still while the machine sleeps
	if idle := time.Duration(now - t.last.Swap(now)); idle < 0 || idle > maxIdle {
		t.base.CloseIdleConnections()
	}
	return t.base.RoundTrip(req)
}
