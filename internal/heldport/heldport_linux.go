package heldport

import (
	"fmt"
	"net/netip"
	"syscall"
)

// hold binds an address without listening. Two sockets that may both share an address
// can have it while not both of them listen, and what is bound is handed to no other.
func hold(addr netip.AddrPort) (*Port, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("hold %v: %w", addr, err)
	}
	release := func() { _ = syscall.Close(fd) }
	bound, err := bind(fd, addr)
	if err != nil {
		release()
		return nil, fmt.Errorf("hold %v: %w", addr, err)
	}
	return &Port{Addr: bound.String(), release: release}, nil
}

func bind(fd int, addr netip.AddrPort) (bound netip.AddrPort, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return bound, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return bound, err
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		return bound, err
	}
	is := sa.(*syscall.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(is.Addr), uint16(is.Port)), nil
}
