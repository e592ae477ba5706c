package oauthtest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"
)

// Grant types.
const (
	grantCode     = "authorization_code"
	grantRefresh  = "refresh_token"
	grantPassword = "password"
	grantClient   = "client_credentials"
	grantDevice   = "urn:ietf:params:oauth:grant-type:device_code"
)

// serveToken is the token endpoint (RFC 6749 section 3.2).
func (s *Server) serveToken(r *http.Request) *answer {
	if name := repeated(r.PostForm); name != "" {
		return badRequest("invalid_request", "a parameter was sent more than once")
	}
	c, refusal := s.authenticate(r)
	if refusal != nil {
		s.punish(r)
		return refusal
	}
	if r, refusal = withCertificate(r, c); refusal != nil {
		return refusal
	}
	if !areResources(r.PostForm["resource"]) {
		return invalidTarget("a resource must be an absolute URI without fragment")
	}
	if grantType := r.PostForm.Get("grant_type"); grantType != "" && !c.allowsGrant(grantType) {
		return badRequest("unauthorized_client", "the client is not registered for this grant type")
	}
	switch r.PostForm.Get("grant_type") {
	case grantRefresh:
		return s.refusalOf(r, s.grantByRefreshToken(r, c))
	case grantCode:
		return s.grantByCode(r, c)
	case grantDevice:
		return s.grantByDevice(r, c)
	case grantPassword:
		return s.grantByPassword(r, c)
	case grantClient:
		return s.grantByClient(r, c)
	case grantExchange:
		return s.grantByExchange(r, c)
	case "":
		return badRequest("invalid_request", "grant_type is missing, or the body is not application/x-www-form-urlencoded")
	}
	return badRequest("unsupported_grant_type", "the grant type is not supported")
}

// repeated returns a parameter that was sent more than once, which RFC 6749
// section 3.2 forbids, or "". resource may repeat (RFC 8707 section 2), and so may
// the audience of a token exchange (RFC 8693 section 2.1).
func repeated(form url.Values) string {
	for name, values := range form {
		exchanged := name == "audience" && form.Get("grant_type") == grantExchange
		if len(values) > 1 && name != "resource" && !exchanged {
			return name
		}
	}
	return ""
}

// An authCode is an authorization code that was given out. Server.mu guards it.
type authCode struct {
	grant     grant
	redirect  string
	challenge string
	jkt       string // of the key that alone may redeem it (RFC 9449 section 10); or ""
	expires   time.Time
	session   string // that it was redeemed for; "" if it was not
}

const (
	// codeLifetime is below the 10 minutes that RFC 6749 section 4.1.2 allows, and
	// enough for any client that redeems at once.
	codeLifetime = time.Minute
	// codeMemory is how long a dead code is remembered, to notice its reuse.
	codeMemory = time.Hour
)

// grantByCode is the authorization_code grant with PKCE (RFC 6749 section 4.1.3,
// RFC 7636 section 4.6).
func (s *Server) grantByCode(r *http.Request, c RegisteredClient) *answer {
	form, ctx, pkce := r.PostForm, detached(r), s.wantsPKCE(c)
	switch {
	case !pkce && form.Has("code_verifier"):
		return invalidClient()
	case form.Get("code") == "" || pkce && form.Get("code_verifier") == "":
		return badRequest("invalid_request", "code and code_verifier are required")
	}
	now := s.now()
	s.mu.Lock()
	code := s.codes[hashOf(form.Get("code"))]
	if code == nil {
		s.mu.Unlock()
		return invalidGrant("the code is unknown or expired")
	}
	redeemed := code.session
	good := redeemed == "" && now.Before(code.expires) && code.grant.Client == c.ID &&
		code.redirect == form.Get("redirect_uri") && (!pkce || equal(code.challenge, challengeOf(form.Get("code_verifier")))) &&
		(code.jkt == "" || code.jkt == thumbprintIn(ctx))
	// A failed attempt uses the code up: whoever has it without the verifier has
	// stolen it.
	if redeemed == "" {
		code.session = code.grant.Session
	}
	s.mu.Unlock()

	if redeemed != "" {
		// RFC 6749 section 4.1.2: tokens issued on a code that is used twice should be
		// revoked.
		s.endSessions(ctx, func(se *session) bool { return se.Session == redeemed })
	}
	if !good {
		return invalidGrant("the code, redirect_uri, code_verifier or DPoP key is not the right one")
	}
	return s.beginFor(ctx, code.grant, form["resource"])
}

// answerLogin turns a store's failure into an answer.
func (s *Server) answerLogin(a *answer, err error) *answer {
	if err != nil {
		return serverError(err)
	}
	return a
}

// challengeOf is the S256 code challenge (RFC 7636 section 4.2).
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// grantByPassword is the grant of RFC 6749 section 4.3, for clients of servers
// that still have it.
func (s *Server) grantByPassword(r *http.Request, c RegisteredClient) *answer {
	user := r.PostForm.Get("username")
	if !s.passwordIs(user, r.PostForm.Get("password")) {
		return invalidGrant("the name or the password is wrong")
	}
	g := s.newGrant(user, c.ID, r.PostForm.Get("scope"))
	g.Resources = r.PostForm["resource"]
	return s.answerLogin(s.begin(detached(r), g))
}

// grantByClient is the grant of RFC 6749 section 4.4. It gives no refresh token.
func (s *Server) grantByClient(r *http.Request, c RegisteredClient) *answer {
	if c.accepts(authNone) {
		return badRequest("unauthorized_client", "client_credentials is for clients that authenticate")
	}
	g := s.newGrant("", c.ID, r.PostForm.Get("scope"))
	if r.PostForm.Get("scope") == "" {
		g.Scope = "api"
	}
	g.Resources = r.PostForm["resource"]
	return s.answerLogin(s.begin(detached(r), g))
}

// passwordIs reports whether user exists and has this password.
func (s *Server) passwordIs(user, password string) bool {
	s.mu.Lock()
	want, known := s.users[user]
	s.mu.Unlock()
	return equal(want, password) && known
}

// knows reports whether user exists.
func (s *Server) knows(user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.users[user]
	return known
}
