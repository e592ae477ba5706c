// Package publicaddr tells addresses of the public internet from those that lead into the
// network where the program runs, or nowhere.
package publicaddr

import (
	"net/netip"

	"github.com/evertoken/evertoken/internal/thishost"
)

// A block is a range of addresses that no public server has.
type block struct {
	prefix netip.Prefix
	kind   string
}

// blocks are the entries of IANA's registries of special-purpose addresses (RFC 6890) that
// are not reachable from everywhere, and what of the others names a relay or no server. The
// narrower come first.
var blocks = []block{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},           // RFC 791: systems connect to themselves
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},              // RFC 1918
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier's"},         // RFC 6598
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},            // RFC 1122
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},       // RFC 3927; clouds give credentials there
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},           // RFC 1918
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},           // RFC 6890
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},      // RFC 5737
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved"},         // RFC 7526
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},          // RFC 1918
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking"},      // RFC 2544
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},   // RFC 5737
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},    // RFC 5737
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},           // RFC 5771
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},    // RFC 919
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},            // RFC 1112
	{netip.MustParsePrefix("168.63.129.16/32"), "platform's own"}, // Azure's, behind a public number
	{netip.MustParsePrefix("::/128"), "unspecified"},              // RFC 4291
	{netip.MustParsePrefix("::1/128"), "loopback"},                // RFC 4291
	{netip.MustParsePrefix("fc00::/7"), "private"},                // RFC 4193
	{netip.MustParsePrefix("fe80::/10"), "link-local"},            // RFC 4291
	{netip.MustParsePrefix("fec0::/10"), "private"},               // RFC 3879
	{netip.MustParsePrefix("ff00::/8"), "multicast"},              // RFC 4291
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},     // RFC 3849
	{netip.MustParsePrefix("3fff::/20"), "documentation"},         // RFC 9637
	{netip.MustParsePrefix("64:ff9b:1::/48"), "private"},          // RFC 8215: a translator of the network's own
	{netip.MustParsePrefix("2001::/23"), "reserved"},              // RFC 2928: Teredo, benchmarking, ORCHID
}

// unicast is all of IPv6 that has been given out for public servers (RFC 4291 section 2.4).
var unicast = netip.MustParsePrefix("2000::/3")

// Kind says what kind of address ip is if no public server can have it, and is empty if one
// can. An IPv4 address within one of IPv6 counts as that: within the prefix of translators
// (RFC 6052, 64:ff9b::/96), of 6to4, or mapped.
func Kind(ip netip.Addr) string {
	switch {
	case !ip.IsValid():
		return "unreadable"
	case ip.Zone() != "":
		return "link-local"
	}
	ip = thishost.Embedded(ip)
	for _, b := range blocks {
		if b.prefix.Contains(ip) {
			return b.kind
		}
	}
	if ip.Is6() && !unicast.Contains(ip) {
		return "reserved"
	}
	return ""
}
