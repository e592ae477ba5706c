package grant

import (
	"net/http"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/client"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/keys"
)

// ServeRevocation is RFC 7009. Revoking a refresh token ends its session; revoking
// an access token ends that token only.
func (e *Endpoints) ServeRevocation(r *http.Request) *answer.Answer {
	c, token, refusal := e.askedAbout(r)
	if refusal != nil {
		return refusal
	}
	if !e.Sessions.Revoke(form.Detached(r), c.ID, token) && e.UnknownRevocationFails {
		return answer.BadRequest("invalid_token", "the token is unknown")
	}
	// Section 2.2: an unknown token is as good as revoked.
	return answer.Empty(http.StatusOK)
}

// askedAbout returns the token that a request is about, and the client that sent it,
// or a refusal.
func (e *Endpoints) askedAbout(r *http.Request) (client.Client, string, *answer.Answer) {
	c, refusal := e.Auth.Authenticate(r)
	token := r.PostForm.Get("token")
	if refusal == nil && token == "" {
		refusal = answer.BadRequest("invalid_request", "token is missing")
	}
	return c, token, refusal
}

// ServeIntrospection is RFC 7662, for the client that a token was given to. It
// does not spend refresh tokens.
func (e *Endpoints) ServeIntrospection(r *http.Request) *answer.Answer {
	c, token, refusal := e.askedAbout(r)
	if refusal != nil {
		return refusal
	}
	if claims := e.Sessions.LiveAccess(token); claims != nil && claims.ClientID == c.ID {
		fields := map[string]any{
			"active": true, "token_type": "Bearer", "iss": e.Issuer, "sub": claims.Subject, "username": claims.Subject,
			"aud": claims.Audience, "client_id": claims.ClientID, "scope": claims.Scope, "jti": claims.ID,
			"iat": claims.IssuedAt.Unix(), "exp": claims.ExpiresAt.Unix(),
		}
		if claims.Confirmation != nil { // RFC 9449 section 6.2, RFC 8705 section 3.2
			fields["cnf"] = claims.Confirmation
			if claims.Confirmation.JKT != "" {
				fields["token_type"] = "DPoP"
			}
		}
		return answer.JSON(http.StatusOK, fields)
	}
	if k, live := e.Sessions.Describe(form.Detached(r), token); live && k.Client == c.ID {
		return answer.JSON(http.StatusOK, map[string]any{
			"active": true, "iss": e.Issuer, "sub": k.User, "username": k.User, "client_id": k.Client,
			"scope": k.Scope, "exp": keys.WholeSecond(k.Expires).Unix(),
		})
	}
	// Section 2.2: nothing more about a token that is not active.
	return answer.JSON(http.StatusOK, map[string]any{"active": false})
}
