package oauth

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
)

// Other programs save tokens under names of their own and tell the end in other words:
// x/oauth2 (expiry), google-auth (token, expiry_date), programs in JavaScript (accessToken,
// expiresAt in milliseconds), and those that keep the answer as it came, with the time
// when it did (created_at). What MarshalJSON wrote is not read so: there such members
// are Extra, and may be from an answer long ago.

// savedName returns the name of RFC 6749 for one of another program's, in letters, or "".
func savedName(letters string) string {
	switch letters {
	case "accesstoken":
		return "access_token"
	case "refreshtoken":
		return "refresh_token"
	case "tokentype":
		return "token_type"
	case "idtoken":
		return "id_token"
	case "scopes":
		return "scope"
	case "expiresin":
		return "expires_in"
	}
	return ""
}

// namesIssue reports whether other programs call the time so when a pair came, in
// letters.
func namesIssue(letters string) bool {
	switch strings.TrimPrefix(letters, "token") {
	case "issuedat", "createdat", "obtainedat", "receivedat", "acquiredat", "fetchedat":
		return true
	}
	return false
}

// readForeign completes t with what another program has saved about it.
func (t *TokenPair) readForeign(fields member.Fields) {
	if t.IssuedAt.IsZero() {
		t.IssuedAt = savedIssue(fields)
	}
	if t.ExpiresAt.IsZero() {
		t.ExpiresAt = lifetime.SavedEnd(fields, lifetime.AccessOwners, t.IssuedAt)
	}
	if t.RefreshExpiresAt.IsZero() {
		t.RefreshExpiresAt = lifetime.SavedEnd(fields, lifetime.RefreshOwners, t.IssuedAt)
	}
}

// foreignNames gives the members that another program saved the names of RFC 6749, where
// there is none of that name. token is an access token beside a refresh token only.
func foreignNames(fields member.Fields) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		rename(fields, name, savedName(member.Letters(name)))
	}
	if fields.Text("refresh_token") != "" && fields.Text("token") != "" {
		rename(fields, "token", "access_token")
	}
}

func rename(fields member.Fields, name, ours string) {
	if _, taken := fields[ours]; ours == "" || taken {
		return
	}
	fields[ours] = fields[name]
	delete(fields, name)
}

// savedIssue returns when a pair came. Where there are several times, the others are of
// something older.
func savedIssue(fields member.Fields) (issued time.Time) {
	for name, raw := range fields {
		if at := lifetime.SavedTime(raw); namesIssue(member.Letters(name)) && at.After(issued) {
			issued = at
		}
	}
	return issued
}
