package oauthtest

import (
	"context"
	"fmt"
	"strings"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/oauth"
)

// OAuthConfig returns a configuration for oauth.NewClient: issuer, endpoints, the
// server's first client, and its default scope. After New it has the in-process
// Client; after NewServer it uses sockets, after NewTLSServer with a client that
// trusts the server.
func (s *Server) OAuthConfig() oauth.Config {
	cfg := oauth.Config{
		Issuer:        s.Issuer(),
		ClientID:      s.cfg.ClientID,
		ClientSecret:  s.engine.Clients.Own().Secret,
		AuthURL:       s.Endpoint(AuthorizeEndpoint),
		TokenURL:      s.Endpoint(TokenEndpoint),
		DeviceAuthURL: s.Endpoint(DeviceAuthorizationEndpoint),
		RevocationURL: s.Endpoint(RevocationEndpoint),
		Endpoints: oauth.Endpoints{
			Introspection: s.Endpoint(IntrospectionEndpoint),
			Userinfo:      s.Endpoint(UserinfoEndpoint),
			PushedAuth:    s.Endpoint(PushedAuthorizationEndpoint),
			EndSession:    s.Endpoint(EndSessionEndpoint),
			Registration:  s.Endpoint(RegistrationEndpoint),
			JWKS:          s.Endpoint(JWKSEndpoint),
		},
		Scopes: strings.Fields(s.cfg.DefaultScope),
	}
	cfg.RequirePushedAuth = s.cfg.RequirePushedAuth
	switch {
	case s.http == nil:
		cfg.HTTPClient = s.Client()
	case s.certificate != nil:
		cfg.HTTPClient = s.trusting()
	}
	return cfg
}

// Login starts a session for user without a browser, for the server's first
// client and the default scope, and returns its tokens. It fails for a user that
// the server does not know. No fault touches it, and nothing counts it.
func (s *Server) Login(user string) (*oauth.TokenPair, error) {
	if !s.engine.Users.Knows(user) {
		return nil, fmt.Errorf("oauthtest: there is no user %q; add it to Config.Users", user)
	}
	now := s.cfg.Now()
	sessions := s.engine.Sessions
	fields, err := sessions.Begin(context.Background(), sessions.NewGrant(user, s.cfg.ClientID, ""), keys.Confirmation{})
	if err != nil {
		return nil, fmt.Errorf("oauthtest: login: %w", err)
	}
	t := &oauth.TokenPair{
		AccessToken: answer.String(fields, "access_token"), RefreshToken: answer.String(fields, "refresh_token"),
		TokenType: "Bearer", IDToken: answer.String(fields, "id_token"), Scope: answer.String(fields, "scope"),
		ExpiresIn: int64(s.cfg.AccessTokenLifetime.Seconds()), IssuedAt: now, ExpiresAt: now.Add(s.cfg.AccessTokenLifetime),
	}
	if s.cfg.AnnounceRefreshLifetime && t.RefreshToken != "" {
		t.RefreshExpiresAt = now.Add(s.cfg.RefreshTokenLifetime)
	}
	return t, nil
}
