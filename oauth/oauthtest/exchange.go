package oauthtest

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// Token types (RFC 8693 section 3) that the server takes or issues.
const (
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeIDToken     = "urn:ietf:params:oauth:token-type:id_token"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// grantByExchange is token exchange (RFC 8693). Subject and actor are shown by
// access tokens or ID tokens of this server; the client itself must have been
// given them, unless it has a secret. It issues access tokens, which are JWTs,
// and no refresh token.
func (s *Server) grantByExchange(r *http.Request, c RegisteredClient) *answer {
	form := r.PostForm
	requested := form.Get("requested_token_type")
	if requested == "" {
		requested = typeAccessToken
	}
	if requested != typeAccessToken && requested != typeJWT {
		return badRequest("invalid_request", "a token of the requested type is not issued")
	}
	if form.Get("subject_token") == "" || form.Has("actor_token") != form.Has("actor_token_type") {
		return badRequest("invalid_request", "a token or its type is missing")
	}
	subject := s.shownToken(c, form.Get("subject_token"), form.Get("subject_token_type"))
	if subject == nil {
		return badRequest("invalid_request", "the subject token is not accepted")
	}
	g := s.newGrant(subject.user, c.ID, "")
	if g.Scope = subject.scope; form.Get("scope") != "" {
		g.Scope = form.Get("scope")
	}
	for _, name := range strings.Fields(g.Scope) {
		if !hasScope(subject.scope, name) {
			return badRequest("invalid_scope", "the scope exceeds that of the subject token")
		}
	}
	if form.Has("actor_token") {
		actor := s.shownToken(c, form.Get("actor_token"), form.Get("actor_token_type"))
		if actor == nil {
			return badRequest("invalid_request", "the actor token is not accepted")
		}
		g.actor = actor.user
	}
	g.Resources = slices.Concat(form["resource"], form["audience"])
	return s.answerExchange(r.Context(), g, requested)
}

// answerExchange starts a session that has an access token alone.
func (s *Server) answerExchange(ctx context.Context, g grant, issued string) *answer {
	se := &session{grant: g, live: make(map[string]bool)}
	s.mu.Lock()
	s.sessions[g.Session] = se
	s.mu.Unlock()
	fields := s.mintAccess(ctx, se, g.Scope, g.Resources)
	fields["issued_token_type"] = issued
	if issued != typeAccessToken {
		fields["token_type"] = "N_A" // RFC 8693 section 2.2.1
	}
	return jsonAnswer(http.StatusOK, fields)
}

// A shownToken is what a subject or actor token says.
type shownToken struct{ user, scope string }

// shownToken reads a token that c shows, or returns nil if it is none that the
// server takes.
func (s *Server) shownToken(c RegisteredClient, token, tokenType string) *shownToken {
	switch tokenType {
	case typeAccessToken, typeJWT:
		claims := s.liveAccess(token)
		if claims != nil && (claims.ClientID == c.ID || c.Secret != "") {
			return &shownToken{claims.Subject, claims.Scope}
		}
	case typeIDToken:
		claims, err := s.keys.verifyID(token)
		if err == nil && s.now().Before(claims.ExpiresAt.Time) && (slices.Contains(claims.Audience, c.ID) || c.Secret != "") {
			return &shownToken{claims.Subject, s.cfg.DefaultScope}
		}
	}
	return nil
}

// verifyID checks the signature and type of an ID token, not its times.
func (k *keyring) verifyID(token string) (*jwt.RegisteredClaims, error) {
	var claims jwt.RegisteredClaims
	t, err := jwt.ParseWithClaims(token, &claims, k.publicKey,
		jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithoutClaimsValidation())
	if err != nil || t.Header["typ"] != "JWT" || claims.ExpiresAt == nil {
		return nil, errBadToken
	}
	return &claims, nil
}
