package grant

import (
	"net/http"
	"slices"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/form"
)

// Token types (RFC 8693 section 3) that the server takes or issues.
const (
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeIDToken     = "urn:ietf:params:oauth:token-type:id_token"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// byExchange is token exchange (RFC 8693). Subject and actor are shown by access
// tokens or ID tokens of this server; the client itself must have been given them,
// unless it has a secret. It issues access tokens, which are JWTs, and no refresh
// token; or an identity assertion, for another server.
func (e *Endpoints) byExchange(q request) *answer.Answer {
	requested := q.form.Get("requested_token_type")
	if requested == typeIDJAG {
		return e.exchangeForIDJAG(q)
	}
	if requested == "" {
		requested = typeAccessToken
	}
	if requested != typeAccessToken && requested != typeJWT {
		return answer.BadRequest("invalid_request", "a token of the requested type is not issued")
	}
	if q.form.Get("subject_token") == "" || q.form.Has("actor_token") != q.form.Has("actor_token_type") {
		return answer.BadRequest("invalid_request", "a token or its type is missing")
	}
	subject := e.shownToken(q, "subject_token")
	if subject == nil {
		return answer.BadRequest("invalid_request", "the subject token is not accepted")
	}
	g := e.Sessions.NewGrant(subject.user, q.client.ID, "")
	if g.Scope = subject.scope; q.form.Get("scope") != "" {
		g.Scope = q.form.Get("scope")
	}
	if form.Exceeds(g.Scope, subject.scope) {
		return answer.BadRequest("invalid_scope", "the scope exceeds that of the subject token")
	}
	if q.form.Has("actor_token") {
		actor := e.shownToken(q, "actor_token")
		if actor == nil {
			return answer.BadRequest("invalid_request", "the actor token is not accepted")
		}
		g.Actor = actor.user
	}
	g.Resources = slices.Concat(q.form["resource"], q.form["audience"])
	fields := e.Sessions.BeginAccess(g, q.shown)
	fields["issued_token_type"] = requested
	if requested != typeAccessToken {
		fields["token_type"] = "N_A" // RFC 8693 section 2.2.1
	}
	return answer.JSON(http.StatusOK, fields)
}

// A shownToken is what a subject or actor token says.
type shownToken struct{ user, scope string }

// shownToken reads the token in a field, or returns nil if the server does not take
// it from this client.
func (e *Endpoints) shownToken(q request, field string) *shownToken {
	token, c := q.form.Get(field), q.client
	switch q.form.Get(field + "_type") {
	case typeAccessToken, typeJWT:
		claims := e.Sessions.LiveAccess(token)
		if claims != nil && (claims.ClientID == c.ID || c.Secret != "") {
			return &shownToken{claims.Subject, claims.Scope}
		}
	case typeIDToken:
		claims, err := e.Keys.VerifyID(token)
		if err == nil && e.Proofs.Now().Before(claims.ExpiresAt.Time) && (slices.Contains(claims.Audience, c.ID) || c.Secret != "") {
			return &shownToken{claims.Subject, e.DefaultScope}
		}
	}
	return nil
}
