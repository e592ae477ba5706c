package wire

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/lenient"
	"github.com/evertoken/evertoken/internal/member"
)

const (
	// maxNameDepth is how deep members are named: data.session.access_token.
	maxNameDepth = 3
	// maxNames bounds what an error lists.
	maxNames = 20
	// maxNameLength and maxNameDigits tell names from values that a server uses as
	// names, such as tokens and hashes.
	maxNameLength, maxNameDigits = 40, 4
)

// memberNames returns the paths of the members of an answer, sorted, to show what a
// server sends under other names than expected. There is nothing in it but names that
// look like names; values never are.
func memberNames(fields member.Fields) []string {
	var names []string
	walk(fields, "", maxNameDepth, func(path, _ string, _ json.RawMessage) bool {
		names = append(names, path)
		return len(names) < maxNames
	})
	return names
}

// holdsTokens reports whether an answer seems to hold tokens, under whatever names:
// such an answer must not be asked for again, though we cannot read it.
func holdsTokens(fields member.Fields) bool {
	found := false
	walk(fields, "", maxNameDepth, func(_, name string, raw json.RawMessage) bool {
		text := member.Text(raw)
		found = namesToken(name) && member.UsableToken(text) && !strings.Contains(text, " ") || looksLikeJWT(text)
		return !found
	})
	return found
}

// walk calls see for each member to the given depth, in order of names, until it
// returns false. Members whose names look like values are passed over, and so is what
// is in them.
func walk(fields member.Fields, above string, depth int, see func(path, name string, raw json.RawMessage) bool) bool {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !isPlainName(name) {
			continue
		}
		if !see(above+name, name, fields[name]) {
			return false
		}
		if depth > 1 && !walk(childObject(fields[name]), above+name+".", depth-1, see) {
			return false
		}
	}
	return true
}

// childObject returns the members of an object in JSON, of the first in an array, or
// of one that was encoded once more.
func childObject(raw json.RawMessage) member.Fields {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		raw = list[0]
	}
	text := strings.TrimLeft(member.Text(raw), "\ufeff \t\r\n")
	if text == "" {
		return member.Object(raw)
	}
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "ey") { // base64 of it
		return nil
	}
	return lenient.Read([]byte(text), "", true).Members
}

// isPlainName reports whether a member's name can be shown.
func isPlainName(name string) bool {
	digits := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c >= '0' && c <= '9':
			digits++
		case !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-' || c == '.'):
			return false
		}
	}
	return name != "" && len(name) <= maxNameLength && digits <= maxNameDigits
}

// namesToken reports whether a member of this name can hold a token. Some hold
// words about one.
func namesToken(name string) bool {
	name = strings.ToLower(name)
	for _, about := range []string{"type", "error", "message", "description", "expir", "uri", "url", "endpoint", "name", "hint", "csrf", "xsrf"} {
		if strings.Contains(name, about) {
			return false
		}
	}
	return strings.Contains(name, "token") || strings.Contains(name, "jwt")
}

// looksLikeJWT reports whether text is a JWT by its shape, signed or encrypted (RFC
// 7515 section 3.1, RFC 7516 section 3.1).
func looksLikeJWT(text string) bool {
	header, _, _ := strings.Cut(text, ".")
	dots := strings.Count(text, ".")
	return (dots == 2 || dots == 4) && member.JWTPart(header) != nil
}
