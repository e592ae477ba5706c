// Package faultproxy is a TCP proxy that fails on request. Tests put it between
// a client and a real server, and have the connection break in a moment of their
// choice: before a request arrives, in its middle, or when it was carried out and
// the answer is on its way.
//
// It knows no protocol. A request is what the client sends at once, and found by
// bytes that are in it; the answer is what the server sends after it.
package faultproxy

import (
	"bytes"
	"net"
	"sync"
)

// A Point says when a [Fault] happens.
type Point int

const (
	// BeforeRequest: the server gets nothing of the request.
	BeforeRequest Point = iota
	// MidRequest: the server gets the first half of it.
	MidRequest
	// BeforeAnswer: the server has begun to answer, and the client gets nothing of it.
	BeforeAnswer
	// MidAnswer: the client gets the first half of it.
	MidAnswer
)

// A Fault is one thing that goes wrong.
type Fault struct {
	// Match is what a request contains that the fault is for. Empty matches any.
	Match string
	// At is when it happens.
	At Point
	// Hold calls [Proxy.Hold] in that moment; after [Proxy.Resume] the connection
	// goes on as if nothing had been. Otherwise it is reset.
	Hold bool
}

// A Proxy stands before a server. Its methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string
	done     sync.WaitGroup

	mu     sync.Mutex // guards what follows; never held across I/O
	down   bool
	closed bool
	conns  map[*link]bool
	armed  []*armed
	gate   chan struct{} // closed when data may flow
}

type armed struct {
	Fault
	fired chan struct{}
}

// Listen starts a proxy before the server at target, on a free port of the
// loopback interface. Close ends it.
func Listen(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	open := make(chan struct{})
	close(open)
	p := &Proxy{listener: listener, target: target, conns: make(map[*link]bool), gate: open}
	p.done.Go(p.accept)
	return p, nil
}

// Addr returns where clients connect to, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends the proxy and all its connections, and waits for them.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Resume()
	p.Cut()
	p.done.Wait()
}

// Arm has the fault happen once, to the first request from now on that it is for.
// The channel is closed when it does. Several may be armed.
func (p *Proxy) Arm(f Fault) (fired <-chan struct{}) {
	a := &armed{f, make(chan struct{})}
	p.mu.Lock()
	p.armed = append(p.armed, a)
	p.mu.Unlock()
	return a.fired
}

// Cut resets all connections. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.conns {
		l.reset()
	}
}

// SetDown resets all connections, also those to come, until SetDown(false).
func (p *Proxy) SetDown(down bool) {
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	if down {
		p.Cut()
	}
}

// Hold lets all connections stand still, as a network does that has lost its way:
// nothing arrives in either direction, and nothing fails.
func (p *Proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
		p.gate = make(chan struct{})
	default:
	}
}

// Resume ends every standstill.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.SetLinger(0)
		_ = client.Close()
		return
	}
	l := &link{proxy: p, client: client, server: server.(*net.TCPConn), ended: make(chan struct{})}
	if !p.add(l) {
		l.reset()
		return
	}
	p.done.Go(func() { l.carry(l.server, l.client, l.answer) })
	l.carry(l.client, l.server, l.request)
	p.mu.Lock()
	delete(p.conns, l)
	p.mu.Unlock()
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || p.closed {
		return false
	}
	p.conns[l] = true
	return true
}

// take removes the fault that is for a request and returns it, or nil.
func (p *Proxy) take(request []byte) *armed {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, a := range p.armed {
		if bytes.Contains(request, []byte(a.Match)) {
			p.armed = append(p.armed[:i:i], p.armed[i+1:]...)
			return a
		}
	}
	return nil
}

func (p *Proxy) open() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gate
}
