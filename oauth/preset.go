package oauth

import "time"

// A Preset is what a server does that neither its metadata nor its answers tell,
// and that keeping a session alive needs to know. The zero value knows nothing,
// which suits most servers: rotation, grace windows and lost tokens are handled
// without. Make one for a server that is not below.
type Preset struct {
	// RefreshIdleLimit is how long a refresh token lives without being used. A
	// refresh.Manager uses it earlier, unless its own configuration says otherwise.
	// Zero means that it is announced, or that there is no limit.
	RefreshIdleLimit time.Duration
	// ScopeOnRefresh sends Config.Scopes with every refresh, and Offline.Scope as
	// logins do. They must not be more than what the person has agreed to (RFC 6749
	// section 6).
	ScopeOnRefresh bool
	// Rotation is what a refresh makes of the refresh token.
	Rotation Rotation
	// Grace is how long a refresh token that was spent is taken again. It has no
	// effect with RotationNone. A refresh.Manager whose answer got lost asks again
	// until that is nearly over, for a minute at a time. Zero means that it is not
	// known, or that there is none: then it asks again for fifteen seconds.
	Grace time.Duration
	// RevokesOldAccess says that a refresh ends the earlier access token, too. It is
	// for oauthtest.Like; a refresh.Transport needs no telling.
	RevokesOldAccess bool
	// EndCodes are error codes by which the server ends a session at a refresh, beside
	// those that are known of all (invalid_grant and the like), in whatever case and
	// under whatever status it sends them.
	EndCodes []string
	// Offline is what logins of persons ask for beside the rest of Config, so that
	// there is a refresh token. Zero: nothing has to be asked for, or it is not known
	// what.
	Offline OfflineAccess
}

// A Rotation is what a refresh makes of the refresh token (RFC 6749 section 6).
// Answers are judged by what they hold, whatever a preset says.
type Rotation uint8

const (
	// RotationUnknown: not known, or a matter of the client's registration.
	RotationUnknown Rotation = iota
	// RotationNone: it stays the same.
	RotationNone
	// RotationOnUse: each refresh gives another one.
	RotationOnUse
)

const day = 24 * time.Hour

// PresetEntraID is for Microsoft Entra ID, the Microsoft identity platform (v2.0
// endpoints). A refresh token ends after 90 days; each use gives another one, with
// 90 days of its own, and the old one stays. A refresh without scope can be taken
// for one that asks for a token for the client itself, and is refused
// (AADSTS90009). There is a refresh token only with the scope offline_access.
//
// Refresh tokens of single-page apps end a day after the login, whatever is done.
//
// Source: learn.microsoft.com/entra/identity-platform/refresh-tokens,
// learn.microsoft.com/answers/questions/192699, and
// learn.microsoft.com/entra/identity-platform/scopes-oidc, "offline_access".
func PresetEntraID() Preset {
	return Preset{RefreshIdleLimit: 90 * day, ScopeOnRefresh: true, Rotation: RotationOnUse, Grace: 90 * day, Offline: OfflineAccess{Scope: scopeOffline}}
}

// PresetGoogle is for Google accounts. The refresh token stays the same, and ends
// after six months without use. (Of a project that is in the state "testing" it
// ends after a week, whatever is done.) A browser login gets one for
// access_type=offline, and after the first only if it asks for consent again.
//
// Source: developers.google.com/identity/protocols/oauth2, "Refresh token
// expiration", and developers.google.com/identity/protocols/oauth2/web-server,
// "access_type" and "prompt".
func PresetGoogle() Preset {
	return Preset{RefreshIdleLimit: 180 * day, Rotation: RotationNone, Offline: OfflineAccess{Params: "access_type=offline&prompt=consent"}}
}

// PresetAtlassian is for Atlassian's OAuth 2.0 (3LO). Refresh tokens rotate, end
// after 90 days without use, and a year after the login in any case. One that was
// spent can be sent again for ten minutes. There is one only with the scope
// offline_access.
//
// Source: community.developer.atlassian.com/t/54172, and
// developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps, "refresh token".
func PresetAtlassian() Preset {
	return Preset{RefreshIdleLimit: 90 * day, Rotation: RotationOnUse, Grace: 10 * time.Minute, Offline: OfflineAccess{Scope: scopeOffline}}
}

// PresetGitHubApp is for the user access tokens of GitHub Apps that let them
// expire. A refresh ends the refresh token and the access token before. When the
// new refresh token ends, the answer tells.
//
// Source: docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens.
func PresetGitHubApp() Preset { return Preset{Rotation: RotationOnUse, RevokesOldAccess: true} }

// PresetGitLab is for GitLab, of whoever runs it. A refresh ends the refresh token
// and the access token before.
//
// Source: docs.gitlab.com/api/oauth2, "Authorization code flow".
func PresetGitLab() Preset { return Preset{Rotation: RotationOnUse, RevokesOldAccess: true} }

// PresetOkta is for clients of Okta's whose refresh tokens rotate, which is the
// default of single-page apps. One that was spent can be sent again for thirty
// seconds, unless the client is registered with another leeway: then change Grace.
// There is one only with the scope offline_access.
//
// Source: developer.okta.com/docs/guides/refresh-tokens, and the property "leeway"
// in github.com/okta/okta-sdk-dotnet, OpenIdConnectApplicationSettingsRefreshToken.
func PresetOkta() Preset {
	return Preset{Rotation: RotationOnUse, Grace: 30 * time.Second, Offline: OfflineAccess{Scope: scopeOffline}}
}

// PresetXero is for Xero. Refresh tokens rotate, and end after 30 days without
// use. One that was spent can be sent again for half an hour. There is one only
// with the scope offline_access.
//
// Source: community.xero.com/developer/discussion/105714701, the official reply,
// and developer.xero.com/documentation/oauth2/auth-flow.
func PresetXero() Preset {
	return Preset{RefreshIdleLimit: 30 * day, Rotation: RotationOnUse, Grace: 30 * time.Minute, Offline: OfflineAccess{Scope: scopeOffline}}
}

// PresetDropbox is for Dropbox. The refresh token, which there is only for
// token_access_type=offline, stays the same and does not end.
//
// Source: dropbox.tech/developers/using-oauth-2-0-with-offline-access.
func PresetDropbox() Preset {
	return Preset{Rotation: RotationNone, Offline: OfflineAccess{Params: "token_access_type=offline"}}
}

// PresetReddit is for Reddit. There is a refresh token only for duration=permanent.
//
// Source: github.com/reddit-archive/reddit/wiki/OAuth2, "Authorization".
func PresetReddit() Preset { return Preset{Offline: OfflineAccess{Params: "duration=permanent"}} }

// PresetX is for X, formerly Twitter, and its API v2. There is a refresh token only
// with the scope offline.access.
//
// Source: docs.x.com/resources/fundamentals/authentication/oauth-2-0/authorization-code,
// "Refresh tokens".
func PresetX() Preset { return Preset{Offline: OfflineAccess{Scope: "offline.access"}} }

// RefreshIdleLimit is that of Config.Preset. It tells a refresh.Manager how long a
// refresh token lives without being used.
func (c *Client) RefreshIdleLimit() time.Duration { return c.cfg.Preset.RefreshIdleLimit }

// RefreshGrace is Preset.Grace of Config.Preset, if it is known and something
// rotates. It tells a refresh.Manager how long to ask again for a lost answer.
func (c *Client) RefreshGrace() (grace time.Duration, known bool) {
	p := c.cfg.Preset
	return p.Grace, p.Grace > 0 && p.Rotation != RotationNone
}

// refreshScope is the scope that refreshes name, or empty.
func (c *Client) refreshScope() string {
	if !c.cfg.Preset.ScopeOnRefresh {
		return ""
	}
	return c.joinScopes(c.loginScopes())
}
