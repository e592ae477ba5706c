package oauthtest

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A dynamicClient is one that registered itself. Server.mu guards it.
type dynamicClient struct {
	RegisteredClient
	access string         // hash of its registration access token
	fields map[string]any // what it was told
}

// client finds a client, registered in the configuration or by itself.
func (s *Server) client(id string) (RegisteredClient, bool) {
	if c, known := s.clients[id]; known {
		return c, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.dynamic[id]; c != nil {
		return c.RegisteredClient, true
	}
	return RegisteredClient{}, false
}

// allowsGrant reports whether the client registered for a grant type.
func (c RegisteredClient) allowsGrant(grantType string) bool {
	return c.GrantTypes == nil || slices.Contains(c.GrantTypes, grantType)
}

// clientMetadata is what a registration says (RFC 7591 section 2). Members that
// the server has no use for are ignored.
type clientMetadata struct {
	RedirectURIs    []string `json:"redirect_uris"`
	GrantTypes      []string `json:"grant_types"`
	ResponseTypes   []string `json:"response_types"`
	AuthMethod      string   `json:"token_endpoint_auth_method"`
	ApplicationType string   `json:"application_type"`
	ClientName      string   `json:"client_name"`
	Scope           string   `json:"scope"`
}

// serveRegistration is RFC 7591 by POST, for everybody, and by GET with the
// registration access token the reading part of RFC 7592.
func (s *Server) serveRegistration(r *http.Request) *answer {
	if r.Method == http.MethodGet {
		return s.readRegistration(r)
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, err := io.ReadAll(r.Body)
	m := clientMetadata{AuthMethod: authBasic, GrantTypes: []string{grantCode}, ResponseTypes: []string{"code"}, ApplicationType: "web"}
	if kind != "application/json" || err != nil || json.Unmarshal(body, &m) != nil {
		return badRequest("invalid_client_metadata", "the body is no JSON object of client metadata")
	}
	if code, description := m.problem(); code != "" {
		return badRequest(code, description)
	}
	return s.register(m)
}

// problem returns the error code for what is wrong with the metadata (RFC 7591
// section 3.2.2).
func (m clientMetadata) problem() (code, description string) {
	code = "invalid_client_metadata"
	known := []string{grantCode, grantRefresh, grantDevice, grantClient, grantExchange}
	switch {
	case !slices.Contains([]string{authNone, authBasic, authPost}, m.AuthMethod):
		return code, "the way of authenticating is not supported"
	case m.ApplicationType != "web" && m.ApplicationType != "native":
		return code, "the application type is neither web nor native"
	case slices.ContainsFunc(m.GrantTypes, func(g string) bool { return !slices.Contains(known, g) }):
		return code, "a grant type is not supported"
	case slices.Contains(m.GrantTypes, grantCode) != slices.Equal(m.ResponseTypes, []string{"code"}):
		return code, "grant types and response types do not agree"
	case slices.Contains(m.GrantTypes, grantCode) && len(m.RedirectURIs) == 0:
		return "invalid_redirect_uri", "there is no redirect URI"
	}
	for _, uri := range m.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil || !m.allowsRegistering(u) {
			return "invalid_redirect_uri", "a redirect URI does not fit the application type"
		}
	}
	return "", ""
}

// allowsRegistering reports whether a redirect URI fits the kind of program
// (OpenID Connect Dynamic Client Registration section 2, RFC 8252 section 7).
func (m clientMetadata) allowsRegistering(u *url.URL) bool {
	switch {
	case u.Fragment != "" || u.User != nil || u.Scheme == "":
		return false
	case u.Scheme == "https":
		return u.Host != ""
	case m.ApplicationType == "web":
		return false
	case u.Scheme == "http":
		return isLoopback(u)
	}
	return strings.Contains(u.Scheme, ".") // RFC 8252 section 7.1: a reversed domain name
}

// register makes a client and tells it so.
func (s *Server) register(m clientMetadata) *answer {
	c := RegisteredClient{ID: "dynamic-" + randomID(8), RedirectURIs: m.RedirectURIs, AuthMethod: m.AuthMethod, GrantTypes: m.GrantTypes}
	access, endpoint := randomID(24), s.Endpoint(RegistrationEndpoint)
	fields := map[string]any{
		"client_id": c.ID, "client_id_issued_at": s.now().Unix(),
		"registration_access_token": access,
		"registration_client_uri":   endpoint + "?client_id=" + url.QueryEscape(c.ID),
		"redirect_uris":             m.RedirectURIs, "grant_types": m.GrantTypes, "response_types": m.ResponseTypes,
		"token_endpoint_auth_method": m.AuthMethod, "application_type": m.ApplicationType,
	}
	if m.ClientName != "" {
		fields["client_name"] = m.ClientName
	}
	if m.Scope != "" {
		fields["scope"] = m.Scope
	}
	if m.AuthMethod != authNone {
		c.Secret = randomID(24)
		fields["client_secret"], fields["client_secret_expires_at"] = c.Secret, 0
	}
	s.mu.Lock()
	s.dynamic[c.ID] = &dynamicClient{RegisteredClient: c, access: hashOf(access), fields: fields}
	s.mu.Unlock()
	return jsonAnswer(http.StatusCreated, fields)
}

// readRegistration answers a client that asks about itself (RFC 7592 section 2.1).
func (s *Server) readRegistration(r *http.Request) *answer {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.dynamic[r.URL.Query().Get("client_id")]
	if c == nil || !equal(c.access, hashOf(token)) {
		return s.challenge(http.StatusUnauthorized, "invalid_token", "The registration access token is not the client's", "")
	}
	return jsonAnswer(http.StatusOK, c.fields)
}
