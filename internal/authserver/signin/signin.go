// Package signin serves the endpoints at which people sign in, allow an access and
// sign out: authorization with PKCE and pushed requests, the device page, and logout
// in the browser.
package signin

import (
	"net/url"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/authserver/audit"
	"github.com/evertoken/evertoken/internal/authserver/client"
	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/internal/authserver/page"
	"github.com/evertoken/evertoken/internal/authserver/pending"
	"github.com/evertoken/evertoken/internal/authserver/session"
	"github.com/evertoken/evertoken/internal/authserver/site"
)

// A Config says how the server asks people. What the fields do is told where the
// program sets them: see oauthtest.Config and oauthtest.Quirks.
type Config struct {
	DefaultScope        string
	ExactRedirectPort   bool
	RequirePushedAuth   bool
	ErrorsWithoutState  bool
	DeniedOnPage        bool
	OfflineNeedsConsent bool
}

// Endpoints are the endpoints. All fields are required.
type Endpoints struct {
	Config
	Site     site.Site
	Clients  *client.Registry
	Auth     *client.Authenticator
	Keys     *keys.Ring
	Pages    *page.Pages
	Sessions *session.Sessions // only to make grants
	Codes    *pending.Codes
	Devices  *pending.Devices
	Pushed   *pending.Pushed
	Audit    *audit.Auditor
}

// promptConsent is the value of prompt that asks for the consent page (OpenID
// Connect Core section 3.1.2.1). The page is always shown here.
const promptConsent = "consent"

func (e *Endpoints) scopeOf(query url.Values) string {
	if scope := query.Get("scope"); scope != "" {
		return scope
	}
	return e.DefaultScope
}

// offlineScope is the scope that a person grants, for OfflineNeedsConsent without
// what consent was not asked for.
func (e *Endpoints) offlineScope(query url.Values) string {
	scope := e.scopeOf(query)
	if !e.OfflineNeedsConsent || query.Get("prompt") == promptConsent {
		return scope
	}
	names := slices.DeleteFunc(strings.Fields(scope), func(name string) bool { return name == "offline_access" })
	return strings.Join(names, " ")
}
