// Package registration lets clients register themselves (RFC 7591) and look after
// their registrations (RFC 7592).
package registration

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/client"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/secret"
	"github.com/evertoken/evertoken/internal/authserver/site"
)

// Endpoint is the registration endpoint. All fields but SecretLifetime are required.
type Endpoint struct {
	Site    site.Site
	Clients *client.Registry
	Now     func() time.Time
	// SecretLifetime is how long secrets are valid. Zero means for ever.
	SecretLifetime time.Duration
	// OnDelete hears that a client is gone.
	OnDelete func(ctx context.Context, clientID string)

	mu      sync.Mutex // guards dynamic
	dynamic map[string]*registered
}

// A registered client is one that registered itself. Endpoint.mu guards it.
type registered struct {
	client.Client
	issued time.Time
	access string         // hash of its registration access token
	fields map[string]any // what it was told
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

// Serve is RFC 7591 by POST, open to all, and by the other methods,
// with the registration access token, RFC 7592.
func (e *Endpoint) Serve(r *http.Request) *answer.Answer {
	switch r.Method {
	case http.MethodPost:
		return e.register(r)
	case http.MethodPut:
		return e.updateRegistration(r)
	case http.MethodDelete:
		return e.deleteRegistration(r)
	}
	return e.readRegistration(r)
}

// readMetadata returns the metadata that a request carries, or a refusal. into
// receives the same members, if it is not nil.
func readMetadata(r *http.Request, into any) (clientMetadata, *answer.Answer) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, err := io.ReadAll(r.Body)
	m := clientMetadata{AuthMethod: client.AuthBasic, GrantTypes: []string{client.GrantCode}, ResponseTypes: []string{"code"}, ApplicationType: "web"}
	if kind != "application/json" || err != nil || json.Unmarshal(body, &m) != nil || into != nil && json.Unmarshal(body, into) != nil {
		return m, answer.BadRequest("invalid_client_metadata", "the body is not a JSON object of client metadata")
	}
	if code, description := m.problem(); code != "" {
		return m, answer.BadRequest(code, description)
	}
	return m, nil
}

// problem returns the error code for what is wrong with the metadata (RFC 7591
// section 3.2.2).
func (m clientMetadata) problem() (code, description string) {
	code = "invalid_client_metadata"
	known := []string{client.GrantCode, client.GrantRefresh, client.GrantDevice, client.GrantClient, client.GrantExchange}
	switch {
	case !slices.Contains([]string{client.AuthNone, client.AuthBasic, client.AuthPost}, m.AuthMethod):
		return code, "the way of authenticating is not supported"
	case m.ApplicationType != "web" && m.ApplicationType != "native":
		return code, "the application type is neither web nor native"
	case slices.ContainsFunc(m.GrantTypes, func(g string) bool { return !slices.Contains(known, g) }):
		return code, "a grant type is not supported"
	case slices.Contains(m.GrantTypes, client.GrantCode) != slices.Equal(m.ResponseTypes, []string{"code"}):
		return code, "grant types and response types do not agree"
	case slices.Contains(m.GrantTypes, client.GrantCode) && len(m.RedirectURIs) == 0:
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
		return client.IsLoopback(u)
	}
	return strings.Contains(u.Scheme, ".") // RFC 8252 section 7.1: a reversed domain name
}

// register makes a client and tells it so.
func (e *Endpoint) register(r *http.Request) *answer.Answer {
	m, refusal := readMetadata(r, nil)
	if refusal != nil {
		return refusal
	}
	c := &registered{Client: client.Client{ID: "dynamic-" + secret.New(8)}, issued: e.Now()}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dynamic == nil {
		e.dynamic = make(map[string]*registered)
	}
	e.dynamic[c.ID] = c
	return answer.JSON(http.StatusCreated, e.describeLocked(c, m))
}

// describeLocked makes c a client with this metadata, with a new access token and,
// if it has none that is good, a new secret, and returns what it is told.
func (e *Endpoint) describeLocked(c *registered, m clientMetadata) map[string]any {
	access := secret.New(24)
	c.access = secret.Hash(access)
	c.RedirectURIs, c.AuthMethod, c.GrantTypes = m.RedirectURIs, m.AuthMethod, m.GrantTypes
	c.fields = map[string]any{
		"client_id": c.ID, "client_id_issued_at": c.issued.Unix(),
		"registration_access_token": access,
		"registration_client_uri":   e.Site.URL(site.Registration) + "?client_id=" + url.QueryEscape(c.ID),
		"redirect_uris":             m.RedirectURIs, "grant_types": m.GrantTypes, "response_types": m.ResponseTypes,
		"token_endpoint_auth_method": m.AuthMethod, "application_type": m.ApplicationType,
	}
	if m.ClientName != "" {
		c.fields["client_name"] = m.ClientName
	}
	if m.Scope != "" {
		c.fields["scope"] = m.Scope
	}
	e.giveSecret(c)
	e.Clients.Put(c.Client)
	return maps.Clone(c.fields)
}

// giveSecret tells c its secret, a new one if it has none or that has ended.
func (e *Endpoint) giveSecret(c *registered) {
	if c.AuthMethod == client.AuthNone {
		c.Secret, c.SecretExpiresAt = "", time.Time{}
		return
	}
	if life := e.SecretLifetime; c.Secret == "" || c.SecretEnded(e.Now()) {
		c.Secret = secret.New(24)
		if life > 0 {
			c.SecretExpiresAt = e.Now().Add(life).Truncate(time.Second)
		}
	}
	c.fields["client_secret"], c.fields["client_secret_expires_at"] = c.Secret, int64(0)
	if !c.SecretExpiresAt.IsZero() {
		c.fields["client_secret_expires_at"] = c.SecretExpiresAt.Unix()
	}
}

// managedLocked returns the client whose registration access token r carries, or a
// refusal (RFC 7592 section 2).
func (e *Endpoint) managedLocked(r *http.Request) (*registered, *answer.Answer) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	c := e.dynamic[r.URL.Query().Get("client_id")]
	if c == nil || !strings.EqualFold(scheme, "Bearer") || !secret.Equal(c.access, secret.Hash(token)) {
		return nil, answer.Challenge(http.StatusUnauthorized, "invalid_token", "The registration access token is not the client's", "", e.Site.URL(site.ResourceMetadata))
	}
	return c, nil
}

// readRegistration answers a client that asks about itself (RFC 7592 section 2.1).
func (e *Endpoint) readRegistration(r *http.Request) *answer.Answer {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, refusal := e.managedLocked(r)
	if refusal != nil {
		return refusal
	}
	return answer.JSON(http.StatusOK, maps.Clone(c.fields))
}

// updateRegistration replaces a client's metadata (RFC 7592 section 2.2), and its
// registration access token with it.
func (e *Endpoint) updateRegistration(r *http.Request) *answer.Answer {
	var told map[string]any
	m, bad := readMetadata(r, &told)
	e.mu.Lock()
	defer e.mu.Unlock()
	c, refusal := e.managedLocked(r)
	switch {
	case refusal != nil:
		return refusal
	case bad != nil:
		return bad
	case answer.String(told, "client_id") != c.ID:
		return answer.BadRequest("invalid_client_metadata", "client_id is not the client's")
	case told["client_secret"] != nil && !secret.Equal(answer.String(told, "client_secret"), c.Secret):
		return answer.BadRequest("invalid_client_metadata", "client_secret is not the client's")
	}
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
		if _, sent := told[name]; sent {
			return answer.BadRequest("invalid_client_metadata", name+" must not be sent")
		}
	}
	return answer.JSON(http.StatusOK, e.describeLocked(c, m))
}

// deleteRegistration ends a client and its sessions (RFC 7592 section 2.3).
func (e *Endpoint) deleteRegistration(r *http.Request) *answer.Answer {
	e.mu.Lock()
	c, refusal := e.managedLocked(r)
	if refusal == nil {
		delete(e.dynamic, c.ID)
		e.Clients.Remove(c.ID)
	}
	e.mu.Unlock()
	if refusal != nil {
		return refusal
	}
	e.OnDelete(form.Detached(r), c.ID)
	return answer.Empty(http.StatusNoContent)
}
