package wire

import "strings"

// IsJWT reports whether a text can be a signed JWT (RFC 7515 section 7.1), so that nothing else
// that is secret, such as a password from the wrong place, is sent as one.
func IsJWT(text string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	return strings.Count(text, ".") == 2 && strings.TrimLeft(text, alphabet) == ""
}
