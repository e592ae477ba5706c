package conformance

import (
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// A relay is the network in front of a server. Its address stays, whatever
// becomes of the server, and it fails when it is told to.
type relay struct {
	t    *testing.T
	addr string

	mu       sync.Mutex // guards what follows
	target   string
	listener net.Listener // nil: connections are refused
	open     map[net.Conn]bool
	passed   chan struct{} // closed when the next request has been passed on
	lost     chan struct{} // not nil: closed when the next answer has been lost

	carrying sync.WaitGroup
}

// newRelay returns a relay that refuses connections.
func newRelay(t *testing.T) *relay {
	t.Helper()
	r := &relay{t: t, addr: "127.0.0.1:" + freePort(t), open: map[net.Conn]bool{}}
	t.Cleanup(func() {
		r.refuse()
		r.carrying.Wait()
	})
	return r
}

// admit passes connections on to a server.
func (r *relay) admit(target string) {
	r.t.Helper()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target, r.listener = target, l
	r.carrying.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.carrying.Go(func() { r.carry(conn) })
		}
	})
}

// admitAgain passes connections on to the same server as before.
func (r *relay) admitAgain() {
	r.t.Helper()
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	r.admit(target)
}

// refuse refuses connections from now on and breaks those there are.
func (r *relay) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		_ = r.listener.Close()
		r.listener = nil
	}
	for conn := range r.open {
		_ = conn.Close()
	}
}

// nextRequest returns a channel that closes when the next request has been passed
// on, as far as the server's socket.
func (r *relay) nextRequest() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed = make(chan struct{})
	return r.passed
}

// loseAnswer makes the connection break on which the next answer comes. The
// channel it returns closes when that has happened.
func (r *relay) loseAnswer() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = make(chan struct{})
	return r.lost
}

// carry carries one connection.
func (r *relay) carry(client net.Conn) {
	defer r.forget(client)
	server, err := net.Dial("tcp", r.remember(client))
	if err != nil {
		return
	}
	defer r.forget(server)
	r.remember(server)
	r.carrying.Go(func() {
		defer func() { _ = server.(*net.TCPConn).CloseWrite() }()
		copyEach(server, client, func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			signalOnce(&r.passed)
			return true
		})
	})
	copyEach(client, server, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return !signalOnce(&r.lost)
	})
}

// copyEach copies until one side ends. After each read, and before the first
// write, it asks whether to go on.
func copyEach(dst io.Writer, src io.Reader, goOn func() bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if !goOn() {
				return
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// signalOnce closes a channel that somebody waits for.
func signalOnce(c *chan struct{}) bool {
	if *c == nil {
		return false
	}
	close(*c)
	*c = nil
	return true
}

func (r *relay) remember(conn net.Conn) (target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[conn] = true
	if r.listener == nil { // refused a moment ago
		_ = conn.Close()
	}
	return r.target
}

func (r *relay) forget(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, conn)
	_ = conn.Close()
}

// portsTried counts the ports that freePort has tried.
var portsTried atomic.Uint32

// freePort returns a port that can be left and taken again: it is below those that
// systems hand out by themselves, and no test gets it twice.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + (os.Getpid()*97+int(portsTried.Add(1)))%8000)
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("there is no free port")
	return ""
}
