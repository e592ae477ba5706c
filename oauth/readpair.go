package oauth

import (
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// ReadPair returns the pair that members of an answer hold, which it uses up, or nil
// without a usable access token, which a header must be able to carry. It also returns
// nil if the refresh token cannot be read: to keep the one that we have in its place
// would end the session with the next refresh.
//
// It is for the packages beside this one: outside of them nothing has its arguments.
func ReadPair(a *wire.Answer, members member.Fields) *TokenPair {
	access := member.BareToken(member.Token(members["access_token"]))
	if !member.UsableToken(access) || member.Illegible(members["refresh_token"]) {
		return nil
	}
	sentAt, now := a.SentAt.Round(0), a.ServerTime().Round(0)
	p := &TokenPair{
		AccessToken:  access,
		RefreshToken: member.Token(members["refresh_token"]),
		TokenType:    members.Text("token_type"),
		IssuedAt:     sentAt,
		Scope:        members.Scope(),
		IDToken:      strings.TrimSpace(members.Text("id_token")),
		Skew:         a.Skew(),
	}
	p.ExpiresIn, _ = members.Seconds("expires_in")
	if life, known := lifetime.OfAccess(members, access, a.Settings.DefaultLifetime, now); known {
		p.ExpiresAt = sentAt.Add(life)
	}
	if life, known := lifetime.OfRefresh(members, p.RefreshToken, now); known {
		p.RefreshExpiresAt = sentAt.Add(life)
	}
	p.RefreshAt = refreshHint(members, p)
	p.Extra = members.Without(member.ResponseNames)
	return p
}

// refreshHint reads Entra's refresh_in, the seconds after which a token should be
// renewed. One outside of the token's life is ignored.
func refreshHint(fields member.Fields, p *TokenPair) time.Time {
	seconds, _ := fields.Seconds("refresh_in")
	at := p.IssuedAt.Add(time.Duration(seconds) * time.Second)
	if !lifetime.Believable(seconds) || !p.ExpiresAt.IsZero() && !at.Before(p.ExpiresAt) {
		return time.Time{}
	}
	return at
}
