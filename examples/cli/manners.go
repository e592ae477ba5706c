package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/preset"
)

// manners are what a server does or wants otherwise than most without saying so. A
// person tells at login, and the profile remembers it. The zero value is most servers.
type manners struct {
	Preset         string `json:"preset,omitempty"` // see presets
	Lifetime       span   `json:"access_token_lifetime,omitempty"`
	RefreshIdle    span   `json:"refresh_idle,omitempty"`
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

// presetNames lists the services for people.
func presetNames() string {
	return strings.Join(slices.Sorted(maps.Keys(presets))[1:], ", ")
}

// apply makes a client mind the server's manners. How long an unused refresh token
// lives is for session.config.
func (m manners) apply(cfg *oauth.Config) {
	cfg.Preset = presets[m.Preset]()
	cfg.DefaultLifetime = time.Duration(m.Lifetime)
	cfg.ScopeSeparator = m.ScopeSeparator
	cfg.DisablePKCE = m.NoPKCE
	cfg.TokenPath = m.TokenPath
}

// known reports whether this version knows what the manners are.
func (m manners) known() bool {
	_, found := presets[m.Preset]
	return found
}

// A span is a duration, which is written as flags have it: "1h30m0s".
type span time.Duration

// MarshalText implements encoding.TextMarshaler.
func (s span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = span(d)
	return err
}

// mannersFlags tell manners. One that is not given leaves what is remembered; one that
// is given empty, zero or false forgets it.
type mannersFlags struct {
	Preset         *string        `group:"What the server does not say" placeholder:"NAME" help:"The service, if it is one of these: ${presets}. They have to be asked for a refresh token in a way of their own, or end one without notice. Example: --preset google"`
	Lifetime       *time.Duration `group:"What the server does not say" placeholder:"D" help:"How long an access token lives, if the answers do not tell. Example: --lifetime 1h"`
	RefreshIdle    *time.Duration `group:"What the server does not say" placeholder:"D" help:"After what time without use the refresh token ends. Example: --refresh-idle 720h"`
	ScopeSeparator *string        `group:"What the server does not say" placeholder:"TEXT" help:"What stands between scopes, if not a space. Example: --scope-separator , --scope read,activity:read_all"`
	NoPKCE         *bool          `name:"no-pkce" group:"What the server does not say" help:"Log in without PKCE, if the server refuses that from a client with a secret. Example: --client-secret-file FILE --no-pkce"`
	TokenPath      *string        `group:"What the server does not say" placeholder:"NAMES" help:"Where in the answers the tokens are, if not at the top: names with dots between them. Example: --token-path data.session"`
}

// over returns what is remembered, with what the flags tell in its place.
func (f *mannersFlags) over(remembered manners) (manners, error) {
	m := manners{
		Preset:         given(f.Preset, remembered.Preset),
		Lifetime:       span(given(f.Lifetime, time.Duration(remembered.Lifetime))),
		RefreshIdle:    span(given(f.RefreshIdle, time.Duration(remembered.RefreshIdle))),
		ScopeSeparator: given(f.ScopeSeparator, remembered.ScopeSeparator),
		NoPKCE:         given(f.NoPKCE, remembered.NoPKCE),
		TokenPath:      given(f.TokenPath, remembered.TokenPath),
	}
	switch {
	case !m.known():
		return manners{}, usage(fmt.Errorf("--preset: there is none for %q, only for %s", m.Preset, presetNames()))
	case m.Lifetime < 0, m.RefreshIdle < 0:
		return manners{}, usage(fmt.Errorf("--lifetime and --refresh-idle must not be negative"))
	case strings.ContainsFunc(m.ScopeSeparator, isNameRune):
		return manners{}, usage(fmt.Errorf("--scope-separator %q could be part of a scope: give the character itself, as in --scope-separator ,", m.ScopeSeparator))
	}
	return m, nil
}

// given returns what a flag says, or else what is remembered.
func given[T any](flag *T, remembered T) T {
	if flag != nil {
		return *flag
	}
	return remembered
}

func isNameRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
