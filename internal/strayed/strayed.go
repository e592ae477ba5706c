// Package strayed plays a name that leads to another machine, for tests.
package strayed

import (
	"context"
	"net"
	"net/http"
)

// A connection is one to another machine, as its address says.
type connection struct{ net.Conn }

func (connection) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }

// Transport returns a transport for which every name is that of another machine, and what that
// machine gets. It takes one request.
func Transport() (_ *http.Transport, got func() string) {
	ours, theirs := net.Pipe()
	read := make(chan string, 1)
	go func() {
		sent := make([]byte, 4<<10)
		n, _ := theirs.Read(sent)
		read <- string(sent[:n])
		_ = theirs.Close()
	}()
	dial := func(context.Context, string, string) (net.Conn, error) { return connection{ours}, nil }
	return &http.Transport{DialContext: dial}, func() string { _ = ours.Close(); return <-read }
}
