// Package profile remembers which server and client each session belongs to.
package profile

import (
	"cmp"
	"errors"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/internal/ownfile"
	"github.com/evertoken/evertoken/oauth"
)

// Default is the profile of a person that names none.
const Default = "default"

// Format is the version of a profile's file.
const Format = 1

// Where a profile's tokens are kept, as --store names it.
const (
	InKeyring = "keyring" // files, sealed with a key that is in the OS keyring
	InFiles   = "file"    // plain files
)

// A Profile remembers which server and client a session belongs to, so that
// a person names them once. Its endpoints are those that discovery found at
// login: commands then need one request less, and do not depend on the metadata
// being up. It holds no secret; of a client secret it keeps the file's path.
type Profile struct {
	Format int    `json:"format"`
	Issuer string `json:"issuer,omitempty"`

	ClientID   string `json:"client_id,omitempty"`
	SecretFile string `json:"client_secret_file,omitempty"`
	ClientAuth string `json:"client_auth,omitempty"` // by its registered name

	AuthURL       string `json:"auth_url,omitempty"`
	TokenURL      string `json:"token_url,omitempty"`
	DeviceAuthURL string `json:"device_auth_url,omitempty"`
	RevocationURL string `json:"revocation_url,omitempty"`
	UserinfoURL   string `json:"userinfo_url,omitempty"`

	RedirectURL string     `json:"redirect_url,omitempty"`
	Scopes      []string   `json:"scopes,omitempty"`
	AuthParams  url.Values `json:"auth_params,omitempty"`
	RequireIss  bool       `json:"require_iss,omitempty"`

	Manners

	// Backend is set instead of all that is above but Manners.Lifetime and RefreshIdle.
	Backend *Backend `json:"backend,omitempty"`

	// Presentation is how APIs want the access token. Zero is what OAuth or the backend's
	// dialect says.
	Presentation Presentation `json:"presentation,omitzero"`
	Grace        Grace        `json:"grace,omitempty"`

	// APIs are the origins that the login named for the access token; see Origins.
	APIs []string `json:"apis,omitempty"`

	Store string `json:"store,omitempty"` // see Kind

	// KeepOld: the server ends a new session together with the one it replaced,
	// so that one is left alone.
	KeepOld bool `json:"keep_old,omitempty"`
}

// Config returns the profile as a client configuration. It reads the client
// secret, if there is one.
func (p *Profile) Config() (oauth.Config, error) {
	secret, err := ReadSecret(p.SecretFile)
	if err != nil {
		return oauth.Config{}, err
	}
	cfg := oauth.Config{
		Issuer:        p.Issuer,
		ClientID:      p.ClientID,
		AuthURL:       p.AuthURL,
		TokenURL:      p.TokenURL,
		DeviceAuthURL: p.DeviceAuthURL,
		RevocationURL: p.RevocationURL,
		Endpoints:     oauth.Endpoints{Userinfo: p.UserinfoURL},
		RedirectURL:   p.RedirectURL,
		Scopes:        p.Scopes,
		AuthParams:    p.AuthParams,
		RequireIss:    p.RequireIss,
	}
	Authenticate(&cfg, p.ClientAuth, secret)
	p.Manners.Apply(&cfg)
	return cfg, nil
}

// Authenticate says how the client authenticates: by the method of this name, or, if
// that is empty, as the server wants it.
func Authenticate(cfg *oauth.Config, method, secret string) {
	if method == "" {
		cfg.ClientSecret = secret
		return
	}
	cfg.ClientAuth = oauth.ClientAuthBy(method, secret)
}

// Of returns what to remember of a configuration, but for the server's manners,
// which are told and not found.
func Of(cfg oauth.Config, secretFile string) *Profile {
	return &Profile{
		Format:        Format,
		Issuer:        cfg.Issuer,
		ClientID:      cfg.ClientID,
		SecretFile:    secretFile,
		ClientAuth:    cfg.ClientAuth.Method(),
		AuthURL:       cfg.AuthURL,
		TokenURL:      cfg.TokenURL,
		DeviceAuthURL: cfg.DeviceAuthURL,
		RevocationURL: cfg.RevocationURL,
		UserinfoURL:   cfg.Endpoints.Userinfo,
		RedirectURL:   cfg.RedirectURL,
		Scopes:        cfg.Scopes,
		AuthParams:    cfg.AuthParams,
		RequireIss:    cfg.RequireIss,
	}
}

// IsOf reports whether the profile is of this issuer, which may be named by the address
// of its metadata. That cannot show a slash at the issuer's end.
func (p *Profile) IsOf(issuer string) bool {
	return issuer == p.Issuer || strings.TrimSuffix(p.Issuer, "/") == oauth.IssuerOf(issuer)
}

// Server names the server for people.
func (p *Profile) Server() string {
	if p.Backend != nil {
		return p.Backend.URL
	}
	return cmp.Or(p.Issuer, p.TokenURL)
}

// Client names for people what the server knows of the program: its client ID, or the
// dialect in which it talks to a backend.
func (p *Profile) Client() string {
	if p.Backend != nil {
		return p.Backend.Named
	}
	return p.ClientID
}

// Binding says which client at which server a session belongs to. It is saved
// with the tokens.
func (p *Profile) Binding() string {
	if p.Backend != nil {
		return "the backend at " + p.Backend.URL
	}
	return p.ClientID + " at " + p.TokenURL
}

// ReadSecret reads a client secret from its file; no path means no secret.
func ReadSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	next := "put the secret there, or log in again with --client-secret-file"
	data, err := ownfile.ReadSecret(path)
	if own, ok := errors.AsType[*ownfile.Error](err); ok {
		if own.Advice == ownfile.MoveAway { // it may be a directory that has come there by a mistyped path
			own.Advice = "name a file with --client-secret-file"
		}
		return "", exit.New(exit.Config, "the client secret is not read: "+own.What, own.Advice)
	}
	if err != nil {
		return "", exit.New(exit.Config, "cannot read the client secret: "+err.Error(), next)
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", exit.New(exit.Config, "the client secret file "+path+" is empty", next)
	}
	return secret, nil
}

// Kind returns where the profile's tokens are kept. Profiles that do not say are
// from the time when there were files only.
func (p *Profile) Kind() string { return cmp.Or(p.Store, InFiles) }

// Moves reports whether the profile keeps its tokens elsewhere than old, which may
// be nil, did.
func (p *Profile) Moves(old *Profile) bool { return old != nil && old.Kind() != p.Kind() }
