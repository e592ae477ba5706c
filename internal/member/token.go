package member

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Token returns the token that a member of an answer holds: a string; a number, as
// PHP writes strings of digits when told to look for numbers; or what a list of one, or
// an object of the token's own, has in it.
func Token(raw json.RawMessage) string {
	raw = onlyOne(raw)
	if text := Text(raw); text != "" {
		return text
	}
	if isDigits(raw) {
		return string(raw)
	}
	if len(raw) == 0 || raw[0] != '{' {
		return ""
	}
	members := Object(raw)
	for _, name := range []string{"token", "value"} {
		if text := Text(members[name]); text != "" {
			return text
		}
	}
	return ""
}

// onlyOne returns the element of a list that has one, else raw. Servers that keep
// answers like forms, with a list for each name, send such lists.
func onlyOne(raw json.RawMessage) json.RawMessage {
	if list := elements(raw); len(list) == 1 {
		return list[0]
	}
	return raw
}

// elements returns those of an array, or nil.
func elements(raw json.RawMessage) []json.RawMessage {
	if len(raw) == 0 || raw[0] != '[' {
		return nil
	}
	return decodeList(raw)
}

func decodeList(raw json.RawMessage) (list []json.RawMessage) {
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// isDigits reports whether raw is a number that can be a token: shorter ones are counts
// and codes.
func isDigits(raw json.RawMessage) bool {
	return len(raw) >= 8 && len(bytes.Trim(raw, "0123456789")) == 0
}

// Illegible reports whether a member holds something that no token can be found in,
// and is not just empty. A refresh token there is not the one that we have.
func Illegible(raw json.RawMessage) bool {
	if len(raw) == 0 || raw[0] != '[' && raw[0] != '{' || Token(raw) != "" {
		return false
	}
	return len(elements(raw)) > 0 || len(Object(raw)) > 0
}

// BareToken returns an access token without space around it, and without the word that
// belongs before it in a header, which some servers put into the answer already.
func BareToken(token string) string {
	token = strings.TrimSpace(token)
	if HasPrefixFold(token, "Bearer ") {
		token = strings.TrimSpace(token[len("Bearer "):])
	}
	return token
}

// UsableToken reports whether a token can travel in a header: printable ASCII
// (RFC 6749 appendix A.12).
func UsableToken(token string) bool {
	for i := range len(token) {
		if token[i] < 0x20 || token[i] > 0x7e {
			return false
		}
	}
	return strings.TrimSpace(token) != ""
}

// HasPrefixFold is strings.HasPrefix in whatever case.
func HasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
