package register

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/thishost"
)

// Metadata is how a client describes itself when it registers (RFC 7591
// section 2, OpenID Connect Dynamic Client Registration section 2). The zero value
// is a program on a person's machine that uses [oauth.Client.Authenticate].
type Metadata struct {
	// RedirectURIs are where logins may return to. Empty means the addresses that
	// Authenticate listens on when oauth.Config.RedirectURL is empty, without a port: RFC
	// 8252 section 7.3 makes servers take any. For a server that does not, name one
	// with a port.
	RedirectURIs []string
	// ClientName is what the person is shown, ClientURI where to read more.
	ClientName, ClientURI string
	// Scopes the client may ask for. Empty leaves them to the server.
	Scopes []string
	// GrantTypes default to authorization_code and refresh_token. A server gives
	// refresh tokens only to clients that name the latter.
	GrantTypes []string
	// AuthMethod is how the client authenticates, by its registered name
	// (token_endpoint_auth_method, RFC 7591 section 2). Empty means "none": a program that people install can
	// keep no secret.
	AuthMethod string
	// ApplicationType is "native" or "web". Empty means native if every redirect URI
	// is a loopback address or of a scheme of the program's own, and web otherwise.
	ApplicationType string
	// SoftwareID and SoftwareVersion tell releases of one program apart.
	SoftwareID, SoftwareVersion string
}

// withDefaults returns a copy of m with every default filled in.
func (m Metadata) withDefaults() Metadata {
	if len(m.RedirectURIs) == 0 {
		m.RedirectURIs = []string{"http://127.0.0.1/callback", "http://[::1]/callback"}
	}
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{"authorization_code", "refresh_token"}
	}
	if m.AuthMethod == "" {
		m.AuthMethod = authNone
	}
	if m.ApplicationType == "" {
		m.ApplicationType = "native"
		if !allNative(m.RedirectURIs) {
			m.ApplicationType = "web"
		}
	}
	return m
}

// allNative reports whether no redirect URI is an address on the web (RFC 8252
// section 7).
func allNative(uris []string) bool {
	return !slices.ContainsFunc(uris, func(uri string) bool {
		u, err := url.Parse(uri)
		return err != nil || u.Scheme == "https" || u.Scheme == "http" && !thishost.Is(u.Hostname())
	})
}

// registeredAs is what tells the server which client metadata is for, if it knows
// the client already (RFC 7592 section 2.2).
type registeredAs struct {
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
}

// encode returns the request's body.
func (m Metadata) encode(client registeredAs) ([]byte, error) {
	for _, uri := range m.RedirectURIs {
		if u, err := url.Parse(uri); err != nil || !u.IsAbs() || u.Fragment != "" {
			return nil, errors.New("a redirect URI must be an absolute URI without fragment")
		}
	}
	// RFC 7591 section 2: response types and grant types have to agree.
	var responses []string
	if slices.Contains(m.GrantTypes, "authorization_code") {
		responses = []string{"code"}
	}
	return json.Marshal(struct {
		registeredAs
		RedirectURIs    []string `json:"redirect_uris"`
		ClientName      string   `json:"client_name,omitempty"`
		ClientURI       string   `json:"client_uri,omitempty"`
		Scope           string   `json:"scope,omitempty"`
		GrantTypes      []string `json:"grant_types"`
		ResponseTypes   []string `json:"response_types,omitempty"`
		AuthMethod      string   `json:"token_endpoint_auth_method"`
		ApplicationType string   `json:"application_type"`
		SoftwareID      string   `json:"software_id,omitempty"`
		SoftwareVersion string   `json:"software_version,omitempty"`
	}{
		client, m.RedirectURIs, m.ClientName, m.ClientURI, strings.Join(m.Scopes, " "), m.GrantTypes, responses,
		m.AuthMethod, m.ApplicationType, m.SoftwareID, m.SoftwareVersion,
	})
}
