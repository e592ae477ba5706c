package oauthtest

import "github.com/evertoken/evertoken/oauth"

// Like returns the configuration of a server that does what p says, so that a
// program can be tested against the manners of the server that it will meet. Give
// the client the same p in oauth.Config.Preset.
//
// A refresh token lives for p.RefreshIdleLimit from its last use or p.RefreshLifetime, and
// none longer than p.GrantLifetime from the login, unannounced. What
// p does not tell is as in a Config without it: strict, so that reuse after p.Grace
// ends the user's sessions, and with a refresh token for every login that p has no
// scope offline_access for. Change what the test needs in the result, such as
// RevokeOldAccess, which GitHub's apps and GitLab do.
func Like(p oauth.Preset) Config {
	stays := p.Rotation == oauth.RotationNone
	life := p.RefreshIdleLimit
	if life == 0 || p.RefreshLifetime > 0 && p.RefreshLifetime < life {
		life = p.RefreshLifetime
	}
	grace, untilUsed := max(p.Grace, 0), p.Grace == oauth.GraceUntilUsed
	if untilUsed {
		grace = 0
	}
	return Config{
		RefreshTokenLifetime: life,
		GrantLifetime:        p.GrantLifetime,
		NoRotation:           stays,
		SlidingRefresh:       stays,
		ScopeOnRefresh:       p.ScopeOnRefresh,
		Grace:                grace,
		Quirks:               Quirks{GraceUntilUse: untilUsed},
		OfflineScope:         p.Offline.Scope == "offline_access",
	}
}
