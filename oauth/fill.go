package oauth

import (
	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// fill puts what the metadata says into cfg, without replacing what is there.
func fill(m member.Fields, cfg *Config) error {
	m = endpointsFor(m, cfg.auth())
	endpoints := []struct {
		member, field string
		target        *string
	}{
		{"authorization_endpoint", "AuthURL", &cfg.AuthURL},
		{"token_endpoint", "TokenURL", &cfg.TokenURL},
		{"device_authorization_endpoint", "DeviceAuthURL", &cfg.DeviceAuthURL},
		{"revocation_endpoint", "RevocationURL", &cfg.RevocationURL},
		{"introspection_endpoint", "Endpoints.Introspection", &cfg.Endpoints.Introspection},
		{"userinfo_endpoint", "Endpoints.Userinfo", &cfg.Endpoints.Userinfo},
		{"pushed_authorization_request_endpoint", "Endpoints.PushedAuth", &cfg.Endpoints.PushedAuth},
		{"end_session_endpoint", "Endpoints.EndSession", &cfg.Endpoints.EndSession},
		{"registration_endpoint", "Endpoints.Registration", &cfg.Endpoints.Registration},
	}
	for _, e := range endpoints {
		if *e.target == "" {
			*e.target = m.Text(e.member)
		}
		if *e.target == "" && e.member != "token_endpoint" {
			continue
		}
		if err := wire.CheckEndpoint("("+e.member+")", *e.target); err != nil {
			return wire.Wrong(e.field, "%w", err)
		}
	}
	if cfg.Endpoints.JWKS == "" {
		cfg.Endpoints.JWKS = m.Text("jwks_uri") // checked when it is needed, which is seldom
	}
	if m.Says("authorization_response_iss_parameter_supported") {
		cfg.RequireIss = true
	}
	if m.Says("require_pushed_authorization_requests") {
		cfg.RequirePushedAuth = true
	}
	return nil
}
