package oauthtest

import (
	"io"
	"net/http"
	"strings"
)

// bearer returns the claims of the live access token that r carries, or the
// refusal (RFC 6750 section 3, RFC 9449 section 7).
func (s *Server) bearer(r *http.Request) (*accessClaims, *answer) {
	header := r.Header.Get("Authorization")
	if header == "" {
		// Section 3.1: no error code for a request that did not try.
		return nil, s.challenge(http.StatusUnauthorized, "", "", "")
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !s.isBearer(scheme) && !usesDPoP(r) || len(r.Header.Values("Authorization")) > 1 {
		return nil, s.challenge(http.StatusUnauthorized, "", "", "")
	}
	token = strings.TrimSpace(token)
	claims := s.liveAccess(token)
	if claims == nil {
		dead := s.challenge(http.StatusUnauthorized, "invalid_token", "The access token is expired, revoked or malformed", "")
		return nil, s.cfg.Quirks.DeadAccess.instead(dead)
	}
	if refusal := s.checkBinding(r, token, claims); refusal != nil {
		return nil, refusal
	}
	if refusal := s.checkCertificate(r, token, claims); refusal != nil {
		return nil, refusal
	}
	s.noteUse(claims)
	return claims, nil
}

// isBearer reports whether scheme is Bearer, in any letters (RFC 9110 section 11.1)
// unless ExactScheme is set.
func (s *Server) isBearer(scheme string) bool {
	if s.cfg.Quirks.ExactScheme {
		return scheme == "Bearer"
	}
	return strings.EqualFold(scheme, "Bearer")
}

// liveAccess returns the claims of an access token that is valid now, or nil.
func (s *Server) liveAccess(token string) *accessClaims {
	claims, err := s.keys.verify(token)
	if err != nil || s.now().UnixMilli() >= claims.ExpiresMilli {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	se := s.sessions[claims.Session]
	if se == nil || se.ended || claims.Serial < se.minSerial || se.killed[claims.ID] {
		return nil
	}
	return claims
}

// challenge returns a refusal with WWW-Authenticate, which says where to read about
// the resource (RFC 9728 section 5.1). Empty parts are left out.
func (s *Server) challenge(status int, code, description, scope string) *answer {
	fields := map[string]any{}
	value := `Bearer realm="oauthtest"`
	for _, p := range [...]struct{ name, value string }{
		{"error", code}, {"error_description", description}, {"scope", scope},
	} {
		if p.value != "" {
			value += ", " + p.name + `="` + p.value + `"`
			fields[p.name] = p.value
		}
	}
	value += `, resource_metadata="` + s.Endpoint(ResourceMetadataEndpoint) + `"`
	a := jsonAnswer(status, fields)
	a.header.Set("WWW-Authenticate", value)
	return a
}

// serveResource is an API that wants a token. It tells who asked, and how.
func (s *Server) serveResource(r *http.Request) *answer {
	claims, refusal := s.bearer(r)
	if refusal == nil && s.cfg.ResourceScope != "" && !hasScope(claims.Scope, s.cfg.ResourceScope) {
		refusal = s.challenge(http.StatusForbidden, "insufficient_scope", "The access token lacks a scope", s.cfg.ResourceScope)
	}
	s.mu.Lock()
	if refusal != nil {
		s.rejected++
	} else {
		s.served++
	}
	s.mu.Unlock()
	if refusal != nil {
		return refusal
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return textAnswer(http.StatusBadRequest, "oauthtest: the body cannot be read")
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"user": claims.Subject, "method": r.Method, "path": r.URL.Path, "bytes": len(body), "scope": claims.Scope,
	})
}

// serveUserinfo is the endpoint of OpenID Connect Core section 5.3.
func (s *Server) serveUserinfo(r *http.Request) *answer {
	claims, refusal := s.bearer(r)
	if refusal != nil {
		return refusal
	}
	if !hasScope(claims.Scope, "openid") {
		return s.challenge(http.StatusForbidden, "insufficient_scope", "The access token lacks a scope", "openid")
	}
	fields := map[string]any{"sub": claims.Subject}
	if hasScope(claims.Scope, "profile") {
		fields["name"], fields["preferred_username"] = claims.Subject, claims.Subject
	}
	if hasScope(claims.Scope, "email") {
		fields["email"], fields["email_verified"] = claims.Subject+"@example.test", true
	}
	return jsonAnswer(http.StatusOK, fields)
}
