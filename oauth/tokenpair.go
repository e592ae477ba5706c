package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/wire"
	"golang.org/x/oauth2"
)

// A TokenPair is an access token, the refresh token that renews it, and what
// the server said about both (RFC 6749 section 5.1).
//
// It prints redacted: no fmt verb and no slog handler shows a token, and none of
// %v, %+v and %#v when the pair sits in another struct, slice or map. Hold it by
// pointer: fmt cannot ask a value in an unexported struct field how it wants to
// be printed. Two things are beyond a type's reach. One is what fmt prints to complain
// about a verb that does not fit: %s, %q and the like on a struct with a pair in an
// unexported field, %p, a stray %w. go vet finds them, and a String method of that struct
// prevents it. The other is encoding to JSON, which writes the tokens, since that is how a
// pair is stored. So log the pair itself and not a struct around it: slog's JSON
// handler encodes those.
type TokenPair struct {
	// AccessToken is what API requests carry.
	AccessToken string
	// RefreshToken renews the access token. Empty if the server gave none.
	RefreshToken string
	// TokenType is the access token's type, as the server spelled it. Type tells how
	// that is presented.
	TokenType string
	// ExpiresIn is the access token's lifetime in seconds, as received. Zero
	// means the server did not say; ExpiresAt is what decides.
	ExpiresIn int64

	// ExpiresAt is when the access token dies by the local clock, counted from
	// before the request was sent. Zero: not known, refresh when it is rejected.
	ExpiresAt time.Time
	// IssuedAt is when the request for the access token was sent, by the local
	// clock. Zero: not known.
	IssuedAt time.Time
	// RefreshAt is when the server wants the access token to be renewed, before its
	// end. It is a hint. Zero: it said nothing.
	RefreshAt time.Time
	// RefreshExpiresAt is when the refresh token dies. Zero: not known.
	RefreshExpiresAt time.Time
	// GrantedAt is when the login was completed that the session began with, by the local
	// clock. Zero: not known.
	GrantedAt time.Time

	// Scope is the access token's scope, space-separated (RFC 6749 section 3.3).
	Scope string
	// IDToken is the OpenID Connect ID token, if there was one. Its claims were
	// checked by the Client, its signature only with Config.VerifyIDToken.
	IDToken string
	// IDTokenError says why the ID token of the answer that the pair came in was
	// not taken over by Client.Refresh, which then keeps the one before: an [*Error]
	// that matches ErrIDToken. The other tokens are good. It is not stored.
	IDTokenError error

	// GrantType is the grant that gave a pair without a refresh token, by its
	// grant_type (GrantTypeClientCredentials, GrantTypeTokenExchange), so that it can
	// be renewed by asking again. Empty for other pairs: a person's login.
	GrantType string

	// DPoPKey is the key that the tokens are bound to (RFC 9449), zero if they
	// are not. It is stored with them: without it they are worth nothing.
	DPoPKey DPoPKey

	// Skew is how far the local clock was ahead of the server's when the pair
	// was received, to the second. It is shown to people and dates DPoP proofs;
	// it decides nothing.
	Skew time.Duration

	// Extra holds every response field not named above, as received.
	Extra map[string]json.RawMessage
}

// Type returns how the access token is presented: "DPoP" for dpop in any case
// (RFC 9449), a type of the MAC family as it is, and "Bearer" for everything else.
// DPoP and MAC are the only types that need more than the token. Other words do not
// say how to present it but whose it is, or what: "User Access Token", "bot", "JWT",
// the N_A of RFC 8693. Their APIs want Bearer, in this spelling.
func (t *TokenPair) Type() string {
	kind := strings.TrimSpace(t.TokenType)
	switch {
	case strings.EqualFold(kind, "DPoP"):
		return "DPoP"
	case !wire.IsHeaderWord(kind): // it would be a header of its own, in a recipe for curl
	case strings.EqualFold(kind, "mac"), strings.EqualFold(kind, "hmac"), member.HasPrefixFold(kind, "mac-"), member.HasPrefixFold(kind, "hmac-"):
		return kind
	}
	return "Bearer"
}

// Lifetime returns how long the access token was good for when it was issued,
// and whether that is known.
func (t *TokenPair) Lifetime() (time.Duration, bool) {
	if t.ExpiresAt.IsZero() || t.IssuedAt.IsZero() {
		return 0, false
	}
	return t.ExpiresAt.Sub(t.IssuedAt), true
}

// Clone returns a copy that shares nothing with t. It returns nil for nil.
func (t *TokenPair) Clone() *TokenPair {
	if t == nil {
		return nil
	}
	c := *t
	c.Extra = maps.Clone(t.Extra)
	for k, v := range c.Extra {
		c.Extra[k] = append(json.RawMessage(nil), v...)
	}
	return &c
}

// OAuth2 returns t as an x/oauth2 token. Scope, id_token and the extra fields
// are available through its Extra method.
func (t *TokenPair) OAuth2() *oauth2.Token {
	tok := &oauth2.Token{
		AccessToken:  t.AccessToken,
		TokenType:    t.Type(),
		RefreshToken: t.RefreshToken,
		Expiry:       t.ExpiresAt,
		ExpiresIn:    t.ExpiresIn,
	}
	extra := make(map[string]any)
	for k, raw := range t.Extra {
		var v any
		if json.Unmarshal(raw, &v) == nil {
			extra[k] = v
		}
	}
	if t.Scope != "" {
		extra["scope"] = t.Scope
	}
	if t.IDToken != "" {
		extra["id_token"] = t.IDToken
	}
	if len(extra) == 0 {
		return tok
	}
	return tok.WithExtra(extra)
}

// FromOAuth2 returns tok as a TokenPair, with its scope and id_token. When the
// token was issued is not known to x/oauth2, so IssuedAt is zero; its other
// extra fields cannot be listed and are not carried over. A token may live for
// longer than its Expiry tells caches: an extra field expires_at (RFC 3339) that
// is later than Expiry becomes ExpiresAt. FromOAuth2 returns nil for nil.
func FromOAuth2(tok *oauth2.Token) *TokenPair {
	if tok == nil {
		return nil
	}
	scope, _ := tok.Extra("scope").(string)
	idToken, _ := tok.Extra("id_token").(string)
	return &TokenPair{
		AccessToken:  tok.AccessToken,
		TokenType:    tok.TokenType,
		RefreshToken: tok.RefreshToken,
		ExpiresIn:    tok.ExpiresIn,
		ExpiresAt:    endOf(tok),
		Scope:        scope,
		IDToken:      idToken,
	}
}

// endOf returns when tok dies: at its Expiry, or later if it says so beside that,
// as those of refresh.Manager do.
func endOf(tok *oauth2.Token) time.Time {
	expiry := tok.Expiry.Round(0)
	text, _ := tok.Extra("expires_at").(string)
	if end, err := time.Parse(time.RFC3339, text); err == nil && !expiry.IsZero() && end.After(expiry) {
		return end
	}
	return expiry
}

// String describes the pair without its tokens.
func (t TokenPair) String() string {
	var b strings.Builder
	b.WriteString("oauth.TokenPair{access:")
	b.WriteString(wire.Presence(t.AccessToken))
	b.WriteString(" refresh:")
	b.WriteString(wire.Presence(t.RefreshToken))
	if !t.ExpiresAt.IsZero() {
		b.WriteString(" expires:")
		b.WriteString(t.ExpiresAt.UTC().Format(time.RFC3339))
	}
	b.WriteString("}")
	return b.String()
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (t TokenPair) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, t.String()) }

// LogValue implements slog.LogValuer: a group without the tokens.
func (t TokenPair) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("access", wire.Presence(t.AccessToken)),
		slog.String("refresh", wire.Presence(t.RefreshToken)),
		slog.Time("expires", t.ExpiresAt),
	)
}

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
	{"granted_at", func(t *TokenPair) any { return &t.GrantedAt }},
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
