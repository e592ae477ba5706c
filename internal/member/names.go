package member

import (
	"maps"
	"slices"
	"strings"
)

// ResponseNames are the members of a token response (RFC 6749 section 5.1).
var ResponseNames = []string{"access_token", "refresh_token", "token_type", "expires_in", "scope", "id_token"}

// caselessNames are found in whatever case a server writes them, as by x/oauth2.
var caselessNames = append(ResponseNames[:len(ResponseNames):len(ResponseNames)],
	"error", "error_description", "device_code", "user_code", "verification_uri", "verification_url",
	"verification_uri_complete", "interval", "client_id", "client_secret", "request_uri")

// InOurCase renames members whose names differ from ours by case and space only. The
// exact name wins over others unless its value is null, and of those the first in byte
// order: some rule has to be.
func InOurCase(members Fields) Fields {
	odd := false
	for name := range members {
		odd = odd || ourCase(name) != name
	}
	if !odd {
		return members
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		ours := ourCase(name)
		value, taken := members[ours]
		if taken && string(value) != "null" || !slices.Contains(caselessNames, ours) {
			continue
		}
		members[ours] = members[name]
		delete(members, name)
	}
	return members
}

func ourCase(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// Letters returns the letters of a name, in lower case.
func Letters(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, name)
}
