package oauth

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// scopeOffline is OpenID Connect's scope for a refresh token (Core section 11).
// Servers that do not know it may refuse the login over it.
const scopeOffline = "offline_access"

// loginScopes returns what a person is asked to grant: Config.Scopes, and what
// Config.Preset or Config.OfflineAccess adds for a refresh token.
func (c *Client) loginScopes() []string {
	scopes, offline := c.cfg.Scopes, c.cfg.Preset.Offline.Scope
	switch {
	case c.wantsOffline():
		offline = scopeOffline
	case len(scopes) == 0: // the preset's alone would take the place of the server's default
		return scopes
	}
	if offline == "" || hasScope(scopes, offline) {
		return scopes
	}
	return append(slices.Clone(scopes), offline)
}

// wantsOffline reports whether Config.OfflineAccess asks this server for a refresh token.
func (c *Client) wantsOffline() bool {
	return c.cfg.OfflineAccess && c.cfg.Preset.Offline.Scope == "" && c.offlineScope() != "" && !c.cfg.AuthParams.Has("scope")
}

// addOffline adds to the parameters of an authorization request what asks for a refresh
// token.
func (c *Client) addOffline(query url.Values) {
	if c.wantsOffline() && !query.Has("prompt") {
		query.Set("prompt", "consent")
	}
	for name, values := range c.cfg.Preset.Offline.params() {
		if !query.Has(name) {
			query[name] = values
		}
	}
}

// OfflineAdvice returns what a login with c does not ask for yet, and is known to
// be needed for a refresh token: by Config.Preset, or because the server's
// metadata lists the scope offline_access, for which prompt=consent may be needed too
// (OpenID Connect Core section 11). The zero value means that
// only the server's documentation can tell. It is for programs that tell a person
// why they have no refresh token, as [Client.Authenticate] does.
func (c *Client) OfflineAdvice() OfflineAccess {
	scopes := append(slices.Clone(c.loginScopes()), c.cfg.AuthParams["scope"]...)
	var advice OfflineAccess
	if scope := c.offlineScope(); scope != "" && !hasScope(scopes, scope) {
		advice.Scope = scope
	}
	wanted := c.cfg.Preset.Offline.params()
	if advice.Scope == scopeOffline && c.cfg.Preset.Offline.Scope == "" || hasScope(scopes, scopeOffline) {
		wanted.Set("prompt", "consent")
	}
	sent := maps.Clone(c.cfg.AuthParams)
	c.addOffline(sent)
	maps.DeleteFunc(wanted, func(name string, values []string) bool {
		return slices.Contains(strings.Fields(sent.Get(name)), values[0]) // prompt may hold several
	})
	advice.Params = wanted.Encode()
	return advice
}

// offlineScope returns the scope that the server is known to have for a refresh
// token, or empty.
func (c *Client) offlineScope() string {
	if scope := c.cfg.Preset.Offline.Scope; scope != "" {
		return scope
	}
	if c.meta != nil && slices.Contains(c.meta.ScopesSupported, scopeOffline) {
		return scopeOffline
	}
	return ""
}

// advice says what to do, as the end of "To keep the session alive, …".
func (o OfflineAccess) advice() string {
	var steps []string
	if o.Scope != "" {
		steps = append(steps, "ask for the scope "+o.Scope)
	}
	if o.Params != "" {
		steps = append(steps, "log in with the parameter "+strings.ReplaceAll(o.Params, "&", " and "))
	}
	if len(steps) == 0 {
		return "see in the server's documentation what asks for one: a scope, or a parameter such as access_type=offline"
	}
	return strings.Join(steps, ", and ")
}

// RefreshIdleLimit is that of Config.Preset. It tells a refresh.Manager how long a
// refresh token lives without being used.
func (c *Client) RefreshIdleLimit() time.Duration { return c.cfg.Preset.RefreshIdleLimit }

// RefreshGrace is Preset.Grace of Config.Preset, and zero where nothing rotates. It
// tells a refresh.Manager how long to ask again for a lost answer.
func (c *Client) RefreshGrace() time.Duration {
	if c.cfg.Preset.Rotation == RotationNone {
		return 0
	}
	return c.cfg.Preset.Grace
}

// limitLife gives p, which came in an answer, the end that Config.Preset knows of, if the
// server has not told an earlier one. before is the refresh token that was spent for it.
func (c *Client) limitLife(p *TokenPair, before string) {
	limit := func(from time.Time, life time.Duration) {
		if end := from.Add(life); life > 0 && !from.IsZero() && (p.RefreshExpiresAt.IsZero() || end.Before(p.RefreshExpiresAt)) {
			p.RefreshExpiresAt = end
		}
	}
	if p.RefreshToken == "" {
		return
	}
	if p.RefreshToken != before {
		limit(p.IssuedAt, c.cfg.Preset.RefreshLifetime)
	}
	limit(p.GrantedAt, c.cfg.Preset.GrantLifetime)
}

// refreshScope is the scope that refreshes name, or empty.
func (c *Client) refreshScope() string {
	if !c.cfg.Preset.ScopeOnRefresh {
		return ""
	}
	return c.joinScopes(c.loginScopes())
}
