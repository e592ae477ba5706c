package tokenstore

import (
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/evertoken/evertoken/oauth"
)

// asStored returns rec with the given version as decode would return it after
// encode, a copy that shares nothing with rec. A record that neither of them
// changes in more than its times, as nearly all are, is copied; for others they are
// asked.
func asStored(rec *Record, version uint64) (*Record, error) {
	if !rec.plain() || version == 0 || version > maxVersion {
		data, err := encode(rec, version)
		if err != nil {
			return nil, err
		}
		return decode(data)
	}
	c := rec.Clone()
	c.Version = version
	c.NotBefore, c.RefreshedAt = c.NotBefore.Round(0).UTC(), c.RefreshedAt.Round(0).UTC()
	for _, m := range []*Mark{c.Pending, c.Refused, c.Dead} {
		if m != nil {
			m.At, m.Last = m.At.Round(0).UTC(), m.Last.Round(0).UTC()
		}
	}
	if t := c.Tokens; t != nil {
		for _, at := range []*time.Time{&t.IssuedAt, &t.ExpiresAt, &t.RefreshAt, &t.RefreshExpiresAt} {
			*at = at.Round(0).UTC()
		}
		t.IDTokenError = nil
	}
	return c, nil
}

// plain reports whether JSON changes nothing of the record but what asStored
// changes. It may be false for one that it would leave alone too.
func (r *Record) plain() bool {
	return r.Unknown == nil && r.plainMarks() && plainTokens(r.Tokens) &&
		plainTime(r.NotBefore) && plainTime(r.RefreshedAt) && utf8.ValidString(r.RefreshedBy) &&
		(r.Ancestors == nil || len(r.Ancestors) > 0 && !slices.ContainsFunc(r.Ancestors, notUTF8))
}

func (r *Record) plainMarks() bool {
	for _, m := range []*Mark{r.Pending, r.Refused, r.Dead} {
		if m != nil && !(plainTime(m.At) && plainTime(m.Last) && utf8.ValidString(m.Token) && utf8.ValidString(m.Code) && utf8.ValidString(m.By)) {
			return false
		}
	}
	return true
}

func plainTokens(t *oauth.TokenPair) bool {
	if t == nil {
		return true
	}
	if t.AccessToken == "" && t.RefreshToken == "" || !t.DPoPKey.IsZero() || t.Skew%time.Second != 0 || t.Skew.Abs() > 24*time.Hour || t.Extra != nil && len(t.Extra) == 0 {
		return false
	}
	for _, s := range [...]string{t.AccessToken, t.RefreshToken, t.IDToken, t.TokenType, t.Scope, t.GrantType} {
		if !utf8.ValidString(s) {
			return false
		}
	}
	for name, raw := range t.Extra {
		if !plainName(name) || !plainValue(raw) {
			return false
		}
	}
	return plainTime(t.IssuedAt) && plainTime(t.ExpiresAt) && plainTime(t.RefreshAt) && plainTime(t.RefreshExpiresAt)
}

// plainTime leaves room for time zones at both ends of what RFC 3339 can write.
func plainTime(t time.Time) bool {
	return t.IsZero() || t.Year() > 1 && t.Year() < 9999
}

// plainName reports whether a field has a name that no field of a pair has.
func plainName(name string) bool {
	return utf8.ValidString(name) && !slices.Contains(tokenNames, name)
}

// tokenNames are the fields of a pair in JSON, which win over extra ones.
var tokenNames = []string{
	"access_token", "refresh_token", "token_type", "expires_in", "expires_at",
	"issued_at", "refresh_at", "refresh_expires_at", "scope", "id_token", "grant_type", "clock_skew", "dpop_key",
	"expiry", // read for expires_at
}

// plainValue reports whether raw is JSON that encoding/json would write so:
// without space, and without what it escapes for the sake of HTML.
func plainValue(raw json.RawMessage) bool {
	for _, c := range raw {
		if c <= ' ' || c > '~' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return json.Valid(raw)
}

func notUTF8(s string) bool { return !utf8.ValidString(s) }
