package oauth

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/wire"
	"golang.org/x/oauth2"
)

// A TokenPair is an access token, the refresh token that renews it, and what
// the server said about both (RFC 6749 section 5.1).
//
// It prints redacted: no fmt verb and no slog handler shows a token, and none of
// %v, %+v and %#v when the pair sits in another struct, slice or map. Hold it by
// pointer: fmt cannot ask a value in an unexported struct field how it wants to
// be printed. Two things are beyond a type's reach: what fmt prints to complain
// about a verb that does not fit, as in %!s(…), %p or a stray %w, which go vet
// finds; and encoding to JSON, which writes the tokens, since that is how a pair
// is stored. So log the pair itself and not a struct around it: slog's JSON
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
// (RFC 9449), a type of the MAC family unchanged, and "Bearer" for everything else.
// DPoP and MAC are the only types that need more than the token. Other words do not
// say how to present it but whose it is, or what: "User Access Token", "bot", "JWT",
// the N_A of RFC 8693. Their APIs want Bearer, in this spelling.
func (t *TokenPair) Type() string {
	kind := strings.TrimSpace(t.TokenType)
	switch {
	case strings.EqualFold(kind, "DPoP"):
		return "DPoP"
	case strings.EqualFold(kind, "mac"), strings.EqualFold(kind, "hmac"), member.HasPrefixFold(kind, "mac-"), member.HasPrefixFold(kind, "hmac-"):
		return t.TokenType
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
