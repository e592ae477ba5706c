package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/thishost"
)

const opRegister = "register"

// ClientMetadata is how a client describes itself when it registers (RFC 7591
// section 2, OpenID Connect Dynamic Client Registration section 2). The zero value
// is a program on a person's machine that uses [Client.Authenticate].
type ClientMetadata struct {
	// RedirectURIs are where logins may return to. Empty means the addresses that
	// Authenticate listens on when Config.RedirectURL is empty, without a port: RFC
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
	// ClientAuth defaults to AuthNone: a program that people install can keep no
	// secret.
	ClientAuth ClientAuth
	// ApplicationType is "native" or "web". Empty means native if every redirect URI
	// is a loopback address or of a scheme of the program's own, and web otherwise.
	ApplicationType string
	// SoftwareID and SoftwareVersion tell releases of one program apart.
	SoftwareID, SoftwareVersion string
}

// A Registration is a client that a server has registered (RFC 7591 section
// 3.2.1). Keep it, as JSON, where secrets are kept: servers count registrations.
// It prints redacted under every fmt verb and in slog.
type Registration struct {
	// Issuer is the server that knows the client.
	Issuer string `json:"issuer,omitempty"`
	// ClientID and ClientSecret are the client's. A public client has no secret.
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret,omitempty"`
	// ClientAuth is how the client authenticates, which the server may have chosen
	// differently than asked.
	ClientAuth ClientAuth `json:"token_endpoint_auth_method"`
	// IssuedAt is when, and SecretExpiresAt until when the secret is good, by the
	// server's clock. Zero: not told, and for ever. After it, Update the registration,
	// or register again.
	IssuedAt        time.Time `json:"issued_at,omitzero"`
	SecretExpiresAt time.Time `json:"secret_expires_at,omitzero"`
	// AccessToken and ManagementURL are for Read, Update and Delete (RFC 7592). Both
	// are empty where the server offers no such thing.
	AccessToken   string `json:"registration_access_token,omitempty"`
	ManagementURL string `json:"registration_client_uri,omitempty"`
	// RedirectURIs and GrantTypes are as registered.
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	GrantTypes   []string `json:"grant_types,omitempty"`
}

// String describes the registration without its secrets.
func (r Registration) String() string {
	return fmt.Sprintf("oauth.Registration{client:%q secret:%s auth:%s access:%s}",
		r.ClientID, presence(r.ClientSecret), r.ClientAuth, presence(r.AccessToken))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (r Registration) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.String()) }

// LogValue implements slog.LogValuer.
func (r Registration) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Config returns cfg with the registered client in it: issuer, ID, secret and its
// end, way of authenticating, and, where cfg names none and only one was registered that is
// complete, the redirect URL. Give it to [Discover] or [NewClient].
func (r *Registration) Config(cfg Config) Config {
	cfg.ClientID, cfg.ClientSecret, cfg.ClientAuth = r.ClientID, r.ClientSecret, r.ClientAuth
	cfg.ClientSecretExpiresAt = r.SecretExpiresAt
	if cfg.Issuer == "" {
		cfg.Issuer = r.Issuer
	}
	if cfg.RedirectURL == "" && len(r.RedirectURIs) == 1 && !isPortless(r.RedirectURIs[0]) {
		cfg.RedirectURL = r.RedirectURIs[0]
	}
	return cfg
}

// Register makes this program a client of the server at issuer (dynamic client
// registration, RFC 7591). It looks the endpoint up in the server's metadata, as
// [Discover] does, unless cfg.RegistrationURL names it. Servers that register
// nobody without an initial access token are not supported; register there by
// hand.
//
// Every call makes another client. So register once, keep the [Registration], and
// begin anew only after Registration.SecretExpiresAt, or when the server no longer
// knows the client (invalid_client; [ErrClientSecretExpired] tells the two apart).
//
// Of cfg only RegistrationURL, HTTPClient, Timeout and Now are used; it needs no
// ClientID. Errors are of type [*Error], never ErrLoginRequired:
// [ErrMisconfigured] also that the server registers no clients, or not this one.
// It sends one POST, never repeated, and before it at most two requests for
// metadata.
func Register(ctx context.Context, issuer string, m ClientMetadata, cfg Config) (*Registration, error) {
	body, err := m.withDefaults().encode(registeredAs{})
	if err != nil {
		return nil, misconfigured(opRegister, err)
	}
	c := stranger(cfg)
	endpoint, issuer, fail := c.registrationEndpoint(ctx, issuer)
	if fail != nil {
		return nil, fail
	}
	a, fail := c.send(ctx, opRegister, func(ctx context.Context) (*http.Request, error) {
		return newJSONRequest(ctx, http.MethodPost, endpoint, body)
	})
	if fail != nil {
		return nil, fail
	}
	r, fail := judgeRegistration(a, m.ClientAuth)
	if fail != nil {
		return nil, fail
	}
	r.Issuer = issuer
	return r, nil
}

// registrationEndpoint returns where to register, as configured or as published,
// and the issuer.
func (c *Client) registrationEndpoint(ctx context.Context, issuer string) (endpoint, _ string, _ *Error) {
	endpoint, name := c.cfg.RegistrationURL, "Config.RegistrationURL"
	if endpoint == "" {
		doc, found, fail := c.issuerMetadata(ctx, issuer)
		if fail != nil {
			return "", "", fail
		}
		issuer = found
		endpoint, name = textField(doc, "registration_endpoint"), "the server's registration_endpoint"
	}
	if err := checkEndpoint(name, endpoint); err != nil {
		fail := misconfigured(opRegister, err)
		fail.Hint = "register the client by hand and set Config.ClientID"
		return "", "", fail
	}
	return endpoint, issuer, nil
}

// newJSONRequest builds a request that, like those of newRequest, net/http cannot
// send again on its own.
func newJSONRequest(ctx context.Context, method, endpoint string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, endpoint, struct{ io.Reader }{bytes.NewReader(body)})
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// withDefaults returns a copy of m with every default filled in.
func (m ClientMetadata) withDefaults() ClientMetadata {
	if len(m.RedirectURIs) == 0 {
		m.RedirectURIs = []string{"http://127.0.0.1" + callbackPath, "http://[::1]" + callbackPath}
	}
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{"authorization_code", "refresh_token"}
	}
	if m.ClientAuth == "" {
		m.ClientAuth = AuthNone
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

// isPortless reports whether uri is a loopback address for which a login chooses
// the port.
func isPortless(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "http" && thishost.Is(u.Hostname()) && u.Port() == ""
}

// registeredAs is what tells the server which client metadata is for, if it knows
// the client already (RFC 7592 section 2.2).
type registeredAs struct {
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
}

// encode returns the request's body.
func (m ClientMetadata) encode(client registeredAs) ([]byte, error) {
	if m.ClientAuth == AuthBasicRaw {
		return nil, errors.New("ClientMetadata.ClientAuth must be a registered name; say how Basic is encoded in Config")
	}
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
		RedirectURIs    []string   `json:"redirect_uris"`
		ClientName      string     `json:"client_name,omitempty"`
		ClientURI       string     `json:"client_uri,omitempty"`
		Scope           string     `json:"scope,omitempty"`
		GrantTypes      []string   `json:"grant_types"`
		ResponseTypes   []string   `json:"response_types,omitempty"`
		ClientAuth      ClientAuth `json:"token_endpoint_auth_method"`
		ApplicationType string     `json:"application_type"`
		SoftwareID      string     `json:"software_id,omitempty"`
		SoftwareVersion string     `json:"software_version,omitempty"`
	}{
		client, m.RedirectURIs, m.ClientName, m.ClientURI, strings.Join(m.Scopes, " "), m.GrantTypes, responses,
		m.ClientAuth, m.ApplicationType, m.SoftwareID, m.SoftwareVersion,
	})
}

// registrationHints say what to do about the error codes of RFC 7591 section
// 3.2.2, all of which mean that another attempt would be refused as well.
var registrationHints = map[string]string{
	"invalid_redirect_uri":          "the server does not like a redirect URI; some want one with a port, or on localhost",
	"invalid_client_metadata":       "the server does not like a value of ClientMetadata",
	"invalid_software_statement":    "the server wants clients to be vouched for; register the client by hand",
	"unapproved_software_statement": "the server wants clients to be vouched for; register the client by hand",
}

// judgeRegistration reads the answer to a registration: exactly one of result and
// error. asked is how the client wanted to authenticate.
func judgeRegistration(a answer, asked ClientAuth) (*Registration, *Error) {
	fields := metadata(a.fields())
	r := readRegistration(fields)
	r.settle(asked)
	if isSuccess(a.status) && usableToken(r.ClientID) {
		return r, nil
	}
	return nil, a.registrationFailure(fields, registerHints)
}

// registerHints say what a refusal means whose code says nothing.
var registerHints = map[int]string{
	http.StatusUnauthorized: "the server does not register everybody; register the client by hand and set Config.ClientID",
	http.StatusForbidden:    "the server does not register everybody; register the client by hand and set Config.ClientID",
}

// registrationFailure is inquiryFailure for requests about a client. hints are for
// refusals whose code says nothing, by status.
func (a answer) registrationFailure(fields metadata, hints map[int]string) *Error {
	fail := a.inquiryFailure(fields)
	hint, known := registrationHints[fail.Code]
	if !known {
		hint, known = hints[a.status]
	}
	if known && isRefusal(a.status) && !fail.Page {
		fail.Kind, fail.Hint = ErrMisconfigured, hint
	}
	return fail
}

// readRegistration reads what the server says of a client, as it says it.
func readRegistration(fields metadata) *Registration {
	return &Registration{
		ClientID:        textField(fields, "client_id"),
		ClientSecret:    textField(fields, "client_secret"),
		ClientAuth:      ClientAuth(textField(fields, "token_endpoint_auth_method")),
		IssuedAt:        unixField(fields, "client_id_issued_at"),
		SecretExpiresAt: unixField(fields, "client_secret_expires_at"),
		AccessToken:     textField(fields, "registration_access_token"),
		ManagementURL:   textField(fields, "registration_client_uri"),
		RedirectURIs:    fields.list("redirect_uris"),
		GrantTypes:      fields.list("grant_types"),
	}
}

// settle decides how the client authenticates, where the server's answer does not
// say or cannot be meant: a client without a secret has nothing to authenticate
// with by one, and some servers name their default all the same.
func (r *Registration) settle(asked ClientAuth) {
	if r.ClientAuth == "" && asked != AuthNone {
		r.ClientAuth = asked
	}
	needsSecret := r.ClientAuth == "" || r.ClientAuth == AuthBasic || r.ClientAuth == AuthPost
	switch {
	case needsSecret && r.ClientSecret == "":
		r.ClientAuth = AuthNone
	case r.ClientAuth == "":
		r.ClientAuth = AuthBasic // RFC 7591 section 2
	}
	if checkEndpoint("registration_client_uri", r.ManagementURL) != nil {
		r.AccessToken, r.ManagementURL = "", "" // a token without a place to show it
	}
}
