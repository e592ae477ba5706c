package profile

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/preset"
)

// Manners are what a server does or wants otherwise than most without saying so. A
// person tells at login, and the profile remembers it. The zero value is most servers.
type Manners struct {
	Preset         string `json:"preset,omitempty"` // see PresetNames
	Lifetime       Span   `json:"access_token_lifetime,omitempty"`
	RefreshIdle    Span   `json:"refresh_idle,omitempty"`
	ScopeSeparator string `json:"scope_separator,omitempty"`
	NoPKCE         bool   `json:"no_pkce,omitempty"`
	TokenPath      string `json:"token_path,omitempty"`
}

// presets are the services that can be named.
var presets = map[string]func() oauth.Preset{
	"":           func() oauth.Preset { return oauth.Preset{} },
	"atlassian":  preset.Atlassian,
	"dropbox":    preset.Dropbox,
	"entra":      preset.EntraID,
	"github-app": preset.GitHubApp,
	"gitlab":     preset.GitLab,
	"google":     preset.Google,
	"okta":       preset.Okta,
	"reddit":     preset.Reddit,
	"x":          preset.X,
	"xero":       preset.Xero,
}

// PresetNames lists the services for people.
func PresetNames() string {
	return strings.Join(slices.Sorted(maps.Keys(presets))[1:], ", ")
}

// Apply makes a client mind the server's manners. How long an unused refresh token
// lives is for the session.
func (m Manners) Apply(cfg *oauth.Config) {
	cfg.Preset = presets[m.Preset]()
	cfg.DefaultLifetime = time.Duration(m.Lifetime)
	cfg.ScopeSeparator = m.ScopeSeparator
	cfg.DisablePKCE = m.NoPKCE
	cfg.TokenPath = m.TokenPath
}

// Known reports whether this version knows what the manners are.
func (m Manners) Known() bool {
	_, found := presets[m.Preset]
	return found
}

// A Span is a duration, which is written as flags have it: "1h30m0s".
type Span time.Duration

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = Span(d)
	return err
}
