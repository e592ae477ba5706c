package oauth

import (
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/internal/publicaddr"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// PublicOnly refuses connections to addresses that no public server has. It is a
// net.Dialer's Control, for programs whose users or tenants name the servers, so that
// no caller makes them ask what is inside of their own network:
//
//	dialer := &net.Dialer{Control: oauth.PublicOnly}
//	transport := &http.Transport{DialContext: dialer.DialContext}
//	client := &http.Client{Transport: transport} // for Config.HTTPClient, or below refresh.Manager.Transport
//
// [PublicTransport] makes such a transport, with a time limit. Refused are loopback,
// private, link-local (where clouds give out credentials), carriers' (RFC 6598), multicast,
// unspecified, documentation and reserved addresses, by IANA's registries of special-purpose
// addresses (RFC 6890); such IPv4 addresses within those of IPv6, mapped, by 6to4 or by a
// translator (RFC 6052); and sockets that are not of TCP or UDP. A translator with a prefix
// of the network's own cannot be told.
//
// It sees the address that is connected to, after the name was resolved and once for each
// address: a name that leads elsewhere the second time is refused then. It sees nothing of
// what a proxy connects to: with one, the proxy has to refuse, and the transport must not take
// one from the environment unasked. Errors match [ErrMisconfigured] and name address and kind.
// It is safe for concurrent use.
func PublicOnly(network, address string, _ syscall.RawConn) error {
	switch network {
	case "tcp4", "tcp6", "tcp", "udp4", "udp6", "udp":
	default:
		return &wire.NotPublic{Address: "of network " + network, Kind: "not on the internet"}
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &wire.NotPublic{Address: "of the connection", Kind: "unreadable"}
	}
	if kind := publicaddr.Kind(at.Addr()); kind != "" {
		return &wire.NotPublic{Address: address, Kind: kind}
	}
	return nil
}

// PublicTransport returns a new http.Transport that connects to public addresses alone, as
// [PublicOnly] tells them, and by no proxy. Connecting takes ten seconds at most, and a TLS
// handshake too; there is no limit for the answer (see Config.HTTPClient). The caller may change
// it before its first use; DialContext and Proxy are what make it what it is.
func PublicTransport() *http.Transport {
	const limit = 10 * time.Second // more than a server needs that people wait for
	dialer := &net.Dialer{Control: PublicOnly, Timeout: limit}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: limit,
		IdleConnTimeout:     90 * time.Second, // as http.DefaultTransport has it
		MaxIdleConns:        100,
		ForceAttemptHTTP2:   true,
	}
}
