package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
)

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
func (f *mannersFlags) over(remembered profile.Manners) (profile.Manners, error) {
	m := profile.Manners{
		Preset:         given(f.Preset, remembered.Preset),
		Lifetime:       profile.Span(given(f.Lifetime, time.Duration(remembered.Lifetime))),
		RefreshIdle:    profile.Span(given(f.RefreshIdle, time.Duration(remembered.RefreshIdle))),
		ScopeSeparator: given(f.ScopeSeparator, remembered.ScopeSeparator),
		NoPKCE:         given(f.NoPKCE, remembered.NoPKCE),
		TokenPath:      given(f.TokenPath, remembered.TokenPath),
	}
	switch {
	case !m.Known():
		return profile.Manners{}, exit.Misuse(fmt.Errorf("--preset: got %q, want one of %s", m.Preset, profile.PresetNames()))
	case m.Lifetime < 0, m.RefreshIdle < 0:
		return profile.Manners{}, exit.Misuse(fmt.Errorf("--lifetime and --refresh-idle must not be negative"))
	case strings.ContainsFunc(m.ScopeSeparator, isNameRune):
		return profile.Manners{}, exit.Misuse(fmt.Errorf("--scope-separator %q could be part of a scope: give the character itself, as in --scope-separator ,", m.ScopeSeparator))
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
