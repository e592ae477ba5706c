package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

const (
	defaultProfile = "default"
	profileFormat  = 1
)

// A profile remembers which server and client a session belongs to, so that
// nobody has to name them twice. Its endpoints are those that discovery found at
// login: commands then need one request less, and do not depend on the metadata
// being up. It holds no secret; of a client secret it keeps the file's path.
type profile struct {
	Format int    `json:"format"`
	Issuer string `json:"issuer,omitempty"`

	ClientID   string `json:"client_id"`
	SecretFile string `json:"client_secret_file,omitempty"`
	ClientAuth string `json:"client_auth,omitempty"` // by its registered name

	AuthURL       string `json:"auth_url,omitempty"`
	TokenURL      string `json:"token_url"`
	DeviceAuthURL string `json:"device_auth_url,omitempty"`
	RevocationURL string `json:"revocation_url,omitempty"`

	RedirectURL string     `json:"redirect_url,omitempty"`
	Scopes      []string   `json:"scopes,omitempty"`
	AuthParams  url.Values `json:"auth_params,omitempty"`
	RequireIss  bool       `json:"require_iss,omitempty"`

	manners

	Store string `json:"store,omitempty"` // see store

	// KeepOld: the server ends a new session together with the one it replaced,
	// so nobody ends that.
	KeepOld bool `json:"keep_old,omitempty"`
}

const lettersAndDigits = "abcdefghijklmnopqrstuvwxyz0123456789"

// checkProfileName is narrow, so that a name is a file's name everywhere: two names
// that differ in case would be one file on macOS and Windows. Every command checks
// a name, and compiling an expression for it takes longer than printing a token.
func checkProfileName(name string) error {
	if name == "" || len(name) > 64 || !strings.Contains(lettersAndDigits, name[:1]) || strings.Trim(name, lettersAndDigits+"._@-") != "" {
		return fmt.Errorf("profile name %q: use up to 64 small letters, digits and . _ @ -, beginning with a letter or digit", name)
	}
	return nil
}

// config returns the profile as a client configuration. It reads the client
// secret, if there is one.
func (p *profile) config() (oauth.Config, error) {
	secret, err := readSecret(p.SecretFile)
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
		RedirectURL:   p.RedirectURL,
		Scopes:        p.Scopes,
		AuthParams:    p.AuthParams,
		RequireIss:    p.RequireIss,
	}
	authenticate(&cfg, p.ClientAuth, secret)
	p.manners.apply(&cfg)
	return cfg, nil
}

// authenticate says how the client does so: by the method of this name, or else as the
// server wants it.
func authenticate(cfg *oauth.Config, method, secret string) {
	if method == "" {
		cfg.ClientSecret = secret
		return
	}
	cfg.ClientAuth = oauth.ClientAuthBy(method, secret)
}

// profileOf returns what to remember of a configuration, but for the server's manners,
// which are told and not found.
func profileOf(cfg oauth.Config, secretFile string) *profile {
	return &profile{
		Format:        profileFormat,
		Issuer:        cfg.Issuer,
		ClientID:      cfg.ClientID,
		SecretFile:    secretFile,
		ClientAuth:    cfg.ClientAuth.Method(),
		AuthURL:       cfg.AuthURL,
		TokenURL:      cfg.TokenURL,
		DeviceAuthURL: cfg.DeviceAuthURL,
		RevocationURL: cfg.RevocationURL,
		RedirectURL:   cfg.RedirectURL,
		Scopes:        cfg.Scopes,
		AuthParams:    cfg.AuthParams,
		RequireIss:    cfg.RequireIss,
	}
}

// isOf reports whether the profile is of this issuer, which may be named by the address
// of its metadata. That cannot show a slash at the issuer's end.
func (p *profile) isOf(issuer string) bool {
	return issuer == p.Issuer || strings.TrimSuffix(p.Issuer, "/") == oauth.IssuerOf(issuer)
}

// server names the server for people.
func (p *profile) server() string { return cmp.Or(p.Issuer, p.TokenURL) }

// binding says which client at which server a session belongs to. It is saved
// with the tokens.
func (p *profile) binding() string { return p.ClientID + " at " + p.TokenURL }

// readSecret reads a client secret from its file; no path means no secret.
func readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	next := "put the secret there, or log in again with --client-secret-file"
	data, err := os.ReadFile(path)
	if err != nil {
		return "", &problem{exitConfig, "cannot read the client secret: " + err.Error(), next}
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", &problem{exitConfig, "the client secret file " + path + " is empty", next}
	}
	return secret, nil
}

// directory returns where sessions are kept.
func (a *app) directory() (string, error) {
	if a.dir != "" {
		return a.dir, nil
	}
	dir, err := tokenstore.DefaultDir()
	if err != nil {
		return "", &problem{exitConfig, plainText(err), "set HOME, or name a directory with --dir or EVERTOKEN_DIR"}
	}
	return dir, nil
}

// profilePath returns the file of the current profile. It lies below the
// directory of the sessions, in which every other file is a session.
func (a *app) profilePath() (string, error) {
	dir, err := a.directory()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "profiles", "client-"+a.profile+".json"), nil
}

func (a *app) profileExists() bool {
	path, err := a.profilePath()
	if err != nil {
		return false
	}
	_, err = os.Stat(path)
	return err == nil
}

var errNoProfile = errors.New("this profile is not set up")

// loadProfile reads the current profile. The error wraps errNoProfile if nobody
// has logged in to it yet.
func (a *app) loadProfile() (*profile, error) {
	path, err := a.profilePath()
	if err != nil {
		return nil, err
	}
	data, err := readRegular(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNoProfile
	case err != nil:
		return nil, err
	}
	var p profile
	switch err := json.Unmarshal(data, &p); {
	case err != nil || p.ClientID == "" || p.TokenURL == "":
		return nil, &problem{exitConfig, path + " is damaged", "log in again with " + a.loginCommand(true)}
	case p.Format > profileFormat, !p.known(), p.store() != storeFile && p.store() != storeKeyring:
		return nil, &problem{exitConfig, path + " was written by a newer version", "update evertoken"}
	}
	return &p, nil
}

// readRegular reads a file, and nothing else that may be in its place: reading a
// named pipe waits for a process at its other end.
func readRegular(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &problem{exitConfig, path + " is not a file", "move it away"}
	}
	return os.ReadFile(path)
}

// saveProfile writes the current profile, whole or not at all.
func (a *app) saveProfile(p *profile) error {
	path, err := a.profilePath()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'))
}

// checkProfile finds out whether the current profile could be saved, by replacing
// what is there by itself.
func (a *app) checkProfile() error {
	path, err := a.profilePath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	data, err := readRegular(path)
	switch {
	case err == nil:
		return replaceFile(path, data)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	trial := path + ".tmp-trial"
	if err := replaceFile(trial, []byte("{}\n")); err != nil {
		return err
	}
	return os.Remove(trial)
}

// replaceFile writes a file of mode 0600 so that others see the old content or
// the new one.
func replaceFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
