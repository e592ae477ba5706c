package oauthtest

import (
	"maps"
	"net/http"
	"net/url"
	"time"
)

// requestURIPrefix is what RFC 9126 section 2.2 recommends.
const requestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// A pushedRequest is an authorization request that a client has pushed.
// Server.mu guards it; query is replaced, never changed.
type pushedRequest struct {
	client  string
	query   url.Values
	expires time.Time
	used    bool // it has led to an answer
}

// servePushedAuthorization is RFC 9126. What would be wrong at the authorization
// endpoint is refused here already (section 2.1).
func (s *Server) servePushedAuthorization(r *http.Request) *answer {
	if repeated(r.PostForm) != "" {
		return badRequest("invalid_request", "a parameter was sent more than once")
	}
	c, refusal := s.authenticate(r)
	if refusal != nil {
		return refusal
	}
	query := withoutCredentials(r.PostForm)
	switch {
	case query.Has("request_uri"):
		return badRequest("invalid_request", "a request_uri cannot be pushed")
	case query.Get("client_id") != c.ID:
		return badRequest("invalid_request", "client_id is missing or not that of the client")
	}
	raw := query.Get("redirect_uri")
	redirect, err := url.Parse(raw)
	if err != nil || !s.allowsRedirect(c, raw, redirect) {
		return badRequest("invalid_request", "the redirect_uri is not registered")
	}
	if code, description := (authRequest{query: query}).problem(s.wantsPKCE(c)); code != "" {
		return badRequest(code, description)
	}
	requestURI := requestURIPrefix + randomID(16)
	s.mu.Lock()
	s.pushed[hashOf(requestURI)] = &pushedRequest{
		client: c.ID, query: query, expires: s.now().Add(s.cfg.PushedRequestLifetime),
	}
	s.mu.Unlock()
	return jsonAnswer(http.StatusCreated, map[string]any{
		"request_uri": requestURI, "expires_in": int64(s.cfg.PushedRequestLifetime / time.Second),
	})
}

// withoutCredentials returns what of a form belongs to the request itself.
func withoutCredentials(form url.Values) url.Values {
	query := maps.Clone(form)
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		delete(query, name)
	}
	return query
}

// readPushedRequest finds the request that an authorization URL refers to (RFC
// 9126 section 4). Nothing is sent back for a reference that leads nowhere, since
// nobody knows to whom.
func (s *Server) readPushedRequest(query url.Values) (authRequest, *answer) {
	for name := range query {
		if name != "client_id" && name != "request_uri" {
			s.audit.note(BesideRequestURI, name)
		}
	}
	requestURI := query.Get("request_uri")
	s.mu.Lock()
	var p pushedRequest
	if known := s.pushed[hashOf(requestURI)]; known != nil {
		p = *known
	}
	s.mu.Unlock()
	switch {
	case p.used:
		s.audit.note(RequestURIReused, "request_uri")
		return authRequest{}, s.usedRequest()
	case p.query == nil, p.client != query.Get("client_id"), !s.now().Before(p.expires):
		return authRequest{}, s.message(http.StatusBadRequest, "Unknown request", "The program that sent you here asked too long ago, or never. Start again there.")
	}
	plain, refusal := s.readAuthRequest(p.query)
	plain.pushed = requestURI
	return plain, refusal
}

// usePushed reports whether an answer to req may be given, and is the last to be
// given if req was pushed: a request_uri serves once.
func (s *Server) usePushed(req authRequest) bool {
	if req.pushed == "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pushed[hashOf(req.pushed)]
	if p == nil || p.used {
		return false
	}
	p.used = true
	return true
}

func (s *Server) usedRequest() *answer {
	return s.message(http.StatusBadRequest, "Already answered", "This request was answered before. Start again in the program that sent you here.")
}

// promptFulfilled takes the wish for a login out of a pushed request, which is
// about to be fulfilled. See authorizePage for requests in the URL.
func (s *Server) promptFulfilled(req authRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pushed[hashOf(req.pushed)]; p != nil {
		p.query = maps.Clone(p.query)
		p.query.Del("prompt")
	}
}
