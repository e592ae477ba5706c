package oauthtest

import "net/http"

// serveResourceMetadata tells which authorization server the protected resource
// takes tokens from (RFC 9728 section 3). It is public: a client that shows it a
// token has mistaken it for the resource.
func (s *Server) serveResourceMetadata(r *http.Request) *answer {
	if r.Header.Get("Authorization") != "" {
		s.audit.note(TokenAstray, string(ResourceMetadataEndpoint))
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"resource":                 s.Resource(),
		"authorization_servers":    []string{s.issuer},
		"bearer_methods_supported": []string{"header"},
		"scopes_supported":         []string{"openid", "profile", "email", "offline_access"},
	})
}
