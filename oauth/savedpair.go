package oauth

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
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
func (t *TokenPair) readForeign(fields map[string]json.RawMessage) {
	if t.IssuedAt.IsZero() {
		t.IssuedAt = savedIssue(fields)
	}
	if t.ExpiresAt.IsZero() {
		t.ExpiresAt = savedEnd(fields, accessOwners, t.IssuedAt)
	}
	if t.RefreshExpiresAt.IsZero() {
		t.RefreshExpiresAt = savedEnd(fields, refreshOwners, t.IssuedAt)
	}
}

// foreignNames gives the members that another program saved the names of RFC 6749, where
// there is none of that name. token is an access token beside a refresh token only.
func foreignNames(fields map[string]json.RawMessage) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		rename(fields, name, savedName(lettersOf(name)))
	}
	if textField(fields, "refresh_token") != "" && textField(fields, "token") != "" {
		rename(fields, "token", "access_token")
	}
}

func rename(fields map[string]json.RawMessage, name, ours string) {
	if _, taken := fields[ours]; ours == "" || taken {
		return
	}
	fields[ours] = fields[name]
	delete(fields, name)
}

// savedIssue returns when a pair came. Where there are several times, the others are of
// something older.
func savedIssue(fields map[string]json.RawMessage) (issued time.Time) {
	for name, raw := range fields {
		if at := savedTime(raw); namesIssue(lettersOf(name)) && at.After(issued) {
			issued = at
		}
	}
	return issued
}

// savedEnd returns the earliest end that is told for a token of one of owners: as a
// time, or as a life since issued if that is known.
func savedEnd(fields map[string]json.RawMessage, owners []string, issued time.Time) (end time.Time) {
	for name, raw := range fields {
		u, isEnd := endWord(name, owners)
		if !isEnd {
			continue
		}
		at := savedTime(raw)
		if life, known := (answer{received: issued}).toldLife(raw, u, false); at.IsZero() && known && !issued.IsZero() {
			at = issued.Add(life)
		}
		if !at.IsZero() && (end.IsZero() || at.Before(end)) {
			end = at
		}
	}
	return end
}

// savedTime reads a time since 1970, in seconds or smaller units, or in words. It can be
// over. Zero means that there is none.
func savedTime(raw json.RawMessage) time.Time {
	raw = timeInside(raw)
	n, isNumber := secondsValue(raw)
	switch {
	case !isNumber:
		return inRange(timeInWords(member.Text(raw))).UTC()
	case n <= int64(maxLifetime/time.Second): // a life
		return time.Time{}
	case n <= maxUnixSeconds:
		return time.Unix(n, 0).UTC()
	case n <= 1000*maxUnixSeconds:
		return time.UnixMilli(n).UTC()
	case n <= 1_000_000*maxUnixSeconds:
		return time.UnixMicro(n).UTC()
	}
	return time.Unix(0, n).UTC()
}
