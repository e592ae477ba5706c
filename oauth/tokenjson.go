package oauth

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
)

// storedFields are what is stored of a TokenPair, by the names in JSON: those of RFC 6749
// section 5.1, and absolute times beside them. Whatever is stored of a pair is here, and
// listed nowhere else.
var storedFields = []struct {
	name string
	of   func(*TokenPair) any // a pointer to the field
}{
	{"access_token", func(t *TokenPair) any { return &t.AccessToken }},
	{"refresh_token", func(t *TokenPair) any { return &t.RefreshToken }},
	{"token_type", func(t *TokenPair) any { return &t.TokenType }},
	{"expires_in", func(t *TokenPair) any { return &t.ExpiresIn }},
	{"expires_at", func(t *TokenPair) any { return &t.ExpiresAt }},
	{"issued_at", func(t *TokenPair) any { return &t.IssuedAt }},
	{"refresh_at", func(t *TokenPair) any { return &t.RefreshAt }},
	{"refresh_expires_at", func(t *TokenPair) any { return &t.RefreshExpiresAt }},
	{"scope", func(t *TokenPair) any { return &t.Scope }},
	{"id_token", func(t *TokenPair) any { return &t.IDToken }},
	{"grant_type", func(t *TokenPair) any { return &t.GrantType }},
	{"clock_skew", func(t *TokenPair) any { return &t.Skew }},
	{"dpop_key", func(t *TokenPair) any { return &t.DPoPKey }},
}

// storedNames are the names of storedFields, and one that is read and not written: x/oauth2's
// expires_at.
var storedNames = func() []string {
	names := []string{"expiry"}
	for _, f := range storedFields {
		names = append(names, f.name)
	}
	return names
}()

// stored returns what is written for the field that of points to, and false if that is
// nothing.
func stored(of any) (any, bool) {
	switch f := of.(type) {
	case *string:
		return *f, *f != ""
	case *int64:
		return *f, *f != 0
	case *time.Time:
		return f.Round(0).UTC(), !f.IsZero()
	case *time.Duration: // in seconds
		return int64(*f / time.Second), *f/time.Second != 0
	case *DPoPKey:
		return *f, !f.IsZero()
	}
	panic("oauth: a stored field has no form") // never happens: see storedFields
}

// restore sets the field that of points to from the one of this name. Only a key that
// cannot be read is an error.
func restore(of any, fields member.Fields, name string) error {
	switch f := of.(type) {
	case *string:
		*f = fields.Text(name)
	case *int64:
		*f, _ = fields.Seconds(name)
	case *time.Time:
		*f = fields.Time(name)
	case *time.Duration:
		if n, _ := fields.Seconds(name); lifetime.Believable(max(n, -n)) {
			*f = time.Duration(n) * time.Second
		}
	case *DPoPKey:
		if raw, found := fields[name]; found {
			return f.UnmarshalJSON(raw)
		}
	}
	return nil
}

// MarshalJSON writes the pair for storage, tokens included: one object with the
// fields of RFC 6749, the absolute times in RFC 3339, and Extra beside them.
func (t TokenPair) MarshalJSON() ([]byte, error) {
	members := make(map[string]any, len(storedFields)+len(t.Extra))
	for name, raw := range t.Extra {
		if !slices.Contains(storedNames, name) { // none of ours can be shadowed by an extra one
			members[name] = raw
		}
	}
	for _, f := range storedFields {
		if value, written := stored(f.of(&t)); written || f.name == "access_token" {
			members[f.name] = value
		}
	}
	return json.Marshal(members)
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
	var p TokenPair
	for _, f := range storedFields {
		if err := restore(f.of(&p), fields, f.name); err != nil {
			return err
		}
	}
	p.Scope = fields.Scope() // a list, too
	if foreign {
		p.readForeign(fields)
	}
	if p.AccessToken == "" && p.RefreshToken == "" {
		return errors.New("oauth: stored token pair has no token")
	}
	p.Extra = fields.Without(storedNames)
	*t = p
	return nil
}
