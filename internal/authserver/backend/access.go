package backend

import (
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/keys"
)

// Backends that keep no list of their access tokens look at the JWT alone: a token is good
// until it says that it ends, whatever has become of its session.

// tells has the access token of an answer say what a backend's tokens say, and when it ends.
func tells(e *Endpoints, a *answer.Answer, says func(*keys.AccessClaims) jwt.MapClaims) {
	claims, err := e.Keys.Verify(a.String("access_token"))
	if err != nil {
		return
	}
	public := says(claims)
	public["exp"] = claims.ExpiresAt
	a.Fields["access_token"] = e.Keys.SignBare(*claims, public)
}

// tellsUser makes the access token of an answer one that has the user's name as a claim, and
// its end.
func tellsUser(e *Endpoints, a *answer.Answer, claim string) {
	tells(e, a, func(c *keys.AccessClaims) jwt.MapClaims { return jwt.MapClaims{claim: c.Subject} })
}

// What is wrong with an access token.
type accessFault int

const (
	accessGood accessFault = iota
	accessMalformed
	accessForged
	accessExpired
)

// access returns the claims of an access token, and what is wrong with it. The claims of one
// that has expired are there, too.
func (e *Endpoints) access(token string, leeway time.Duration) (*keys.AccessClaims, accessFault) {
	claims, err := e.Keys.Verify(token)
	switch {
	case err != nil && strings.Count(token, ".") != 2:
		return nil, accessMalformed
	case err != nil:
		return nil, accessForged
	case e.Now().Add(-leeway).UnixMilli() >= claims.ExpiresMilli:
		return claims, accessExpired
	}
	return claims, accessGood
}

// originally has a session's token tell when it was first issued, as gin-jwt's do.
func originally(now time.Time) func(*keys.AccessClaims) jwt.MapClaims {
	return func(c *keys.AccessClaims) jwt.MapClaims {
		c.OrigIssuedAt = jwt.NewNumericDate(now)
		return jwt.MapClaims{"identity": c.Subject, "orig_iat": c.OrigIssuedAt}
	}
}
