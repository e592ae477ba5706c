package outside

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Host returns a host as it may be shown, with its port if it has one: in ASCII, names in
// other scripts as DNS has them (xn--, RFC 3490), so that none looks like another. It is
// for hosts of a url.URL, which have their percent escapes decoded. What can be no host is
// escaped as Show does.
func Host(host string) string {
	if ascii, ok := asciiHost(host); ok {
		return ascii
	}
	return Show(host)
}

// Address returns an http or https address as it may be shown, and as browsers take it: in
// ASCII, with the host as Host has it and everything behind it percent-encoded. It reports
// false for any other text, and for an address with user information, which is read as a
// host.
func Address(address string) (string, bool) {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", false
	}
	host, ok := asciiHost(u.Host)
	if !ok {
		return "", false
	}
	u.Host = host
	return percentEncoded(u.String()), true
}

// ShowAddress returns an address as Address does, and other text as Show does.
func ShowAddress(address string) string {
	if shown, ok := Address(address); ok {
		return shown
	}
	return Show(address)
}

// percentEncoded escapes what is not printable ASCII, as url.URL leaves it in a query.
func percentEncoded(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// maxHost is more than a name can have in UTF-8 that has 253 octets in DNS, and maxLabel
// what DNS allows a label (RFC 1035 section 2.3.4), which bounds the work.
const (
	maxHost  = 1 << 10
	maxLabel = 63
)

// asciiHost returns a host, with its port if it has one, in ASCII, and whether it can be a
// host at all.
func asciiHost(host string) (string, bool) {
	name, port := host, ""
	if end := strings.LastIndexByte(host, ':'); end > strings.LastIndexByte(host, ']') {
		name, port = host[:end], host[end:]
	}
	if strings.Trim(port, ":0123456789") != "" || name == "" || len(host) > maxHost {
		return "", false
	}
	if address, bracketed := strings.CutPrefix(name, "["); bracketed {
		// A zone is the name of an interface here, and has no place in an address that
		// came from elsewhere.
		ip, err := netip.ParseAddr(strings.TrimSuffix(address, "]"))
		return host, err == nil && ip.Zone() == "" && strings.HasSuffix(name, "]")
	}
	labels := strings.FieldsFunc(name, isDot)
	for i, label := range labels {
		ascii, ok := asciiLabel(label)
		if !ok {
			return "", false
		}
		labels[i] = ascii
	}
	if strings.HasSuffix(name, ".") { // the root, which makes it another name
		labels = append(labels, "")
	}
	return strings.Join(labels, ".") + port, len(labels) > 0 && labels[0] != ""
}

// isDot reports whether browsers take a character for the dot of a name (RFC 3490
// section 3.1).
func isDot(r rune) bool { return r == '.' || r == '\u3002' || r == '\uff0e' || r == '\uff61' }

// asciiLabel returns a label of a name as DNS has it. Unlike UTS 46 it maps no letters but
// capitals, which is enough to show that a label is not what it looks like.
func asciiLabel(label string) (string, bool) {
	if !utf8.ValidString(label) || utf8.RuneCountInString(label) > maxLabel {
		return "", false
	}
	ascii := true
	for _, r := range label {
		switch {
		case r == '-', r == '_', '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		case r > unicode.MaxASCII && plain(r):
			ascii = false
		default:
			return "", false
		}
	}
	label = strings.ToLower(label)
	if ascii {
		return label, true
	}
	label, err := idna.Punycode.ToASCII(label)
	return label, err == nil
}
