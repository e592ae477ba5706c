package register

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/internal/thishost"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Ways to authenticate, by their registered names.
const (
	authNone  = "none"
	authBasic = "client_secret_basic"
	authPost  = "client_secret_post"
)

// A Registration is a client that a server has registered (RFC 7591 section
// 3.2.1). Keep it, as JSON, where secrets are kept: servers count registrations.
// It prints redacted under every fmt verb and in slog.
type Registration struct {
	// Issuer is the server that knows the client.
	Issuer string `json:"issuer,omitempty"`
	// ClientID and ClientSecret are the client's. A public client has no secret.
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret,omitempty"`
	// AuthMethod is how the client authenticates, which the server may have chosen
	// differently than asked.
	AuthMethod string `json:"token_endpoint_auth_method"`
	// IssuedAt is when, and SecretExpiresAt until when the secret is good, by the
	// server's clock. Zero: not told, and for ever. After it, Update the registration,
	// or register again.
	IssuedAt        time.Time `json:"issued_at,omitzero"`
	SecretExpiresAt time.Time `json:"secret_expires_at,omitzero"`
	// AccessToken and ManagementURL are for Read, Update and Delete (RFC 7592). Both
	// are empty where the server offers no such thing.
	AccessToken   string `json:"registration_access_token,omitempty"`
	ManagementURL string `json:"registration_client_uri,omitempty"`
	// Document says that ClientID is the address of a metadata document of the client's,
	// and that no server has registered it.
	Document bool `json:"document,omitempty"`
	// RedirectURIs and GrantTypes are as registered.
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	GrantTypes   []string `json:"grant_types,omitempty"`
}

// String describes the registration without its secrets.
func (r Registration) String() string {
	return fmt.Sprintf("register.Registration{client:%q secret:%s auth:%s access:%s}",
		r.ClientID, wire.Presence(r.ClientSecret), r.AuthMethod, wire.Presence(r.AccessToken))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (r Registration) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.String()) }

// LogValue implements slog.LogValuer.
func (r Registration) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Config returns cfg with the registered client in it: issuer, ID, secret and its
// end, way of authenticating, and, where cfg names none and only one was registered that is
// complete, the redirect URL. Give it to [oauth.Discover] or [oauth.NewClient].
func (r *Registration) Config(cfg oauth.Config) oauth.Config {
	cfg.ClientID, cfg.ClientSecret = r.ClientID, ""
	cfg.ClientAuth = oauth.ClientAuthBy(r.AuthMethod, r.ClientSecret).Until(r.SecretExpiresAt)
	if cfg.Issuer == "" {
		cfg.Issuer = r.Issuer
	}
	if cfg.RedirectURL == "" && len(r.RedirectURIs) == 1 && !isPortless(r.RedirectURIs[0]) {
		cfg.RedirectURL = r.RedirectURIs[0]
	}
	return cfg
}

// isPortless reports whether uri is a loopback address for which a login chooses
// the port.
func isPortless(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "http" && thishost.Is(u.Hostname()) && u.Port() == ""
}

// readRegistration reads what the server says of a client, as it says it.
func readRegistration(fields member.Fields) *Registration {
	return &Registration{
		ClientID:        fields.Text("client_id"),
		ClientSecret:    fields.Text("client_secret"),
		AuthMethod:      methodOf(fields.Text("token_endpoint_auth_method")),
		IssuedAt:        fields.Unix("client_id_issued_at"),
		SecretExpiresAt: fields.Unix("client_secret_expires_at"),
		AccessToken:     fields.Text("registration_access_token"),
		ManagementURL:   fields.Text("registration_client_uri"),
		RedirectURIs:    fields.List("redirect_uris"),
		GrantTypes:      fields.List("grant_types"),
	}
}

// methodOf returns text if it looks like the registered name of a method, else "": it is
// printed, and a method that this module does not know cannot be used.
func methodOf(text string) string {
	if !wire.PlausibleCode(text) {
		return ""
	}
	return text
}

// settle decides how the client authenticates, where the server's answer does not
// say or cannot be meant: a client without a secret has nothing to authenticate
// with by one, and some servers name their default all the same.
func (r *Registration) settle(asked string) {
	if r.AuthMethod == "" && asked != authNone {
		r.AuthMethod = asked
	}
	needsSecret := r.AuthMethod == "" || r.AuthMethod == authBasic || r.AuthMethod == authPost
	switch {
	case needsSecret && r.ClientSecret == "":
		r.AuthMethod = authNone
	case r.AuthMethod == "":
		r.AuthMethod = authBasic // RFC 7591 section 2
	}
	if r.AuthMethod == authNone {
		r.SecretExpiresAt = time.Time{} // of no secret
	}
	if wire.CheckEndpoint("registration_client_uri", r.ManagementURL) != nil {
		r.AccessToken, r.ManagementURL = "", "" // a token without a place to show it
	}
}

// keep takes from old what an answer has left out. RFC 7592 section 3 wants it
// whole, but servers that keep hashes cannot tell a secret or a token again.
func (r *Registration) keep(old *Registration) {
	r.Issuer = old.Issuer
	if wire.CheckEndpoint("registration_client_uri", r.ManagementURL) != nil {
		r.ManagementURL = old.ManagementURL
	}
	r.AccessToken = cmp.Or(r.AccessToken, old.AccessToken)
	if r.IssuedAt.IsZero() {
		r.IssuedAt = old.IssuedAt
	}
	if r.RedirectURIs == nil {
		r.RedirectURIs = old.RedirectURIs
	}
	if r.GrantTypes == nil {
		r.GrantTypes = old.GrantTypes
	}
}
