package oauthtest

import (
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A dynamicClient is one that registered itself. Server.mu guards it.
type dynamicClient struct {
	RegisteredClient
	issued time.Time
	access string         // hash of its registration access token
	fields map[string]any // what it was told
}

// client finds a client, registered in the configuration or by itself.
func (s *Server) client(id string) (RegisteredClient, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, known := s.clients[id]; known {
		return c, true
	}
	if c := s.dynamic[id]; c != nil {
		return c.RegisteredClient, true
	}
	return RegisteredClient{}, false
}

// ownClient returns the client of Config.ClientID.
func (s *Server) ownClient() RegisteredClient {
	c, _ := s.client(s.cfg.ClientID)
	return c
}

// SetClientSecret gives a client of the configuration another secret. The one before
// is refused from now on, as invalid_client; OAuthConfig has the new one. It does
// nothing if there is no such client.
func (s *Server) SetClientSecret(clientID, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, known := s.clients[clientID]; known {
		c.Secret = secret
		s.clients[clientID] = c
	}
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

// serveRegistration is RFC 7591 by POST, for everybody, and by the other methods,
// with the registration access token, RFC 7592.
func (s *Server) serveRegistration(r *http.Request) *answer {
	switch r.Method {
	case http.MethodPost:
		return s.register(r)
	case http.MethodPut:
		return s.updateRegistration(r)
	case http.MethodDelete:
		return s.deleteRegistration(r)
	}
	return s.readRegistration(r)
}

// readMetadata returns the metadata that a request carries, or a refusal. into
// receives the same members, if it is not nil.
func readMetadata(r *http.Request, into any) (clientMetadata, *answer) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, err := io.ReadAll(r.Body)
	m := clientMetadata{AuthMethod: authBasic, GrantTypes: []string{grantCode}, ResponseTypes: []string{"code"}, ApplicationType: "web"}
	if kind != "application/json" || err != nil || json.Unmarshal(body, &m) != nil || into != nil && json.Unmarshal(body, into) != nil {
		return m, badRequest("invalid_client_metadata", "the body is no JSON object of client metadata")
	}
	if code, description := m.problem(); code != "" {
		return m, badRequest(code, description)
	}
	return m, nil
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
func (s *Server) register(r *http.Request) *answer {
	m, refusal := readMetadata(r, nil)
	if refusal != nil {
		return refusal
	}
	c := &dynamicClient{RegisteredClient: RegisteredClient{ID: "dynamic-" + randomID(8)}, issued: s.now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dynamic[c.ID] = c
	return jsonAnswer(http.StatusCreated, s.describeLocked(c, m))
}

// describeLocked makes c a client with this metadata, with a new access token and,
// if it has none that is good, a new secret, and returns what it is told.
func (s *Server) describeLocked(c *dynamicClient, m clientMetadata) map[string]any {
	access := randomID(24)
	c.access = hashOf(access)
	c.RedirectURIs, c.AuthMethod, c.GrantTypes = m.RedirectURIs, m.AuthMethod, m.GrantTypes
	c.fields = map[string]any{
		"client_id": c.ID, "client_id_issued_at": c.issued.Unix(),
		"registration_access_token": access,
		"registration_client_uri":   s.Endpoint(RegistrationEndpoint) + "?client_id=" + url.QueryEscape(c.ID),
		"redirect_uris":             m.RedirectURIs, "grant_types": m.GrantTypes, "response_types": m.ResponseTypes,
		"token_endpoint_auth_method": m.AuthMethod, "application_type": m.ApplicationType,
	}
	if m.ClientName != "" {
		c.fields["client_name"] = m.ClientName
	}
	if m.Scope != "" {
		c.fields["scope"] = m.Scope
	}
	s.giveSecret(c)
	return maps.Clone(c.fields)
}

// giveSecret tells c its secret, a new one if it has none or that has ended.
func (s *Server) giveSecret(c *dynamicClient) {
	if c.AuthMethod == authNone {
		c.Secret, c.SecretExpiresAt = "", time.Time{}
		return
	}
	if life := s.cfg.ClientSecretLifetime; c.Secret == "" || c.secretEnded(s.now()) {
		c.Secret = randomID(24)
		if life > 0 {
			c.SecretExpiresAt = s.now().Add(life).Truncate(time.Second)
		}
	}
	c.fields["client_secret"], c.fields["client_secret_expires_at"] = c.Secret, int64(0)
	if !c.SecretExpiresAt.IsZero() {
		c.fields["client_secret_expires_at"] = c.SecretExpiresAt.Unix()
	}
}

// secretEnded reports whether the client's secret is no good any more.
func (c RegisteredClient) secretEnded(now time.Time) bool {
	return !c.SecretExpiresAt.IsZero() && !now.Before(c.SecretExpiresAt)
}

// managedLocked returns the client whose registration access token r carries, or a
// refusal (RFC 7592 section 2).
func (s *Server) managedLocked(r *http.Request) (*dynamicClient, *answer) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	c := s.dynamic[r.URL.Query().Get("client_id")]
	if c == nil || !strings.EqualFold(scheme, "Bearer") || !equal(c.access, hashOf(token)) {
		return nil, s.challenge(http.StatusUnauthorized, "invalid_token", "The registration access token is not the client's", "")
	}
	return c, nil
}

// readRegistration answers a client that asks about itself (RFC 7592 section 2.1).
func (s *Server) readRegistration(r *http.Request) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, refusal := s.managedLocked(r)
	if refusal != nil {
		return refusal
	}
	return jsonAnswer(http.StatusOK, maps.Clone(c.fields))
}

// updateRegistration replaces a client's metadata (RFC 7592 section 2.2), and its
// registration access token with it.
func (s *Server) updateRegistration(r *http.Request) *answer {
	var told map[string]any
	m, bad := readMetadata(r, &told)
	s.mu.Lock()
	defer s.mu.Unlock()
	c, refusal := s.managedLocked(r)
	switch {
	case refusal != nil:
		return refusal
	case bad != nil:
		return bad
	case text(told, "client_id") != c.ID:
		return badRequest("invalid_client_metadata", "client_id is not the client's")
	case told["client_secret"] != nil && !equal(text(told, "client_secret"), c.Secret):
		return badRequest("invalid_client_metadata", "client_secret is not the client's")
	}
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
		if _, sent := told[name]; sent {
			return badRequest("invalid_client_metadata", name+" must not be sent")
		}
	}
	return jsonAnswer(http.StatusOK, s.describeLocked(c, m))
}

// deleteRegistration ends a client and its sessions (RFC 7592 section 2.3).
func (s *Server) deleteRegistration(r *http.Request) *answer {
	s.mu.Lock()
	c, refusal := s.managedLocked(r)
	if refusal == nil {
		delete(s.dynamic, c.ID)
	}
	s.mu.Unlock()
	if refusal != nil {
		return refusal
	}
	s.endSessions(detached(r), func(se *session) bool { return se.Client == c.ID })
	return &answer{status: http.StatusNoContent, header: http.Header{"Cache-Control": {"no-store"}}}
}
