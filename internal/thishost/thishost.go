// Package thishost knows which hosts are this machine, where plain HTTP may carry
// secrets (RFC 8252 section 8.3).
package thishost

import (
	"net"
	"strings"
)

// Is reports whether host, without a port, is localhost or a loopback address.
func Is(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
