package heldport_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/internal/heldport"
)

func TestAHeldPortIsItsServersOnly(t *testing.T) {
	any, err := heldport.Hold("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := heldport.Hold(any.Addr) // before it is free, and another program's
	if err != nil || p.Addr != any.Addr {
		t.Fatalf("got %v, %v; want %v", p, err, any.Addr)
	}
	any.Release()
	defer p.Release()

	if c, err := net.Dial("tcp", p.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, %v; want ECONNREFUSED", c, err)
	}
	for range 3 { // the server, time and again
		l, err := p.Listen()
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		_ = l.Close()
	}
	// What a connection is given is looked up as this is: without sharing.
	alone := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 0) })
	}}
	if l, err := alone.Listen(context.Background(), "tcp", p.Addr); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listen without sharing: %v, %v; want EADDRINUSE", l, err)
	}
}

func TestOnlyAnIPv4AddressIsHeld(t *testing.T) {
	for _, addr := range []string{"", "127.0.0.1", "localhost:1", "[::1]:1"} {
		if _, err := heldport.Hold(addr); err == nil {
			t.Errorf("%q is held", addr)
		}
	}
}
