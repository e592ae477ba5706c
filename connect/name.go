package connect

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/internal/origin"
	"github.com/evertoken/evertoken/tokenstore"
)

// SessionName returns the name under which a Store has the session of an account with a
// resource, as the resource calls itself, whose tokens are from issuer: the resource's
// address, "from" and the issuer's, and "as" and the account unless that is empty.
//
// Spellings of one address are one name (RFC 3986 section 6.2): the case of scheme and host, a
// host's Unicode and ASCII form, the scheme's own port, the slash of an empty path, characters
// that need no percent-encoding, and the case of those that have it. Fragments and user
// information are left out. What servers may tell apart stays apart: the case of paths, a slash
// at their end, and queries. A name that would be too long for a Store ends with a hash.
func SessionName(resource, issuer, account string) string {
	name := canonical(resource) + " from " + canonical(issuer)
	if account != "" {
		name += " as " + account
	}
	if tokenstore.CheckName(name) == nil {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	const room = 300 // of the 512 bytes that a name has
	return strings.ToValidUTF8(strings.ReplaceAll(name[:min(len(name), room)], "\x00", ""), "") + " " + hex.EncodeToString(sum[:])
}

// canonical returns the address without what does not tell it from others. It has no spaces.
func canonical(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	name := origin.Of(u).String()
	if path := normal(u.EscapedPath()); path != "/" {
		name += path
	}
	if u.RawQuery != "" {
		name += "?" + normal(u.RawQuery)
	}
	return name
}

// normal returns a path or a query with percent-encoding where it is needed, and nowhere else
// (RFC 3986 section 6.2.2.2).
func normal(text string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c, encoded := text[i], false
		if c == '%' && i+2 < len(text) {
			if raw, err := hex.DecodeString(text[i+1 : i+3]); err == nil {
				c, encoded, i = raw[0], true, i+2
			}
		}
		switch {
		case isUnreserved(c), !encoded && c > ' ' && c < 0x7f:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

// isUnreserved reports whether c means the same with and without percent-encoding (RFC 3986
// section 2.3).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// metadataOf returns the address of an issuer's metadata, if the issuer is not one already. By it
// a server is found that spells its issuer with a slash at the end where the API does not, or the
// other way round, as some do: the address is the same (RFC 8414 section 3.1).
func metadataOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || strings.Contains(u.Path, "/.well-known/") {
		return issuer
	}
	return u.Scheme + "://" + u.Host + "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.EscapedPath(), "/")
}
