package oauth

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
)

// tokenText returns the token that a member of an answer holds: a string; a number, as
// PHP writes strings of digits when told to look for numbers; or what a list of one, or
// an object of the token's own, has in it.
func tokenText(raw json.RawMessage) string {
	raw = onlyOne(raw)
	if text := member.Text(raw); text != "" {
		return text
	}
	if isDigits(raw) {
		return string(raw)
	}
	if len(raw) == 0 || raw[0] != '{' {
		return ""
	}
	members := member.Object(raw)
	for _, name := range []string{"token", "value"} {
		if text := member.Text(members[name]); text != "" {
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

// illegible reports whether a member holds something that no token can be found in,
// and is not just empty. A refresh token there is not the one that we have.
func illegible(raw json.RawMessage) bool {
	if len(raw) == 0 || raw[0] != '[' && raw[0] != '{' || tokenText(raw) != "" {
		return false
	}
	return len(elements(raw)) > 0 || len(member.Object(raw)) > 0
}

// bareToken returns an access token without space around it, and without the word that
// belongs before it in a header, which some servers put into the answer already.
func bareToken(token string) string {
	token = strings.TrimSpace(token)
	if hasPrefixFold(token, "Bearer ") {
		token = strings.TrimSpace(token[len("Bearer "):])
	}
	return token
}
