// Package resource serves the protected resources behind the authorization server:
// an API, userinfo, and the API's metadata.
package resource

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/audit"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/internal/authserver/proof"
	"github.com/evertoken/evertoken/internal/authserver/secret"
	"github.com/evertoken/evertoken/internal/authserver/session"
	"github.com/evertoken/evertoken/internal/authserver/site"
)

// A Config says what the resources want. What the fields do is told where the
// program sets them: see oauthtest.Config and oauthtest.Quirks.
type Config struct {
	ResourceScope string
	ExactScheme   bool
	PostOnly      bool
	Silent        bool // no metadata
	Unannounced   bool // no resource_metadata in challenges
	ByOrigin      bool // the metadata names the origin
	DeadAccess    answer.Instead
}

// Endpoints are the endpoints. All fields but Config are required.
type Endpoints struct {
	Config
	Site     site.Site
	Proofs   *proof.Checker
	Sessions *session.Sessions
	Audit    *audit.Auditor

	mu               sync.Mutex // guards what follows
	served, rejected int
}

// Counts returns how many requests the API accepted, and how many it refused because
// of their token.
func (e *Endpoints) Counts() (served, rejected int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.served, e.rejected
}

func (e *Endpoints) challenge(status int, code, description, scope string) *answer.Answer {
	metadata := e.Site.URL(site.ResourceMetadata)
	if e.Silent || e.Unannounced {
		metadata = ""
	}
	return answer.Challenge(status, code, description, scope, metadata)
}

// bearer returns the claims of the live access token that r carries, or the
// refusal (RFC 6750 section 3, RFC 9449 section 7).
func (e *Endpoints) bearer(r *http.Request) (*keys.AccessClaims, *answer.Answer) {
	header := r.Header.Get("Authorization")
	if header == "" {
		// Section 3.1: no error code for a request that did not try.
		return nil, e.challenge(http.StatusUnauthorized, "", "", "")
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !e.isBearer(scheme) && !proof.Presented(r) || len(r.Header.Values("Authorization")) > 1 {
		return nil, e.challenge(http.StatusUnauthorized, "", "", "")
	}
	token = strings.TrimSpace(token)
	claims := e.Sessions.LiveAccess(token)
	if claims == nil {
		dead := e.challenge(http.StatusUnauthorized, "invalid_token", "The access token is expired, revoked or malformed", "")
		return nil, e.DeadAccess.Of(dead)
	}
	if refusal := e.checkKey(r, token, claims); refusal != nil {
		return nil, refusal
	}
	if refusal := e.checkCertificate(r, token, claims); refusal != nil {
		return nil, refusal
	}
	e.Sessions.NoteUse(claims)
	return claims, nil
}

// isBearer reports whether scheme is Bearer, in any letters (RFC 9110 section 11.1)
// unless ExactScheme is set.
func (e *Endpoints) isBearer(scheme string) bool {
	if e.ExactScheme {
		return scheme == "Bearer"
	}
	return strings.EqualFold(scheme, "Bearer")
}

// checkKey refuses a living access token that is not presented as it has to be (RFC
// 9449 section 7), or returns nil.
func (e *Endpoints) checkKey(r *http.Request, token string, claims *keys.AccessClaims) *answer.Answer {
	const status = http.StatusUnauthorized
	bound := claims.Confirmation != nil && claims.Confirmation.JKT != ""
	switch proving := proof.Presented(r); {
	case bound != proving:
		if bound {
			e.Audit.Note(audit.PresentedBare, secret.Short(secret.Hash(token)))
		}
		return e.challenge(status, "invalid_token", "The access token was issued for another scheme", "")
	case !bound:
		return nil
	}
	p, code, description := e.Proofs.Check(r, proof.RoleResource)
	switch {
	case p == nil:
		return e.challenge(status, code, description, "")
	case p.TokenHash != secret.S256(token):
		return e.challenge(status, "invalid_dpop_proof", "ath is not the hash of the access token", "")
	case p.Thumbprint != claims.Confirmation.JKT:
		return e.challenge(status, "invalid_token", "The access token is bound to another key", "")
	}
	return nil
}

// checkCertificate refuses a living access token that is bound to another
// certificate than that of r's connection, or returns nil.
func (e *Endpoints) checkCertificate(r *http.Request, token string, claims *keys.AccessClaims) *answer.Answer {
	if claims.Confirmation == nil || claims.Confirmation.Certificate == "" {
		return nil
	}
	presented := proof.Certificate(r)
	if presented == "" {
		e.Audit.Note(audit.PresentedBare, secret.Short(secret.Hash(token)))
	}
	if presented != claims.Confirmation.Certificate {
		return e.challenge(http.StatusUnauthorized, "invalid_token", "The access token is bound to another certificate", "")
	}
	return nil
}

// told answers a client that presented a bound token in its own scheme (RFC 9449
// sections 7.1, 9).
func (e *Endpoints) told(r *http.Request, a *answer.Answer) *answer.Answer {
	if !proof.Presented(r) {
		return a
	}
	if params, refused := strings.CutPrefix(a.Header.Get("WWW-Authenticate"), "Bearer "); refused {
		a.Header.Set("WWW-Authenticate", "DPoP "+params+`, algs="ES256"`)
	}
	e.Proofs.Tell(a.Header, proof.RoleResource)
	return a
}

// ServeAPI is an API that wants a token. It tells who asked, and how.
func (e *Endpoints) ServeAPI(r *http.Request) *answer.Answer { return e.told(r, e.serveAPI(r)) }

func (e *Endpoints) serveAPI(r *http.Request) *answer.Answer {
	if e.PostOnly && r.Method != http.MethodPost {
		a := answer.Text(http.StatusMethodNotAllowed, "oauthtest: the method is not allowed here")
		a.Header.Set("Allow", http.MethodPost)
		return a
	}
	claims, refusal := e.bearer(r)
	if refusal == nil && e.ResourceScope != "" && !form.HasScope(claims.Scope, e.ResourceScope) {
		refusal = e.challenge(http.StatusForbidden, "insufficient_scope", "The access token lacks a scope", e.ResourceScope)
	}
	e.count(refusal == nil)
	if refusal != nil {
		return refusal
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return answer.Text(http.StatusBadRequest, "oauthtest: the body cannot be read")
	}
	return answer.JSON(http.StatusOK, map[string]any{
		"user": claims.Subject, "method": r.Method, "path": r.URL.Path, "bytes": len(body), "scope": claims.Scope,
	})
}

func (e *Endpoints) count(good bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if good {
		e.served++
	} else {
		e.rejected++
	}
}

// ServeUserinfo is the endpoint of OpenID Connect Core section 5.3.
func (e *Endpoints) ServeUserinfo(r *http.Request) *answer.Answer {
	return e.told(r, e.serveUserinfo(r))
}

func (e *Endpoints) serveUserinfo(r *http.Request) *answer.Answer {
	claims, refusal := e.bearer(r)
	if refusal != nil {
		return refusal
	}
	if !form.HasScope(claims.Scope, "openid") {
		return e.challenge(http.StatusForbidden, "insufficient_scope", "The access token lacks a scope", "openid")
	}
	fields := map[string]any{"sub": claims.Subject}
	if form.HasScope(claims.Scope, "profile") {
		fields["name"], fields["preferred_username"] = claims.Subject, claims.Subject
	}
	if form.HasScope(claims.Scope, "email") {
		fields["email"], fields["email_verified"] = claims.Subject+"@example.test", true
	}
	return answer.JSON(http.StatusOK, fields)
}

// ServeMetadata tells which authorization server the API takes tokens from (RFC 9728
// section 3). It is public: a client that shows it a token has mistaken it for the
// API.
func (e *Endpoints) ServeMetadata(r *http.Request) *answer.Answer {
	if r.Header.Get("Authorization") != "" {
		e.Audit.Note(audit.TokenAstray, site.ResourceMetadata)
	}
	if e.Silent {
		return answer.Text(http.StatusNotFound, "oauthtest: there is no such page")
	}
	name := e.Site.URL(site.Resource)
	if e.ByOrigin {
		name = e.Site.Origin
	}
	return answer.JSON(http.StatusOK, map[string]any{
		"resource":                 name,
		"authorization_servers":    []string{e.Site.Issuer()},
		"bearer_methods_supported": []string{"header"},
		"scopes_supported":         []string{"openid", "profile", "email", "offline_access"},
	})
}
