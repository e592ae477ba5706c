// Package authserver is the authorization server behind oauth/oauthtest, put
// together from parts that know little of each other:
//
//   - session: what logins gave, and the families of refresh tokens
//   - signin and page: where people sign in and decide; pending: what they have begun
//   - grant: the token endpoint, revocation and introspection
//   - client and registration: who asks; proof: what clients show beside tokens
//   - resource: the API behind it; backend: home-grown JSON backends beside it
//   - audit: what clients did wrong; person: the one who signs in
//
// It imports nothing of package oauth: it is the other side, and a server that judged
// by the client's code would prove nothing.
//
// It writes no answer and opens no socket, and nothing goes wrong in it: faults and
// connections are oauthtest's.
package authserver

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/audit"
	"github.com/evertoken/evertoken/internal/authserver/backend"
	"github.com/evertoken/evertoken/internal/authserver/client"
	"github.com/evertoken/evertoken/internal/authserver/grant"
	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/internal/authserver/page"
	"github.com/evertoken/evertoken/internal/authserver/pending"
	"github.com/evertoken/evertoken/internal/authserver/proof"
	"github.com/evertoken/evertoken/internal/authserver/registration"
	"github.com/evertoken/evertoken/internal/authserver/resource"
	"github.com/evertoken/evertoken/internal/authserver/secret"
	"github.com/evertoken/evertoken/internal/authserver/session"
	"github.com/evertoken/evertoken/internal/authserver/signin"
	"github.com/evertoken/evertoken/internal/authserver/site"
	"github.com/evertoken/evertoken/internal/authserver/user"
)

// A Config describes a server, each part in its own words. It has no defaults: they
// are oauthtest.Config's.
type Config struct {
	Site    site.Site
	Now     func() time.Time
	Users   map[string]string // passwords by name
	Own     client.Client
	Clients []client.Client

	Session  session.Config
	SignIn   signin.Config
	Grant    grant.Config
	Resource resource.Config
	Backends backend.Settings

	FetchClient           client.Fetch
	TokenEndpointAudience bool
	ClientCAs             *x509.CertPool
	RawBasic              bool
	RefusesVerifier       bool
	UnknownClient         answer.Instead

	DPoPNonceLifetime     time.Duration
	DeviceCodeLifetime    time.Duration
	DeviceInterval        time.Duration
	PushedRequestLifetime time.Duration
	ClientSecretLifetime  time.Duration
}

// A Server is an authorization server and the protected resource behind it. It is
// safe for concurrent use.
type Server struct {
	Site     site.Site
	Keys     *keys.Ring
	Users    *user.Directory
	Clients  *client.Registry
	Sessions *session.Sessions
	Resource *resource.Endpoints
	Audit    *audit.Auditor

	// MutualTLS makes the metadata tell that clients can authenticate by certificate,
	// and Aliases at which other origin they do. They are set before the first
	// request.
	MutualTLS bool
	Aliases   string

	requirePushed bool
	pages         *page.Pages
	signin        *signin.Endpoints
	grant         *grant.Endpoints
	registration  *registration.Endpoint
	backends      *backend.Endpoints
}

// New returns a server.
func New(cfg Config) *Server {
	s := &Server{
		Site:          cfg.Site,
		Keys:          keys.New(),
		Users:         user.New(cfg.Users),
		Clients:       client.NewRegistry(cfg.Own, cfg.Clients...),
		Audit:         audit.New(cfg.Now, cfg.Session.Grace, min(time.Minute, cfg.Session.AccessTokenLifetime/3)),
		requirePushed: cfg.SignIn.RequirePushedAuth,
	}
	s.Clients.Fetch = cfg.FetchClient
	key := secret.New(32)
	s.Sessions = session.New(cfg.Session, session.Needs{
		Now: cfg.Now, Keys: s.Keys, Secret: key, Issuer: cfg.Site.Issuer(), Resource: cfg.Site.URL(site.Resource),
		AllowsRefresh: s.allowsRefresh, OnRevoked: s.Audit.Revoked,
	})
	proofs := &proof.Checker{
		Origin: cfg.Site.Origin, Secret: key, Now: cfg.Now, NonceLifetime: cfg.DPoPNonceLifetime, OnReplay: s.noting(audit.ProofReplayed),
	}
	auth := &client.Authenticator{
		Clients: s.Clients, Now: cfg.Now, Audience: assertionAudience(cfg), CAs: cfg.ClientCAs, RawBasic: cfg.RawBasic,
		RefusesVerifier: cfg.RefusesVerifier, Unknown: cfg.UnknownClient, OnReplay: s.noting(audit.AssertionReplayed),
	}
	codes, devices := pending.NewCodes(cfg.Now), pending.NewDevices(cfg.Now, cfg.DeviceCodeLifetime, cfg.DeviceInterval)
	s.pages = page.New(cfg.Site, key, s.Users)
	s.signin = &signin.Endpoints{
		Config: cfg.SignIn, Site: cfg.Site, Clients: s.Clients, Auth: auth, Keys: s.Keys, Pages: s.pages, Sessions: s.Sessions,
		Codes: codes, Devices: devices, Pushed: pending.NewPushed(cfg.Now, cfg.PushedRequestLifetime), Audit: s.Audit,
	}
	s.grant = &grant.Endpoints{
		Config: cfg.Grant, Issuer: cfg.Site.Issuer(), Auth: auth, Keys: s.Keys, Proofs: proofs, Users: s.Users, Sessions: s.Sessions,
		Codes: codes, Devices: devices, TokenURL: cfg.Site.URL(site.Token), OnReplay: s.noting(audit.AssertionReplayed),
	}
	s.Resource = &resource.Endpoints{Config: cfg.Resource, Site: cfg.Site, Proofs: proofs, Sessions: s.Sessions, Audit: s.Audit}
	s.registration = &registration.Endpoint{
		Site: cfg.Site, Clients: s.Clients, Now: cfg.Now, SecretLifetime: cfg.ClientSecretLifetime, OnDelete: s.Sessions.EndClient,
	}
	s.backends = backend.New(backend.Needs{
		Settings: cfg.Backends, Now: cfg.Now, Keys: s.Keys, Users: s.Users, Clients: s.Clients, Sessions: s.Sessions,
		RefreshTokenLifetime: cfg.Session.RefreshTokenLifetime,
	})
	return s
}

func (s *Server) allowsRefresh(clientID string) bool {
	c, _ := s.Clients.Find(clientID)
	return c.AllowsGrant(client.GrantRefresh)
}

func (s *Server) noting(kind audit.Kind) func(string) {
	return func(what string) { s.Audit.Note(kind, what) }
}

func assertionAudience(cfg Config) string {
	if cfg.TokenEndpointAudience {
		return cfg.Site.URL(site.Token)
	}
	return cfg.Site.Issuer()
}

// EndpointOf returns the endpoint that path belongs to, or "".
func (s *Server) EndpointOf(path string) string {
	e := s.backends.Unslashed(s.Site.EndpointOf(path))
	if serve, _ := s.route(e); serve == nil {
		return ""
	}
	return e
}

// Serve is what the server does when nothing goes wrong. The form of r has been read.
func (s *Server) Serve(endpoint string, r *http.Request) *answer.Answer {
	serve, methods := s.route(endpoint)
	if serve == nil {
		return answer.Text(http.StatusNotFound, "oauthtest: there is no such page")
	}
	if methods != nil && !slices.Contains(methods, r.Method) {
		a := answer.Text(http.StatusMethodNotAllowed, "oauthtest: the method is not allowed here")
		a.Header.Set("Allow", strings.Join(methods, ", "))
		return a
	}
	return serve(r)
}

// route returns what serves an endpoint, or nil, and which methods it has: all if
// that is nil.
func (s *Server) route(endpoint string) (serve func(*http.Request) *answer.Answer, methods []string) {
	get, post, both := []string{http.MethodGet, http.MethodHead}, []string{http.MethodPost}, []string{http.MethodGet, http.MethodPost}
	switch endpoint {
	case site.Token:
		return s.grant.ServeToken, post
	case site.Authorize:
		return s.signin.ServeAuthorize, both
	case site.Login:
		return s.pages.ServeLogin, post
	case site.DeviceAuthorization:
		return s.signin.ServeDeviceAuthorization, post
	case site.Device:
		return s.signin.ServeDevice, both
	case site.Revocation:
		return s.grant.ServeRevocation, post
	case site.Introspection:
		return s.grant.ServeIntrospection, post
	case site.Userinfo:
		return s.Resource.ServeUserinfo, both
	case site.PushedAuthorization:
		return s.signin.ServePushed, post
	case site.EndSession:
		return s.signin.ServeEndSession, both
	case site.Registration:
		return s.registration.Serve, []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}
	case site.ResourceMetadata:
		return s.Resource.ServeMetadata, get
	case site.Resource:
		return s.Resource.ServeAPI, nil
	case site.JWKS:
		return s.serveJWKS, get
	case site.Metadata, site.OpenID:
		return s.serveMetadata, get
	case site.Style:
		return s.pages.ServeStyle, get
	}
	serve, method := s.backends.Handler(endpoint)
	return serve, []string{method}
}

// SpentToken returns the refresh token that a request spends, or "".
func (s *Server) SpentToken(endpoint string, r *http.Request, body []byte, form url.Values) string {
	if endpoint != site.Token {
		return s.backends.SpentToken(endpoint, r, body, form)
	}
	if form.Get("grant_type") != client.GrantRefresh {
		return ""
	}
	return form.Get("refresh_token")
}

// BackendPaths returns the paths of a home-grown backend.
func (s *Server) BackendPaths(b string) backend.Paths { return s.backends.Paths(b) }

// SpenderOf returns whose refresh token raw is, or "" if that is not known.
func (s *Server) SpenderOf(raw string) string {
	k, _ := s.Sessions.Recall(s.backends.Known(raw))
	return k.User
}
