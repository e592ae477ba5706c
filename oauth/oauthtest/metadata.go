package oauthtest

import "net/http"

// serveMetadata answers both discovery requests (RFC 8414 section 3, OpenID
// Connect Discovery 1.0 section 4).
func (s *Server) serveMetadata(*http.Request) *answer {
	auth := []string{authNone, authBasic, authPost}
	fields := map[string]any{
		"issuer":                                         s.issuer,
		"authorization_endpoint":                         s.Endpoint(AuthorizeEndpoint),
		"token_endpoint":                                 s.Endpoint(TokenEndpoint),
		"device_authorization_endpoint":                  s.Endpoint(DeviceAuthorizationEndpoint),
		"revocation_endpoint":                            s.Endpoint(RevocationEndpoint),
		"introspection_endpoint":                         s.Endpoint(IntrospectionEndpoint),
		"userinfo_endpoint":                              s.Endpoint(UserinfoEndpoint),
		"pushed_authorization_request_endpoint":          s.Endpoint(PushedAuthorizationEndpoint),
		"require_pushed_authorization_requests":          s.cfg.RequirePushedAuth,
		"end_session_endpoint":                           s.Endpoint(EndSessionEndpoint),
		"registration_endpoint":                          s.Endpoint(RegistrationEndpoint),
		"jwks_uri":                                       s.Endpoint(JWKSEndpoint),
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{grantCode, grantRefresh, grantDevice, grantPassword, grantClient, grantExchange},
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
	return jsonAnswer(http.StatusOK, fields)
}

// addClientAuth tells in the metadata of keys and certificates.
func (s *Server) addClientAuth(fields map[string]any) {
	for _, endpoint := range []string{"token", "revocation", "introspection"} {
		methods, _ := fields[endpoint+"_endpoint_auth_methods_supported"].([]string)
		methods = append([]string{authPrivateKeyJWT}, methods...)
		if s.certificate != nil {
			methods = append(methods, authMTLS, authSelfSignedMTLS)
			fields["tls_client_certificate_bound_access_tokens"] = true
		}
		fields[endpoint+"_endpoint_auth_methods_supported"] = methods
		fields[endpoint+"_endpoint_auth_signing_alg_values_supported"] = assertionAlgs
	}
	if s.aliases == "" {
		return
	}
	aliases := make(map[string]string)
	for _, name := range []string{"token_endpoint", "revocation_endpoint", "introspection_endpoint", "device_authorization_endpoint", "userinfo_endpoint"} {
		if address, ok := fields[name].(string); ok {
			aliases[name] = s.aliases + address[len(s.URL):]
		}
	}
	fields["mtls_endpoint_aliases"] = aliases
}
