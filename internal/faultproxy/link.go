package faultproxy

import (
	"net"
	"sync"
)

// A link is a client's connection with the one to the server that belongs to it.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn
	once           sync.Once
	ended          chan struct{}

	mu   sync.Mutex
	next *armed // what is to happen to the next answer
}

// carry moves what comes from one side to the other until one of them ends.
func (l *link) carry(from, to *net.TCPConn, handle func(chunk []byte, to *net.TCPConn) bool) {
	defer l.end(false)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !l.wait() || n > 0 && !handle(buf[:n], to) {
			return
		}
		if err != nil {
			return
		}
	}
}

// request passes on what the client sent.
func (l *link) request(chunk []byte, to *net.TCPConn) bool {
	fault := l.proxy.take(chunk)
	if fault == nil {
		return write(to, chunk)
	}
	switch fault.At {
	case BeforeRequest:
		return l.happen(fault) && write(to, chunk)
	case MidRequest:
		half := len(chunk) / 2
		return write(to, chunk[:half]) && l.happen(fault) && write(to, chunk[half:])
	}
	l.mu.Lock()
	l.next = fault
	l.mu.Unlock()
	return write(to, chunk)
}

// answer passes on what the server sent.
func (l *link) answer(chunk []byte, to *net.TCPConn) bool {
	l.mu.Lock()
	fault := l.next
	l.next = nil
	l.mu.Unlock()
	if fault == nil {
		return write(to, chunk)
	}
	half := 0
	if fault.At == MidAnswer {
		half = len(chunk) / 2
	}
	return write(to, chunk[:half]) && l.happen(fault) && write(to, chunk[half:])
}

// happen lets the fault happen, and reports whether the connection goes on.
func (l *link) happen(fault *armed) bool {
	if !fault.Hold {
		l.reset()
		close(fault.fired)
		return false
	}
	l.proxy.Hold()
	close(fault.fired)
	return l.wait()
}

// wait returns when data may flow, or false when the connection has ended.
func (l *link) wait() bool {
	select {
	case <-l.proxy.open():
		return true
	case <-l.ended:
		return false
	}
}

func (l *link) reset() { l.end(true) }

// end closes both connections: if hard, the other sides see an error rather than a
// regular end.
func (l *link) end(hard bool) {
	l.once.Do(func() {
		close(l.ended)
		for _, c := range []*net.TCPConn{l.client, l.server} {
			if hard {
				_ = c.SetLinger(0)
			}
			_ = c.Close()
		}
	})
}

func write(to *net.TCPConn, b []byte) bool {
	_, err := to.Write(b)
	return err == nil
}
