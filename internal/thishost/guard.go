package thishost

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
)

// ErrStrayed means that the name localhost leads to another machine.
var ErrStrayed = errors.New("localhost is another machine here, by the DNS, and plain HTTP is for this one: name 127.0.0.1 or [::1], or put localhost into the hosts file")

// A Guard keeps a request by plain HTTP to the name localhost on this machine. Where no hosts
// file has the name, as in a container without one, Go asks the DNS, whose answer says where it
// leads.
type Guard struct{ strayed atomic.Bool }

// Guarding returns a guard for a request to u; nil if it needs none.
func Guarding(u *url.URL) *Guard {
	if u.Scheme != "http" || u.Hostname() != "localhost" {
		return nil
	}
	return new(Guard)
}

// Of returns req as one whose connection is closed, before anything is sent on it, if it is to
// another machine. Transports that report no httptrace.ClientTrace events are not guarded.
func (g *Guard) Of(req *http.Request) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			if got.Conn != nil && isElsewhere(got.Conn.RemoteAddr()) {
				g.strayed.Store(true)
				_ = got.Conn.Close()
			}
		},
	}))
}

// Strayed reports whether the request was kept from another machine.
func (g *Guard) Strayed() bool { return g != nil && g.strayed.Load() }

// isElsewhere reports whether an address is surely that of another machine. Those of sockets
// and pipes that a program dials itself are not, and tunnels have one that says nothing.
func isElsewhere(address net.Addr) bool {
	tcp, is := address.(*net.TCPAddr)
	return is && len(tcp.IP) > 0 && !tcp.IP.IsLoopback() && !tcp.IP.IsUnspecified()
}
