package oauthtest

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// An authRequest is an authorization request whose answer may be sent to its
// redirect URI.
type authRequest struct {
	client   RegisteredClient
	redirect *url.URL
	query    url.Values
	pushed   string // its request_uri (RFC 9126); "" if the browser brought it all
}

// serveAuthorize is the authorization endpoint (RFC 6749 section 4.1.1, with PKCE
// and RFC 9207). GET asks the person, POST is the person's decision.
func (s *Server) serveAuthorize(r *http.Request) *answer {
	req, refusal := s.readAuthRequest(r.URL.Query())
	if refusal != nil {
		return refusal
	}
	if s.cfg.RequirePushedAuth && req.pushed == "" {
		return s.sendBack(req, url.Values{"error": {"invalid_request"}, "error_description": {"the request must be pushed"}})
	}
	if code, description := req.problem(s.wantsPKCE(req.client)); code != "" {
		return s.sendBack(req, url.Values{"error": {code}, "error_description": {description}})
	}
	b := s.browserOf(r)
	if r.Method == http.MethodPost {
		return s.decideAuthorize(r, req, b)
	}
	prompt := req.query.Get("prompt")
	if prompt == "none" {
		// This server always asks, so there is no answer without a person.
		code := "consent_required"
		if b.user == "" {
			code = "login_required"
		}
		return s.sendBack(req, url.Values{"error": {code}})
	}
	if b.user == "" || hasScope(prompt, "login") {
		s.promptFulfilled(req)
		return s.askLogin(b, s.authorizePage(req), "", "")
	}
	return s.askConsent(req, b)
}

// readAuthRequest finds client and redirect URI. Without both being right nothing
// is sent anywhere: the person reads what is wrong (RFC 6749 section 4.1.2.1).
func (s *Server) readAuthRequest(query url.Values) (authRequest, *answer) {
	if query.Has("request_uri") {
		return s.readPushedRequest(query)
	}
	c, known := s.client(query.Get("client_id"))
	if !known {
		return authRequest{}, s.message(http.StatusBadRequest, "Unknown client", "The program that sent you here is not registered.")
	}
	raw := query.Get("redirect_uri")
	redirect, err := url.Parse(raw)
	if err != nil || !s.allowsRedirect(c, raw, redirect) {
		return authRequest{}, s.message(http.StatusBadRequest, "Wrong address", "The program that sent you here wants to be answered at an address that is not registered.")
	}
	return authRequest{client: c, redirect: redirect, query: query}, nil
}

// wantsPKCE reports whether a client's logins need PKCE.
func (s *Server) wantsPKCE(c RegisteredClient) bool {
	return !s.cfg.Quirks.RefusesVerifier || c.accepts(authNone)
}

// problem returns the error code for what else is wrong with the request.
func (req authRequest) problem(pkce bool) (code, description string) {
	q := req.query
	switch {
	case repeated(q) != "":
		return "invalid_request", "a parameter was sent more than once"
	case q.Get("response_type") != "code":
		return "unsupported_response_type", "the response type must be code"
	case pkce && (q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == ""):
		return "invalid_request", "PKCE with S256 is required"
	case !areResources(q["resource"]):
		return "invalid_target", "a resource must be an absolute URI without fragment"
	}
	return "", ""
}

// allowsRedirect compares the redirect URI with what is registered.
func (s *Server) allowsRedirect(c RegisteredClient, raw string, u *url.URL) bool {
	if u.Fragment != "" || u.User != nil || u.Scheme == "" {
		return false
	}
	if c.RedirectURIs == nil {
		return isLoopback(u)
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		if raw == registered {
			return true
		}
		v, err := url.Parse(registered)
		return err == nil && !s.cfg.ExactRedirectPort && isLoopback(u) && isLoopback(v) &&
			u.Hostname() == v.Hostname() && u.EscapedPath() == v.EscapedPath() && u.RawQuery == v.RawQuery
	})
}

// isLoopback reports whether u is plain http to this machine (RFC 8252 section
// 7.3).
func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// authorizePage is the request's own page, without the wish for a login that the
// login has fulfilled.
func (s *Server) authorizePage(req authRequest) string {
	q := url.Values{}
	if req.pushed != "" {
		q = url.Values{"client_id": {req.client.ID}, "request_uri": {req.pushed}}
		return s.base + string(AuthorizeEndpoint) + "?" + q.Encode()
	}
	for name, values := range req.query {
		if name != "prompt" || values[0] == promptConsent {
			q[name] = values
		}
	}
	return s.base + string(AuthorizeEndpoint) + "?" + q.Encode()
}

func (s *Server) askConsent(req authRequest, b browser) *answer {
	return s.showPage("consent", pageData{
		Title: "Allow access?", Action: s.authorizePage(req), CSRF: s.csrf(b), cookie: b.cookie,
		User: b.user, Client: req.client.ID, Scopes: strings.Fields(s.scopeOf(req.query)), redirect: req.redirect,
	})
}

func (s *Server) scopeOf(query url.Values) string {
	if scope := query.Get("scope"); scope != "" {
		return scope
	}
	return s.cfg.DefaultScope
}

// decideAuthorize takes the consent form.
func (s *Server) decideAuthorize(r *http.Request, req authRequest, b browser) *answer {
	if !s.sameForm(r, b) || b.user == "" {
		return s.strangeForm()
	}
	if r.PostForm.Get("decision") != "allow" {
		if s.cfg.Quirks.DeniedOnPage {
			return s.message(http.StatusBadRequest, "Bad request", "invalid_request")
		}
		return s.sendBack(req, url.Values{"error": {"access_denied"}, "error_description": {"the person said no"}})
	}
	g := s.newGrant(b.user, req.client.ID, s.offlineScope(req.query))
	g.nonce, g.Resources = req.query.Get("nonce"), req.query["resource"]
	code := randomID(16)
	s.mu.Lock()
	s.codes[hashOf(code)] = &authCode{
		grant: g, redirect: req.query.Get("redirect_uri"), challenge: req.query.Get("code_challenge"),
		jkt: req.query.Get("dpop_jkt"), expires: s.now().Add(codeLifetime),
	}
	s.mu.Unlock()
	return s.sendBack(req, url.Values{"code": {code}})
}

// sendBack answers the client through the browser, with state and iss (RFC 9207).
func (s *Server) sendBack(req authRequest, params url.Values) *answer {
	if !s.usePushed(req) {
		return s.usedRequest()
	}
	if state := req.query.Get("state"); state != "" && !(s.cfg.Quirks.ErrorsWithoutState && params.Has("error")) {
		params.Set("state", state)
	}
	params.Set("iss", s.issuer)
	u := *req.redirect
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += params.Encode()
	return seeOther(u.String())
}
