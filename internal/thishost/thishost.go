// Package thishost knows which hosts are this machine, where plain HTTP may carry
// secrets (RFC 8252 section 8.3), and where a server elsewhere has no business to send us.
package thishost

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/evertoken/evertoken/internal/origin"
)

// Is reports whether host, without a port, is localhost or a loopback address. An
// address with a zone is not. It allocates nothing if the answer is yes.
func Is(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback()
}

// Direct reports whether a request to host, without a port, stays on this machine: Is, but for
// localhost in another case. net/http sends plain HTTP to LOCALHOST to the proxy that the
// environment names, and only to localhost itself.
func Direct(host string) bool {
	return host == "localhost" || !strings.EqualFold(host, "localhost") && Is(host)
}

// names are those of this machine in the hosts files that systems come with.
var names = []string{
	"localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6",
	"ip6-localhost", "ip6-loopback", "loopback", "kubernetes.docker.internal",
}

// MayBe reports whether host, without a port, leads to this machine in any spelling that
// something on the way may understand: all that Is says yes to; names below localhost (RFC
// 6761 section 6.3); the unspecified addresses, to which systems connect as to loopback; IPv4
// addresses in decimal, octal or hexadecimal numbers and with fewer than four of them, as the
// system's resolver reads them; and such addresses within those of IPv6. It says nothing
// about names that the DNS knows: for those there is oauth.PublicOnly.
func MayBe(host string) bool {
	host = origin.Host(host)
	host = strings.TrimRight(host, ".")
	if strings.HasSuffix(host, ".localhost") || slices.Contains(names, host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		var numbers bool
		if ip, numbers = byNumbers(host); !numbers {
			return false
		}
	}
	ip = Embedded(ip.WithZone(""))
	return ip.IsLoopback() || ip.IsUnspecified() || ip.Is4() && ip.As4()[0] == 0
}

var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	v4In6 = netip.MustParsePrefix("::/96")        // RFC 4291 section 2.5.5.1, out of use
	sixTo = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// Embedded returns the IPv4 address that packets to ip go to if it is an address of IPv6 that
// says so, and ip otherwise.
func Embedded(ip netip.Addr) netip.Addr {
	ip = ip.Unmap()
	if ip.Is4() {
		return ip
	}
	b := ip.As16()
	switch {
	case nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:]))
	case v4In6.Contains(ip) && binary.BigEndian.Uint32(b[12:]) > 1: // not :: and ::1
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixTo.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

// byNumbers reads an IPv4 address as inet_aton does: up to four numbers, decimal, octal after
// a 0 or hexadecimal after 0x, the last of which fills what is left.
func byNumbers(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var address uint64
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		n, err := strconv.ParseUint(octal(part), 0, bits)
		if err != nil || strings.ContainsAny(part, "_bBoO+") && !strings.HasPrefix(part, "0x") {
			return netip.Addr{}, false
		}
		address = address<<bits | n
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(address))
	return netip.AddrFrom4(b), true
}

// octal returns a number with the zeros that mean octal reduced to one, as Go writes it too.
func octal(part string) string {
	if len(part) > 1 && part[0] == '0' && part[1] != 'x' && part[1] != 'X' {
		return "0" + strings.TrimLeft(part, "0")
	}
	return part
}
