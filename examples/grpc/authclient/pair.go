package authclient

import (
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
)

var errNotUsable = errors.New("the answer does not hold what was asked for")

// readPair returns the pair in an answer to a call that was sent at the given
// time. An answer with a token that cannot be used leaves open what the server has done. One
// that came whole and has none where we look has spent the refresh token all the same.
func readPair(op string, reply Reply, sent time.Time) (*oauth.TokenPair, error) {
	if reply == nil || strings.TrimSpace(reply.GetAccessToken()) == "" {
		return nil, &oauth.Error{Op: op, Kind: oauth.ErrMisconfigured, Status: 200, Sent: true, Err: oauth.ErrUnreadAnswer,
			Hint: "the server's message has its tokens in other fields: compare its proto file with authclient.Reply"}
	}
	if !usableToken(reply.GetAccessToken()) {
		return nil, &oauth.Error{Op: op, Kind: oauth.ErrTransient, Status: 200, Sent: true, Err: errNotUsable}
	}
	sent = sent.Round(0)
	p := &oauth.TokenPair{
		AccessToken:  reply.GetAccessToken(),
		RefreshToken: reply.GetRefreshToken(),
		TokenType:    "Bearer",
		ExpiresIn:    reply.GetExpiresIn(),
		IssuedAt:     sent,
	}
	switch life, known := jwtLifetime(p.AccessToken, sent); {
	case p.ExpiresIn < 0:
		p.ExpiresAt = sent // dead already
	case p.ExpiresIn > 0 && p.ExpiresIn <= int64(maxLifetime/time.Second):
		p.ExpiresAt = sent.Add(time.Duration(p.ExpiresIn) * time.Second)
	case known:
		p.ExpiresIn, p.ExpiresAt = 0, sent.Add(life)
	default:
		p.ExpiresIn = 0 // says nothing
	}
	if life, known := jwtLifetime(p.RefreshToken, sent); known {
		p.RefreshExpiresAt = sent.Add(life) // the session ends then
	}
	return p, nil
}

// maxLifetime is the longest life believed. A longer one is a unit error or means
// "never".
const maxLifetime = 10 * 365 * 24 * time.Hour

// jwtLifetime returns exp − iat of an unverified JWT, which is a hint for planning
// only. The difference is free of the skew between the server's clock and ours. Without
// iat it is the time that is left by our clock.
func jwtLifetime(token string, now time.Time) (time.Duration, bool) {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil || claims.ExpiresAt == nil {
		return 0, false
	}
	life := claims.ExpiresAt.Sub(now)
	if claims.IssuedAt != nil {
		life = claims.ExpiresAt.Sub(claims.IssuedAt.Time)
	}
	return life, life > 0 && life <= maxLifetime
}

// usableToken reports whether a token can travel in a header: printable ASCII.
func usableToken(token string) bool {
	return strings.TrimSpace(token) != "" && strings.IndexFunc(token, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
