// Package heldport keeps an address for a test's server while that is down. A port
// without a listener is handed to the next connection or listener that asks for
// any, and a server that comes back finds it taken.
package heldport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// A Port is an address that is kept. On systems other than Linux it is a free one alone.
type Port struct {
	// Addr is the IPv4 address with its port. Connections to it are refused while there is
	// no listener.
	Addr string

	release func()
}

// Hold keeps addr, an IPv4 address with a port; 0 stands for any that is free.
func Hold(addr string) (*Port, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil || !a.Addr().Is4() {
		return nil, fmt.Errorf("got %q, want an IPv4 address with a port", addr)
	}
	return retried(func() (*Port, error) { return hold(a) })
}

// Listen listens at p, of which there can be one listener at a time.
func (p *Port) Listen() (net.Listener, error) {
	return retried(func() (net.Listener, error) {
		return new(net.ListenConfig).Listen(context.Background(), "tcp4", p.Addr)
	})
}

// Release gives p up.
func (p *Port) Release() { p.release() }

// retried calls f again for half a minute if the address is in use: a process that is just
// being started has the listeners of this one until it runs its own program, closed ones
// too, and on a busy machine that takes seconds.
func retried[T any](f func() (T, error)) (T, error) {
	for range 1500 {
		if v, err := f(); !errors.Is(err, syscall.EADDRINUSE) {
			return v, err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return f()
}
