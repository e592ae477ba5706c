package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/evertoken/evertoken/internal/faultproxy"
)

// A service is what hosts reach over a network of its own, so that it can be cut
// off by itself. The API's is never cut: its answers are what the promises are about.
type service int

const (
	theEngine service = iota
	theAuthority
	theAPI
	services
)

// A network connects hosts with the services.
type network interface {
	// ip is where a service has to listen.
	ip(s service) string
	// join tells the network where a service listens, before hosts are asked for.
	join(s service, addr string) error
	// addr is where a host reaches a service.
	addr(host int, s service) string
	// command returns a command that runs the program on a host.
	command(host int, program string) *exec.Cmd
	// cut makes the way from a host to a service silent, in both directions, or
	// lets everything through again.
	cut(host int, s service, off bool) error
	// close undoes everything.
	close()
	// String says what hosts are made of.
	String() string
}

// newNetwork returns namespaces where they are allowed, and proxies elsewhere.
func newNetwork(hosts int) network {
	if n, err := newNamespaces(hosts); err == nil {
		return n
	}
	return newProxied(hosts)
}

func newProxied(hosts int) *proxied {
	return &proxied{proxies: make([][services]*faultproxy.Proxy, hosts)}
}

// A proxied network is made of a proxy between each host and each service.
type proxied struct {
	addrs   [services]string
	proxies [][services]*faultproxy.Proxy
}

func (p *proxied) String() string    { return "process groups, each behind proxies that fail" }
func (p *proxied) ip(service) string { return "127.0.0.1" }

func (p *proxied) join(s service, addr string) error {
	p.addrs[s] = addr
	for host := range p.proxies {
		proxy, err := faultproxy.Listen(addr)
		if err != nil {
			return err
		}
		p.proxies[host][s] = proxy
	}
	return nil
}

func (p *proxied) addr(host int, s service) string { return p.proxies[host][s].Addr() }

func (p *proxied) command(_ int, program string) *exec.Cmd { return exec.Command(program) }

func (p *proxied) cut(host int, s service, off bool) error {
	if off {
		p.proxies[host][s].Hold()
	} else {
		p.proxies[host][s].Resume()
	}
	return nil
}

func (p *proxied) close() {
	for _, host := range p.proxies {
		for _, proxy := range host {
			if proxy != nil {
				proxy.Close()
			}
		}
	}
}

// Namespaces are hosts with networks of their own: a link to each service, whose far
// end is taken down to cut it. Packets are then lost as on a broken wire.
type namespaces struct {
	id    int
	hosts int
	addrs [services]string
}

func newNamespaces(hosts int) (*namespaces, error) {
	n := &namespaces{id: os.Getpid(), hosts: hosts}
	if err := n.make(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *namespaces) String() string { return "network namespaces" }

func (n *namespaces) name(host int) string { return fmt.Sprintf("fleet%d-%d", n.id, host) }

// link is this end's name of a host's link; an interface's name has 15 bytes.
func (n *namespaces) link(host int, s service) string {
	return fmt.Sprintf("f%dh%ds%d", n.id%1_000_000, host, s)
}

// subnet is the same for all of a run, and another one for another run beside it.
func (n *namespaces) subnet() string { return fmt.Sprintf("10.%d", 64+n.id%128) }

// ip is an address of the loopback interface, which no cut takes away.
func (n *namespaces) ip(s service) string { return fmt.Sprintf("%s.0.%d", n.subnet(), s+1) }

func (n *namespaces) make() error {
	for s := range services {
		if err := ip("addr", "add", n.ip(s)+"/32", "dev", "lo"); err != nil {
			return err
		}
	}
	for host := range n.hosts {
		if err := errors.Join(ip("netns", "add", n.name(host)), ip("-n", n.name(host), "link", "set", "lo", "up")); err != nil {
			return err
		}
		for s := range services {
			if err := n.connect(host, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *namespaces) connect(host int, s service) error {
	here, there := fmt.Sprintf("%s.%d.%d", n.subnet(), host+1, 4*s+1), fmt.Sprintf("%s.%d.%d", n.subnet(), host+1, 4*s+2)
	peer := fmt.Sprintf("s%d", s)
	for _, args := range [][]string{
		{"link", "add", n.link(host, s), "type", "veth", "peer", "name", peer, "netns", n.name(host)},
		{"addr", "add", here + "/30", "dev", n.link(host, s)},
		{"link", "set", n.link(host, s), "up"},
		{"-n", n.name(host), "addr", "add", there + "/30", "dev", peer},
		{"-n", n.name(host), "link", "set", peer, "up"},
		{"-n", n.name(host), "route", "add", n.ip(s) + "/32", "via", here},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

func (n *namespaces) join(s service, addr string) error { n.addrs[s] = addr; return nil }

func (n *namespaces) addr(_ int, s service) string { return n.addrs[s] }

func (n *namespaces) command(host int, program string) *exec.Cmd {
	return exec.Command("ip", "netns", "exec", n.name(host), program) // which becomes the program
}

func (n *namespaces) cut(host int, s service, off bool) error {
	state := "up"
	if off {
		state = "down"
	}
	return ip("link", "set", n.link(host, s), state)
}

// close removes what there is; making it may have stopped half-way.
func (n *namespaces) close() {
	for host := range n.hosts {
		_ = ip("netns", "del", n.name(host)) // and its links with it
	}
	for s := range services {
		_ = ip("addr", "del", n.ip(s)+"/32", "dev", "lo")
	}
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}
