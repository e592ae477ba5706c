// Package preset knows what well-known authorization servers do that neither their
// metadata nor their answers tell. Its values are for oauth.Config.Preset, to use as
// they are or to edit.
package preset

import (
	"time"

	"github.com/evertoken/evertoken/oauth"
)

const (
	day           = 24 * time.Hour
	offlineAccess = "offline_access" // OpenID Connect's scope for a refresh token
)

// EntraID is for Microsoft Entra ID, the Microsoft identity platform (v2.0
// endpoints). A refresh token ends after 90 days; each use gives another one, with
// 90 days of its own, and the old one stays. A refresh without scope can be taken
// for one that asks for a token for the client itself, and is refused
// (AADSTS90009). There is a refresh token only with the scope offline_access.
//
// The refresh tokens of single-page apps end a day after the login, whatever is done:
// for those set GrantLifetime to a day.
//
// Source: learn.microsoft.com/entra/identity-platform/refresh-tokens,
// learn.microsoft.com/answers/questions/192699, and
// learn.microsoft.com/entra/identity-platform/scopes-oidc, "offline_access".
func EntraID() oauth.Preset {
	return oauth.Preset{RefreshIdleLimit: 90 * day, ScopeOnRefresh: true, Rotation: oauth.RotationOnUse, Grace: 90 * day, Offline: oauth.OfflineAccess{Scope: offlineAccess}}
}

// Google is for Google accounts. The refresh token stays the same, and ends
// after six months without use. (Of a project that is in the state "testing" it
// ends a week after the consent, whatever is done: for that set GrantLifetime to seven
// days.) A browser login gets one for
// access_type=offline, and after the first only if it asks for consent again.
//
// Source: developers.google.com/identity/protocols/oauth2, "Refresh token
// expiration", and developers.google.com/identity/protocols/oauth2/web-server,
// "access_type" and "prompt".
func Google() oauth.Preset {
	return oauth.Preset{RefreshIdleLimit: 180 * day, Rotation: oauth.RotationNone, Offline: oauth.OfflineAccess{Params: "access_type=offline&prompt=consent"}}
}

// Atlassian is for Atlassian's OAuth 2.0 (3LO). Refresh tokens rotate, end
// after 90 days without use, and a year after the consent in any case. One that was
// spent can be sent again for ten minutes. There is one only with the scope
// offline_access.
//
// Source: community.developer.atlassian.com/t/54172, and
// developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps, "refresh token".
func Atlassian() oauth.Preset {
	return oauth.Preset{RefreshIdleLimit: 90 * day, GrantLifetime: 365 * day, Rotation: oauth.RotationOnUse, Grace: 10 * time.Minute, Offline: oauth.OfflineAccess{Scope: offlineAccess}}
}

// GitHubApp is for the user access tokens of GitHub Apps that let them
// expire. A refresh ends the refresh token and the access token before. When the
// new refresh token ends, the answer tells.
//
// Source: docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens.
func GitHubApp() oauth.Preset { return oauth.Preset{Rotation: oauth.RotationOnUse} }

// GitLab is for gitlab.com and for self-managed GitLab. A refresh ends the refresh token
// and the access token before.
//
// Source: docs.gitlab.com/api/oauth2, "Authorization code flow".
func GitLab() oauth.Preset { return oauth.Preset{Rotation: oauth.RotationOnUse} }

// Okta is for clients of Okta's whose refresh tokens rotate, which is the
// default of single-page apps. One that was spent can be sent again for thirty
// seconds, unless the client is registered with another leeway: then change Grace.
// There is one only with the scope offline_access.
//
// By the default policy of an authorization server a refresh token ends after seven
// days without use. A policy of one's own can say something else (RefreshIdleLimit), and
// how long tokens live at most, counted from the login (GrantLifetime). The org
// authorization server has no idle limit, and ends sessions after 90 days.
//
// Source: developer.okta.com/docs/guides/refresh-tokens, the property "leeway"
// in github.com/okta/okta-sdk-dotnet, OpenIdConnectApplicationSettingsRefreshToken,
// help.okta.com, "Create rules for each access policy", and support.okta.com, "Refresh
// Token Expiration Behavior".
func Okta() oauth.Preset {
	return oauth.Preset{RefreshIdleLimit: 7 * day, Rotation: oauth.RotationOnUse, Grace: 30 * time.Second, Offline: oauth.OfflineAccess{Scope: offlineAccess}}
}

// Xero is for Xero. Refresh tokens rotate, and end after 60 days without
// use. One that was spent can be sent again for half an hour. There is one only
// with the scope offline_access.
//
// Source: developer.xero.com/faq/oauth2, "What is the expiration for a refresh
// token?", which is newer than community.xero.com/developer/discussion/105714701, and
// developer.xero.com/documentation/oauth2/auth-flow.
func Xero() oauth.Preset {
	return oauth.Preset{RefreshIdleLimit: 60 * day, Rotation: oauth.RotationOnUse, Grace: 30 * time.Minute, Offline: oauth.OfflineAccess{Scope: offlineAccess}}
}

// Dropbox is for Dropbox. The refresh token, which there is only for
// token_access_type=offline, stays the same and does not end.
//
// Source: dropbox.tech/developers/using-oauth-2-0-with-offline-access.
func Dropbox() oauth.Preset {
	return oauth.Preset{Rotation: oauth.RotationNone, Offline: oauth.OfflineAccess{Params: "token_access_type=offline"}}
}

// Reddit is for Reddit. There is a refresh token only for duration=permanent.
//
// Source: github.com/reddit-archive/reddit/wiki/OAuth2, "Authorization".
func Reddit() oauth.Preset {
	return oauth.Preset{Offline: oauth.OfflineAccess{Params: "duration=permanent"}}
}

// X is for X, formerly Twitter, and its API v2. There is a refresh token only
// with the scope offline.access.
//
// Source: docs.x.com/resources/fundamentals/authentication/oauth-2-0/authorization-code,
// "Refresh tokens".
func X() oauth.Preset { return oauth.Preset{Offline: oauth.OfflineAccess{Scope: "offline.access"}} }
