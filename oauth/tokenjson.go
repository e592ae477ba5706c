package oauth

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// storedPair is the JSON form of a TokenPair: the field names of RFC 6749
// section 5.1, and absolute times beside them.
type storedPair struct {
	AccessToken      string     `json:"access_token"`
	RefreshToken     string     `json:"refresh_token,omitempty"`
	TokenType        string     `json:"token_type,omitempty"`
	ExpiresIn        int64      `json:"expires_in,omitempty"`
	ExpiresAt        *time.Time `json:"expires_at,omitempty"`
	IssuedAt         *time.Time `json:"issued_at,omitempty"`
	RefreshAt        *time.Time `json:"refresh_at,omitempty"`
	RefreshExpiresAt *time.Time `json:"refresh_expires_at,omitempty"`
	Scope            string     `json:"scope,omitempty"`
	IDToken          string     `json:"id_token,omitempty"`
	GrantType        string     `json:"grant_type,omitempty"`
	ClockSkew        int64      `json:"clock_skew,omitempty"` // seconds
	DPoPKey          DPoPKey    `json:"dpop_key,omitzero"`
}

var storedNames = []string{
	"access_token", "refresh_token", "token_type", "expires_in", "expires_at",
	"issued_at", "refresh_at", "refresh_expires_at", "scope", "id_token", "grant_type", "clock_skew", "dpop_key",
	"expiry", // x/oauth2's expires_at, which is read and not written
}

// MarshalJSON writes the pair for storage, tokens included: one object with the
// fields of RFC 6749, the absolute times in RFC 3339, and Extra beside them.
func (t TokenPair) MarshalJSON() ([]byte, error) {
	known, err := json.Marshal(storedPair{
		AccessToken:      t.AccessToken,
		RefreshToken:     t.RefreshToken,
		TokenType:        t.TokenType,
		ExpiresIn:        t.ExpiresIn,
		ExpiresAt:        timeOrNil(t.ExpiresAt),
		IssuedAt:         timeOrNil(t.IssuedAt),
		RefreshAt:        timeOrNil(t.RefreshAt),
		RefreshExpiresAt: timeOrNil(t.RefreshExpiresAt),
		Scope:            t.Scope,
		IDToken:          t.IDToken,
		GrantType:        t.GrantType,
		ClockSkew:        int64(t.Skew / time.Second),
		DPoPKey:          t.DPoPKey,
	})
	if err != nil || len(t.Extra) == 0 {
		return known, err
	}
	fields := make(map[string]json.RawMessage, len(t.Extra)+len(storedNames))
	for k, v := range t.Extra {
		fields[k] = v
	}
	for _, k := range storedNames {
		delete(fields, k) // a field of ours cannot be shadowed by an extra one
	}
	if err := json.Unmarshal(known, &fields); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// UnmarshalJSON reads what MarshalJSON wrote, and pairs that another program saved: tokens
// of x/oauth2 in JSON, token responses, and the like in other spellings, with the end in
// whatever notation (expiry, expiresAt or expiry_date, seconds or milliseconds since 1970,
// or words). A life such as expires_in tells the end only beside the time when the pair
// came (created_at and the like). A field of an unexpected type is ignored rather than
// fatal. Fields it does not know go to Extra. Without an access token it fails, naming no content, and so
// it does with a DPoP key that it cannot read: to go on without would lose it.
func (t *TokenPair) UnmarshalJSON(data []byte) error {
	fields := member.Object(data)
	if fields == nil {
		return errors.New("oauth: stored token pair is not a JSON object")
	}
	foreign := timeField(fields, "issued_at").IsZero() // MarshalJSON writes what an answer was sent at
	if foreign {
		foreignNames(fields)
	}
	p := TokenPair{
		AccessToken:      textField(fields, "access_token"),
		RefreshToken:     textField(fields, "refresh_token"),
		TokenType:        textField(fields, "token_type"),
		ExpiresAt:        timeField(fields, "expires_at"),
		IssuedAt:         timeField(fields, "issued_at"),
		RefreshAt:        timeField(fields, "refresh_at"),
		RefreshExpiresAt: timeField(fields, "refresh_expires_at"),
		Scope:            scopeField(fields),
		IDToken:          textField(fields, "id_token"),
		GrantType:        textField(fields, "grant_type"),
	}
	if foreign {
		p.readForeign(fields)
	}
	p.ExpiresIn, _ = secondsField(fields, "expires_in")
	if skew, _ := secondsField(fields, "clock_skew"); believable(max(skew, -skew)) {
		p.Skew = time.Duration(skew) * time.Second
	}
	if p.AccessToken == "" && p.RefreshToken == "" {
		return errors.New("oauth: stored token pair has no token")
	}
	if raw, found := fields["dpop_key"]; found {
		if err := p.DPoPKey.UnmarshalJSON(raw); err != nil {
			return err
		}
	}
	p.Extra = without(fields, storedNames)
	*t = p
	return nil
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.Round(0).UTC()
	return &t
}

// without returns the fields not named in known, or nil if there are none. They
// have memory of their own: they are kept, and what they were read from is not.
func without(fields map[string]json.RawMessage, known []string) map[string]json.RawMessage {
	for _, k := range known {
		delete(fields, k)
	}
	if len(fields) == 0 {
		return nil
	}
	for k, v := range fields {
		fields[k] = bytes.Clone(v)
	}
	return fields
}

// textField returns a string field, or "" if it is absent or of another type.
func textField(fields map[string]json.RawMessage, name string) string {
	return member.Text(fields[name])
}

// scopeField reads scope as the space-separated string of RFC 6749 section 3.3
// or as the array of strings that some servers send.
func scopeField(fields map[string]json.RawMessage) string {
	if s := textField(fields, "scope"); s != "" {
		return s
	}
	raw, found := fields["scope"]
	var list []string
	if !found || json.Unmarshal(raw, &list) != nil {
		return ""
	}
	return strings.Join(list, " ")
}

func timeField(fields map[string]json.RawMessage, name string) time.Time {
	var t time.Time
	if raw, found := fields[name]; !found || json.Unmarshal(raw, &t) != nil {
		return time.Time{}
	}
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return time.Time{} // an offset can lead where no time can be written
	}
	return t
}

// secondsField reads a number of seconds, as secondsValue does. It reports false
// when the field is absent or not a number.
func secondsField(fields map[string]json.RawMessage, name string) (int64, bool) {
	raw, found := fields[name]
	if !found {
		return 0, false
	}
	return secondsValue(raw)
}

// secondsValue reads an integer, a float, either of them as a string, or a list of one
// such. Fractions are dropped, values beyond int64 saturate. It reports false for
// anything else.
func secondsValue(raw json.RawMessage) (int64, bool) {
	raw = onlyOne(raw)
	text := strings.TrimSpace(cmp.Or(member.Text(raw), string(raw)))
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if (err != nil && !errors.Is(err, strconv.ErrRange)) || math.IsNaN(f) {
		return 0, false
	}
	switch {
	case f >= math.MaxInt64:
		return math.MaxInt64, true
	case f <= math.MinInt64:
		return math.MinInt64, true
	}
	return int64(f), true
}
