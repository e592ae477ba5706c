// Package thishost knows which hosts are this machine, where plain HTTP may carry
// secrets (RFC 8252 section 8.3).
package thishost

import (
	"net/netip"
	"strings"
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
