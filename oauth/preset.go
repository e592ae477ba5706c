package oauth

import (
	"strings"
	"time"
)

// A Preset is what a server does that neither its metadata nor its answers tell,
// and that keeping a session alive needs to know. The zero value knows nothing,
// which suits most servers: rotation, grace windows and lost tokens are handled
// without. Make one for a server that is not below.
type Preset struct {
	// RefreshIdleLimit is how long a refresh token lives without being used. A
	// refresh.Manager uses it earlier, unless its own configuration says otherwise.
	// Zero means that it is announced, or that there is no limit.
	RefreshIdleLimit time.Duration
	// ScopeOnRefresh sends Config.Scopes with every refresh. They must not be more
	// than what the person has agreed to (RFC 6749 section 6).
	ScopeOnRefresh bool
}

const day = 24 * time.Hour

// PresetEntraID is for Microsoft Entra ID, the Microsoft identity platform (v2.0
// endpoints). A refresh token ends after 90 days; each use gives another one, with
// 90 days of its own, and the old one stays. A refresh without scope can be taken
// for one that asks for a token for the client itself, and is refused
// (AADSTS90009).
//
// Refresh tokens of single-page apps end a day after the login, whatever is done.
//
// Source: learn.microsoft.com/entra/identity-platform/refresh-tokens, and
// learn.microsoft.com/answers/questions/192699.
func PresetEntraID() Preset { return Preset{RefreshIdleLimit: 90 * day, ScopeOnRefresh: true} }

// PresetGoogle is for Google accounts. The refresh token stays the same, and ends
// after six months without use. (Of a project that is in the state "testing" it
// ends after a week, whatever is done.)
//
// Source: developers.google.com/identity/protocols/oauth2, "Refresh token
// expiration".
func PresetGoogle() Preset { return Preset{RefreshIdleLimit: 180 * day} }

// PresetAtlassian is for Atlassian's OAuth 2.0 (3LO). Refresh tokens rotate, end
// after 90 days without use, and a year after the login in any case. One that was
// spent can be sent again for ten minutes.
//
// Source: community.developer.atlassian.com/t/54172.
func PresetAtlassian() Preset { return Preset{RefreshIdleLimit: 90 * day} }

// RefreshIdleLimit is that of Config.Preset. It tells a refresh.Manager how long a
// refresh token lives without being used.
func (c *Client) RefreshIdleLimit() time.Duration { return c.cfg.Preset.RefreshIdleLimit }

// refreshScope is the scope that refreshes name, or empty.
func (c *Client) refreshScope() string {
	if !c.cfg.Preset.ScopeOnRefresh {
		return ""
	}
	return strings.Join(c.cfg.Scopes, " ")
}
