package oauth

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/internal/rawjson"
)

// An answer is what came back for a token request, with everything that judging
// it needs. Judging is separate from asking, so that it can be tested and fuzzed
// without a network.
type answer struct {
	op       string
	status   int
	header   http.Header
	body     []byte
	whole    bool      // the body arrived completely and within the limit
	sentAt   time.Time // before the request was sent
	received time.Time
	fallback time.Duration // Config.DefaultLifetime
	auth     ClientAuth    // how the client authenticated, if it did
	endCodes []string      // Preset.EndCodes
	// secretEnds is Config.ClientSecretExpiresAt, zero if the secret does not end.
	secretEnds time.Time
}

// fields returns the members of the JSON object in the body, or nil. They share
// the body's memory.
func (a answer) fields() map[string]json.RawMessage {
	if !a.whole {
		return nil
	}
	return rawjson.Object(a.body)
}

// page reports whether the body is markup.
func (a answer) page() bool {
	return strings.HasPrefix(strings.TrimSpace(string(a.body[:min(len(a.body), 512)])), "<")
}

var responseNames = []string{"access_token", "refresh_token", "token_type", "expires_in", "scope", "id_token"}

// pair reads a successful answer, or returns nil if it has no usable token.
func (a answer) pair(fields map[string]json.RawMessage) *TokenPair {
	access := textField(fields, "access_token")
	if !usableToken(access) {
		return nil
	}
	sentAt := a.sentAt.Round(0)
	p := &TokenPair{
		AccessToken:  access,
		RefreshToken: textField(fields, "refresh_token"),
		TokenType:    textField(fields, "token_type"),
		IssuedAt:     sentAt,
		Scope:        scopeField(fields),
		IDToken:      textField(fields, "id_token"),
		Skew:         a.skew(),
	}
	p.ExpiresIn, _ = secondsField(fields, "expires_in")
	if life, known := a.lifetime(p); known {
		p.ExpiresAt = sentAt.Add(life)
	}
	if life, known := refreshLifetime(fields, p.RefreshToken); known {
		p.RefreshExpiresAt = sentAt.Add(life)
	}
	p.Extra = without(fields, responseNames)
	return p
}

// usableToken reports whether a token can travel in a header: printable ASCII
// (RFC 6749 appendix A.12).
func usableToken(token string) bool {
	for i := range len(token) {
		if token[i] < 0x20 || token[i] > 0x7e {
			return false
		}
	}
	return strings.TrimSpace(token) != ""
}

// maxLifetime is the longest access-token or refresh-token life believed. A
// longer one is a unit error (nanoseconds were seen: 5000000000 for 5 s) or
// means "never", and in both cases the number says nothing about the end.
const maxLifetime = 10 * 365 * 24 * time.Hour

// lifetime weighs the evidence for the access token's life: expires_in, the
// configured default, the token's own claims if it is a JWT. Zero and absurd
// values of expires_in say nothing; a negative one (seen on replays) says that
// the token is already dead.
func (a answer) lifetime(p *TokenPair) (time.Duration, bool) {
	switch {
	case p.ExpiresIn < 0:
		return 0, true
	case believable(p.ExpiresIn):
		return time.Duration(p.ExpiresIn) * time.Second, true
	case a.fallback > 0:
		return a.fallback, true
	}
	return jwtLifetime(p.AccessToken)
}

// refreshLifetime looks for the refresh token's life under the names servers
// use, then in the token itself. Keycloak's refresh_expires_in of 0 means that
// it does not end.
func refreshLifetime(fields map[string]json.RawMessage, token string) (time.Duration, bool) {
	for _, name := range []string{"refresh_token_expires_in", "refresh_expires_in"} {
		if n, ok := secondsField(fields, name); ok {
			return time.Duration(max(n, 0)) * time.Second, believable(n)
		}
	}
	return jwtLifetime(token)
}

func believable(seconds int64) bool {
	return seconds > 0 && seconds <= int64(maxLifetime/time.Second)
}

// jwtLifetime returns exp − iat of an unverified JWT. It is a hint for planning
// only: nobody may rely on reading a token that was not meant for him (RFC 9068
// section 6). The difference is free of clock skew, which exp alone is not.
func jwtLifetime(token string) (time.Duration, bool) {
	if strings.Count(token, ".") != 2 {
		return 0, false
	}
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil || claims.ExpiresAt == nil || claims.IssuedAt == nil {
		return 0, false
	}
	life := claims.ExpiresAt.Sub(claims.IssuedAt.Time)
	return life, life > 0 && life <= maxLifetime
}

// maxRetryAfter caps what a server can ask for, so that a typing mistake on its
// side does not end a session for a year.
const maxRetryAfter = time.Hour

// retryAt reads Retry-After in both forms (RFC 9110 section 10.2.3), or what the
// answer's members say instead. A date is taken relative to the server's own Date, so
// that clock skew cancels out. A success asks for nothing of the kind.
func (a answer) retryAt(fields map[string]json.RawMessage) time.Time {
	if isSuccess(a.status) && a.header.Get("Retry-After") == "" && waitInBody(fields) == 0 {
		return time.Time{}
	}
	text := strings.TrimSpace(a.header.Get("Retry-After"))
	wait := waitInBody(fields)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		wait = time.Duration(min(n, int64(maxRetryAfter/time.Second))) * time.Second
	} else if when, err := http.ParseTime(text); err == nil {
		wait = when.Sub(a.serverTime())
	}
	if wait <= 0 {
		return time.Time{}
	}
	return a.received.Round(0).Add(min(wait, maxRetryAfter))
}

// secretEnded reports whether the client authenticated by a secret that was no good
// any more, by the server's clock, when the answer came.
func (a answer) secretEnded() bool {
	return a.auth.usesSecret() && !a.secretEnds.IsZero() && !a.serverTime().Before(a.secretEnds)
}

// serverTime is the server's clock when it answered, or ours if it did not say.
func (a answer) serverTime() time.Time {
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		return date
	}
	return a.received
}

// skew is how far our clock is ahead of the server's, zero if that is not known.
func (a answer) skew() time.Duration {
	skew, _ := dpop.Skew(a.header, a.received)
	return skew
}
