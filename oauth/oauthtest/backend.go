package oauthtest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/oauth/dialect"
)

// A Backend is a home-grown JSON backend that the server plays beside its OAuth
// endpoints: other paths, fields and errors for the same users, sessions and
// protected resource, with the same faults and auditor. It is named by the path
// of its base URL below the issuer.
type Backend string

const (
	// KratosBackend speaks dialect.Kratos. Its refresh tokens are JWTs with
	// Config.JWTRefreshTokens.
	KratosBackend Backend = "/kratos"
	// SanicJWTBackend speaks dialect.SanicJWT. It never rotates.
	SanicJWTBackend Backend = "/sanic-jwt"
	// GinJWTBackend speaks dialect.GinJWT, by JSON, form and cookie. The
	// original detects no reuse: see Config.NoReuseDetection. It answers every
	// logout alike, and a token that is not live ends nothing.
	GinJWTBackend Backend = "/gin-jwt"
	// ASPNETBackend speaks dialect.ASPNET.
	ASPNETBackend Backend = "/aspnet"
	// CookieBackend speaks dialect.Cookie.
	CookieBackend Backend = "/cookie"
)

var backends = [...]Backend{KratosBackend, SanicJWTBackend, GinJWTBackend, ASPNETBackend, CookieBackend}

// DialectConfig returns a configuration for dialect.NewClient to talk to b.
// After New it has the in-process Client; after NewServer it uses sockets.
func (s *Server) DialectConfig(b Backend) dialect.Config {
	cfg := dialect.Config{BaseURL: s.Endpoint(Endpoint(b))}
	if s.http == nil {
		cfg.HTTPClient = s.Client()
	}
	return cfg
}

// LoginEndpoint is where b takes name and password.
func (b Backend) LoginEndpoint() Endpoint { return b.endpoint(b.spoken().login) }

// RefreshEndpoint is where b takes refresh tokens.
func (b Backend) RefreshEndpoint() Endpoint { return b.endpoint(b.spoken().refresh) }

// LogoutEndpoint is where b ends sessions; empty if it cannot.
func (b Backend) LogoutEndpoint() Endpoint { return b.endpoint(b.spoken().logout) }

func (b Backend) endpoint(path string) Endpoint {
	if path == "" {
		return ""
	}
	return Endpoint(string(b) + path)
}

// A speech is how a backend talks. It is written down here by itself, and not
// taken from oauth's dialects, so that it shows their mistakes.
type speech struct {
	login, refresh, logout string // paths; no logout if empty
	// refreshToken finds the refresh token of a request, or returns "".
	refreshToken func(r *http.Request, body []byte, form url.Values) string
	// guard, if set, refuses a refresh before its refresh token is looked at.
	guard func(s *Server, r *http.Request, raw string) *answer
	// keeps tells that refresh tokens never rotate.
	keeps bool
	// shows turns the answer of a login or refresh into the backend's.
	shows func(s *Server, a *answer)
	// refuses says in the backend's words what is wrong.
	refuses func(refusal) *answer
	// shrugs tells that it answers a logout alike whether that ended a session or
	// not, and that a spent refresh token ends none.
	shrugs bool
	// loggedOut says that the session has ended.
	loggedOut func() *answer
}

// A refusal is why a backend does not do what it is asked.
type refusal int

const (
	badPassword refusal = iota
	nobody              // no such user
	noToken             // the request has no refresh token
	deadToken           // revoked, or never given out
	expiredToken
	reusedToken
	storeDown
	noNewSession // the store is down at a login
)

func (b Backend) spoken() speech {
	switch b {
	case KratosBackend:
		return kratos()
	case SanicJWTBackend:
		return sanicJWT()
	case GinJWTBackend:
		return ginJWT()
	case ASPNETBackend:
		return aspNET()
	case CookieBackend:
		return cookieBackend()
	}
	return speech{}
}

// backendAt returns the backend that e belongs to.
func backendAt(e Endpoint) (Backend, bool) {
	for _, b := range backends {
		if strings.HasPrefix(string(e), string(b)+"/") && (e == b.LoginEndpoint() || e == b.RefreshEndpoint() || e == b.LogoutEndpoint()) {
			return b, true
		}
	}
	return "", false
}

// backendHandler returns what serves e, or nil.
func (s *Server) backendHandler(e Endpoint) func(*http.Request) *answer {
	b, found := backendAt(e)
	if !found {
		return nil
	}
	sp := b.spoken()
	serve := s.backendLogin
	switch e {
	case b.RefreshEndpoint():
		serve = s.backendRefresh
	case b.LogoutEndpoint():
		serve = s.backendLogout
	}
	return func(r *http.Request) *answer {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return sp.refuses(noToken)
		}
		return serve(sp, r, body)
	}
}

// spentToken returns the refresh token that a request spends, or "".
func (s *Server) spentToken(e Endpoint, r *http.Request, body []byte, form url.Values) string {
	if e == TokenEndpoint && form.Get("grant_type") == grantRefresh {
		return form.Get("refresh_token")
	}
	if b, found := backendAt(e); found && e == b.RefreshEndpoint() {
		return b.spoken().refreshToken(r, body, form)
	}
	return ""
}

func (s *Server) backendLogin(sp speech, r *http.Request, body []byte) *answer {
	user, password := jsonOrForm(body, r.PostForm, "username"), jsonOrForm(body, r.PostForm, "password")
	if !s.knows(user) {
		return sp.refuses(nobody)
	}
	if !s.passwordIs(user, password) {
		return sp.refuses(badPassword)
	}
	a, err := s.begin(detached(r), s.newGrant(user, s.cfg.ClientID, ""))
	if err != nil {
		return sp.refuses(noNewSession)
	}
	sp.shows(s, a)
	return a
}

func (s *Server) backendRefresh(sp speech, r *http.Request, body []byte) *answer {
	raw := sp.refreshToken(r, body, r.PostForm)
	if sp.guard != nil {
		if refused := sp.guard(s, r, raw); refused != nil {
			return refused
		}
	}
	if raw == "" {
		return sp.refuses(noToken)
	}
	why := s.whyDead(raw) // before the token is forgotten
	a := s.refreshFor(sp, r, raw)
	switch {
	case a.committed:
		sp.shows(s, a)
		return a
	case !a.refused:
		return sp.refuses(storeDown)
	case a.reused:
		why = reusedToken
	}
	return sp.refuses(why)
}

// refreshFor spends raw, and answers in the words of RFC 6749.
func (s *Server) refreshFor(sp speech, r *http.Request, raw string) *answer {
	if !sp.keeps {
		r = r.Clone(r.Context())
		r.PostForm = url.Values{"refresh_token": {raw}}
		return s.grantByRefreshToken(r, s.ownClient())
	}
	ctx, hash := detached(r), hashOf(raw)
	s.tidy(ctx)
	defer s.claim(hash)()
	se, err := s.lookUp(ctx, hash)
	switch {
	case err != nil:
		return serverError(err)
	case se == nil:
		return invalidGrant("the refresh token is unknown, expired or revoked")
	}
	return s.refreshed(r, se, se.Scope)
}

// whyDead returns what is wrong with a refresh token, if something is.
func (s *Server) whyDead(raw string) refusal {
	now := s.now()
	s.mu.Lock()
	st := s.tokens[hashOf(raw)]
	s.mu.Unlock()
	switch {
	case st != nil && !s.knows(st.session.User):
		return nobody
	case st != nil && !now.Before(st.expires), s.expiredJWT(raw):
		return expiredToken
	}
	return deadToken
}

func (s *Server) backendLogout(sp speech, r *http.Request, body []byte) *answer {
	raw := sp.refreshToken(r, body, r.PostForm)
	if sp.shrugs {
		if s.isLive(detached(r), raw) {
			s.revokeRefresh(detached(r), s.ownClient(), raw)
		}
		return sp.loggedOut()
	}
	if raw == "" {
		return sp.refuses(noToken)
	}
	why := s.whyDead(raw)
	if !s.revokeRefresh(detached(r), s.ownClient(), raw) {
		return sp.refuses(why)
	}
	return sp.loggedOut()
}

// isLive reports whether a refresh token can be spent.
func (s *Server) isLive(ctx context.Context, raw string) bool {
	se := s.sessionOf(ctx, raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	return se != nil && se.live[hashOf(raw)]
}

// jsonOrForm returns a string field of a request, or "".
func jsonOrForm(body []byte, form url.Values, name string) string {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return form.Get(name)
	}
	return text(fields, name)
}

// only keeps of a token answer the fields that a backend has.
func only(a *answer, names ...string) {
	kept := make(map[string]any, len(names))
	for _, name := range names {
		if value, found := a.fields[name]; found {
			kept[name] = value
		}
	}
	a.fields = kept
}
