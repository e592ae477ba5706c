package authserver

import (
	"net/http"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/client"
	"github.com/evertoken/evertoken/internal/authserver/site"
)

// serveMetadata answers both discovery requests (RFC 8414 section 3, OpenID
// Connect Discovery 1.0 section 4).
func (s *Server) serveMetadata(*http.Request) *answer.Answer {
	auth := []string{client.AuthNone, client.AuthBasic, client.AuthPost}
	fields := map[string]any{
		"issuer":                                s.Site.Issuer(),
		"authorization_endpoint":                s.Site.URL(site.Authorize),
		"token_endpoint":                        s.Site.URL(site.Token),
		"device_authorization_endpoint":         s.Site.URL(site.DeviceAuthorization),
		"revocation_endpoint":                   s.Site.URL(site.Revocation),
		"introspection_endpoint":                s.Site.URL(site.Introspection),
		"userinfo_endpoint":                     s.Site.URL(site.Userinfo),
		"pushed_authorization_request_endpoint": s.Site.URL(site.PushedAuthorization),
		"require_pushed_authorization_requests": s.requirePushed,
		"end_session_endpoint":                  s.Site.URL(site.EndSession),
		"registration_endpoint":                 s.Site.URL(site.Registration),
		"jwks_uri":                              s.Site.URL(site.JWKS),
		"response_types_supported":              []string{"code"},
		"response_modes_supported":              []string{"query"},
		"grant_types_supported": []string{
			client.GrantCode, client.GrantRefresh, client.GrantDevice, client.GrantPassword, client.GrantClient, client.GrantExchange, client.GrantBearer,
		},
		"client_id_metadata_document_supported":          s.Clients.Fetch != nil,
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          auth,
		"revocation_endpoint_auth_methods_supported":     auth,
		"introspection_endpoint_auth_methods_supported":  auth,
		"authorization_response_iss_parameter_supported": true,
		"scopes_supported":                               []string{"openid", "profile", "email", "offline_access"},
		"dpop_signing_alg_values_supported":              []string{"ES256"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"ES256"},
		"claims_supported":                               []string{"sub", "name", "preferred_username", "email", "auth_time"},
	}
	s.addClientAuth(fields)
	return answer.JSON(http.StatusOK, fields)
}

// addClientAuth tells in the metadata of keys and certificates.
func (s *Server) addClientAuth(fields map[string]any) {
	for _, endpoint := range []string{"token", "revocation", "introspection"} {
		methods, _ := fields[endpoint+"_endpoint_auth_methods_supported"].([]string)
		methods = append([]string{client.AuthPrivateKeyJWT}, methods...)
		if s.MutualTLS {
			methods = append(methods, client.AuthMTLS, client.AuthSelfSignedMTLS)
			fields["tls_client_certificate_bound_access_tokens"] = true
		}
		fields[endpoint+"_endpoint_auth_methods_supported"] = methods
		fields[endpoint+"_endpoint_auth_signing_alg_values_supported"] = client.AssertionAlgs
	}
	if s.Aliases == "" {
		return
	}
	aliases := make(map[string]string)
	for _, name := range []string{"token_endpoint", "revocation_endpoint", "introspection_endpoint", "device_authorization_endpoint", "userinfo_endpoint"} {
		if address, ok := fields[name].(string); ok {
			aliases[name] = s.Aliases + address[len(s.Site.Origin):]
		}
	}
	fields["mtls_endpoint_aliases"] = aliases
}

// serveJWKS answers with the public keys (RFC 7517).
func (s *Server) serveJWKS(*http.Request) *answer.Answer {
	keys := s.Keys.Public()
	if keys == nil {
		return answer.Error(http.StatusInternalServerError, "server_error", "the key cannot be shown")
	}
	return answer.JSON(http.StatusOK, keys)
}
