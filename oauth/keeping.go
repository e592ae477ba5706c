package oauth

import (
	"encoding/json"
	"maps"
)

// Keeping returns t with what it lacks taken from old, the pair it succeeds:
// refresh token and that token's end, grant type, scope, ID token, DPoP key and
// extra fields. Neither is modified. Authors of a refresh.Refresher need it when their server omits
// what has not changed.
func (t *TokenPair) Keeping(old *TokenPair) *TokenPair {
	next := t.Clone()
	if old != nil {
		next.keep(old)
	}
	return next
}

// keep is Keeping for a pair that only its caller has.
func (t *TokenPair) keep(old *TokenPair) {
	if t.RefreshToken == "" {
		t.RefreshToken = old.RefreshToken
	}
	if t.RefreshExpiresAt.IsZero() && t.RefreshToken == old.RefreshToken {
		t.RefreshExpiresAt = old.RefreshExpiresAt
	}
	if t.GrantType == "" && t.RefreshToken == "" {
		t.GrantType = old.GrantType
	}
	if t.TokenType == "" {
		t.TokenType = old.TokenType
	}
	if t.DPoPKey.IsZero() {
		t.DPoPKey = old.DPoPKey
	}
	if t.Scope == "" {
		t.Scope = old.Scope
	}
	if t.IDToken == "" {
		t.IDToken = old.IDToken
	}
	if len(old.Extra) > 0 {
		extra := make(map[string]json.RawMessage, len(old.Extra)+len(t.Extra))
		maps.Copy(extra, old.Clone().Extra)
		maps.Copy(extra, t.Extra)
		t.Extra = extra
	}
}
