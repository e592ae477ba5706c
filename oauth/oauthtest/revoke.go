package oauthtest

import (
	"context"
	"net/http"
	"time"
)

// serveRevocation is RFC 7009. Revoking a refresh token ends its session;
// revoking an access token ends that token only.
func (s *Server) serveRevocation(r *http.Request) *answer {
	c, token, refusal := s.askedAbout(r)
	if refusal != nil {
		return refusal
	}
	ctx := detached(r)
	known := s.revokeRefresh(ctx, c, token)
	if !known {
		known = s.revokeAccess(ctx, c, token)
	}
	if !known && s.cfg.Quirks.UnknownRevocationFails {
		return badRequest("invalid_token", "the token is unknown")
	}
	// Section 2.2: an unknown token is as good as revoked.
	return &answer{status: http.StatusOK, header: http.Header{"Cache-Control": {"no-store"}}}
}

// askedAbout returns the token that a request is about, and the client that sent it,
// or a refusal.
func (s *Server) askedAbout(r *http.Request) (RegisteredClient, string, *answer) {
	c, refusal := s.authenticate(r)
	token := r.PostForm.Get("token")
	if refusal == nil && token == "" {
		refusal = badRequest("invalid_request", "token is missing")
	}
	return c, token, refusal
}

// revokeRefresh reports whether token is a refresh token of c, and ends it.
func (s *Server) revokeRefresh(ctx context.Context, c RegisteredClient, token string) bool {
	se := s.sessionOf(ctx, token)
	if se == nil || se.Client != c.ID {
		return false
	}
	s.audit.revoked(hashOf(token))
	s.mu.Lock()
	known := !se.ended || !s.cfg.Quirks.UnknownRevocationFails
	se.revoked = true
	s.mu.Unlock()
	s.endSessions(ctx, func(other *session) bool { return other == se })
	return known
}

// sessionOf returns the session of a refresh token, spent or not, or nil.
func (s *Server) sessionOf(ctx context.Context, token string) *session {
	hash := hashOf(token)
	s.mu.Lock()
	st := s.tokens[hash]
	s.mu.Unlock()
	if st != nil {
		return st.session
	}
	se, err := s.lookUp(ctx, hash)
	if err != nil {
		return nil
	}
	return se
}

// revokeAccess reports whether token is an access token of c, and ends it.
func (s *Server) revokeAccess(ctx context.Context, c RegisteredClient, token string) bool {
	claims, err := s.keys.verify(token)
	if err != nil || claims.ClientID != c.ID {
		return false
	}
	if s.cfg.Quirks.AccessRevocationEndsSession {
		s.endSessions(ctx, func(se *session) bool { return se.Session == claims.Session })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if se := s.sessions[claims.Session]; se != nil {
		if se.killed == nil {
			se.killed = make(map[string]bool)
		}
		se.killed[claims.ID] = true
	}
	return true
}

// serveIntrospection is RFC 7662, for the client that a token was given to. It
// does not spend refresh tokens.
func (s *Server) serveIntrospection(r *http.Request) *answer {
	c, token, refusal := s.askedAbout(r)
	if refusal != nil {
		return refusal
	}
	if claims := s.liveAccess(token); claims != nil && claims.ClientID == c.ID {
		fields := map[string]any{
			"active": true, "token_type": "Bearer", "iss": s.issuer, "sub": claims.Subject, "username": claims.Subject,
			"aud": claims.Audience, "client_id": claims.ClientID, "scope": claims.Scope, "jti": claims.ID,
			"iat": claims.IssuedAt.Unix(), "exp": claims.ExpiresAt.Unix(),
		}
		if claims.Confirmation != nil { // RFC 9449 section 6.2, RFC 8705 section 3.2
			fields["cnf"] = claims.Confirmation
			if claims.Confirmation.JKT != "" {
				fields["token_type"] = "DPoP"
			}
		}
		return jsonAnswer(http.StatusOK, fields)
	}
	if fields := s.introspectRefresh(r, c, token); fields != nil {
		return jsonAnswer(http.StatusOK, fields)
	}
	// Section 2.2: nothing more about a token that is not active.
	return jsonAnswer(http.StatusOK, map[string]any{"active": false})
}

// introspectRefresh describes a refresh token that can be spent, or returns nil.
func (s *Server) introspectRefresh(r *http.Request, c RegisteredClient, token string) map[string]any {
	hash := hashOf(token)
	se, err := s.lookUp(detached(r), hash)
	if err != nil || se == nil || se.Client != c.ID {
		return nil
	}
	s.mu.Lock()
	expires := time.Time{}
	if st := s.tokens[hash]; st != nil {
		expires = st.expires
	}
	s.mu.Unlock()
	return map[string]any{
		"active": true, "iss": s.issuer, "sub": se.User, "username": se.User, "client_id": se.Client,
		"scope": se.Scope, "exp": wholeSecond(expires).Unix(),
	}
}
