package main

import (
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
)

// presentFlags say how APIs want the access token, and how the server takes a refresh
// token that it has spent. They are for any session. Those about the token belong
// together: if one is given, what is remembered of the others is forgotten.
type presentFlags struct {
	TokenHeader          *string `group:"How APIs want the token" placeholder:"NAME" help:"The header that carries it, if not Authorization. Example: --token-header X-Token"`
	TokenScheme          *string `group:"How APIs want the token" placeholder:"WORD" help:"The word before it, if not Bearer (or the backend's own); none leaves it out. Example: --token-scheme JWT"`
	TokenCookie          *string `group:"How APIs want the token" placeholder:"NAME" help:"The cookie that carries it, in place of a header. Example: --token-cookie access_token"`
	TokenSignatureCookie *string `group:"How APIs want the token" placeholder:"NAME" help:"A second cookie, for the last part of a JWT."`

	Grace *string `group:"What the server does not say" placeholder:"none|until-used|D" help:"How long it takes a refresh token again that it has spent: not at all, until the new one is used, or for a time. Example: --grace 30s"`
}

const schemeNone = "none"

// presentation returns what is remembered, or what the flags tell in its place.
func (f *presentFlags) presentation(remembered profile.Presentation) (profile.Presentation, error) {
	if f.TokenHeader == nil && f.TokenScheme == nil && f.TokenCookie == nil && f.TokenSignatureCookie == nil {
		return remembered, nil
	}
	p := profile.Presentation{
		Header: given(f.TokenHeader, ""), Scheme: given(f.TokenScheme, ""),
		Cookie: given(f.TokenCookie, ""), SignatureCookie: given(f.TokenSignatureCookie, ""),
	}
	if p.Scheme == schemeNone {
		p.Scheme = ""
		if p.Header == "" && p.Cookie == "" {
			p.Header = "Authorization"
		}
	}
	if p.SignatureCookie != "" && p.Cookie == "" {
		return profile.Presentation{}, exit.Misuse(errors.New("--token-signature-cookie is for the end of what --token-cookie names: give both"))
	}
	if p.Cookie != "" && (p.Header != "" || p.Scheme != "") {
		return profile.Presentation{}, exit.Misuse(errors.New("--token-cookie is in place of --token-header and --token-scheme: give either"))
	}
	if p.OAuth().Check() != nil {
		return profile.Presentation{}, exit.Misuse(errors.New("--token-header, --token-scheme and --token-cookie take single words, and a header that HTTP itself does not need"))
	}
	return p, nil
}

// grace returns what is remembered, or what the flag tells.
func (f *presentFlags) grace(remembered profile.Grace) (profile.Grace, error) {
	if f.Grace == nil {
		return remembered, nil
	}
	var grace profile.Grace
	if err := grace.UnmarshalText([]byte(*f.Grace)); err != nil {
		return 0, exit.Misuse(fmt.Errorf("--grace: %w", err))
	}
	return grace, nil
}

// remember makes a profile remember what the flags and the last login tell.
func (f *presentFlags) remember(p, last *profile.Profile) error {
	var err error
	if p.Presentation, err = f.presentation(last.Presentation); err != nil {
		return err
	}
	p.Grace, err = f.grace(last.Grace)
	return err
}
