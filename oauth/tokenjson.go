package oauth

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
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
	foreign := fields.Time("issued_at").IsZero() // MarshalJSON writes what an answer was sent at
	if foreign {
		foreignNames(fields)
	}
	p := TokenPair{
		AccessToken:      fields.Text("access_token"),
		RefreshToken:     fields.Text("refresh_token"),
		TokenType:        fields.Text("token_type"),
		ExpiresAt:        fields.Time("expires_at"),
		IssuedAt:         fields.Time("issued_at"),
		RefreshAt:        fields.Time("refresh_at"),
		RefreshExpiresAt: fields.Time("refresh_expires_at"),
		Scope:            fields.Scope(),
		IDToken:          fields.Text("id_token"),
		GrantType:        fields.Text("grant_type"),
	}
	if foreign {
		p.readForeign(fields)
	}
	p.ExpiresIn, _ = fields.Seconds("expires_in")
	if skew, _ := fields.Seconds("clock_skew"); lifetime.Believable(max(skew, -skew)) {
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
	p.Extra = fields.Without(storedNames)
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
