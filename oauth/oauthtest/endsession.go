package oauthtest

import (
	"net/http"
	"net/url"
	"slices"
)

// A logout is a request to end the person's session in the browser.
type logout struct {
	user     string   // whom the ID token is about; "" without one
	redirect *url.URL // where the browser goes afterwards; nil for nowhere
	query    url.Values
}

// serveEndSession is OpenID Connect RP-Initiated Logout 1.0. GET is the request,
// POST is the person's confirmation. It signs the person out of the browser;
// tokens live on.
func (s *Server) serveEndSession(r *http.Request) *answer {
	l, refusal := s.readLogout(r.URL.Query())
	if refusal != nil {
		return refusal
	}
	b := s.browserOf(r)
	switch {
	case r.Method == http.MethodPost && !s.sameForm(r, b):
		return s.strangeForm()
	case r.Method == http.MethodGet && b.user != "" && b.user != l.user:
		// Section 2: without an ID token of this person anybody could have made the
		// link, so the person is asked.
		return s.askLogout(l, b)
	}
	s.mu.Lock()
	s.browsers[b.id] = ""
	s.mu.Unlock()
	if l.redirect == nil {
		return s.message(http.StatusOK, "Signed out", "You are signed out of this server.")
	}
	query := l.redirect.Query()
	if l.query.Has("state") {
		query.Set("state", l.query.Get("state"))
	}
	u := *l.redirect
	u.RawQuery = query.Encode()
	return seeOther(u.String())
}

// readLogout checks who asks, and where the browser is to go.
func (s *Server) readLogout(query url.Values) (logout, *answer) {
	l, clientID := logout{query: query}, query.Get("client_id")
	if repeated(query) != "" {
		return l, s.message(http.StatusBadRequest, "Malformed request", "A parameter was sent more than once.")
	}
	if hint := query.Get("id_token_hint"); hint != "" {
		claims, err := s.keys.verifyID(hint)
		if err != nil {
			if _, err := s.keys.verify(hint); err == nil {
				s.audit.note(TokenInURL, "id_token_hint")
			}
			return l, s.message(http.StatusBadRequest, "Wrong token", "The program that sent you here showed a token that is no ID token of this server.")
		}
		if clientID == "" {
			clientID = claims.Audience[0]
		}
		if !slices.Contains(claims.Audience, clientID) {
			return l, s.message(http.StatusBadRequest, "Wrong token", "The program that sent you here showed a token of another program.")
		}
		l.user = claims.Subject
	}
	raw := query.Get("post_logout_redirect_uri")
	if raw == "" {
		return l, nil
	}
	redirect, err := url.Parse(raw)
	c, known := s.client(clientID)
	if err != nil || !known || !c.allowsPostLogout(raw, redirect) {
		return l, s.message(http.StatusBadRequest, "Wrong address", "The program that sent you here wants you to return to an address that is not registered.")
	}
	l.redirect = redirect
	return l, nil
}

// allowsPostLogout compares where a browser is to go with what is registered.
func (c RegisteredClient) allowsPostLogout(raw string, u *url.URL) bool {
	if c.PostLogoutRedirectURIs == nil {
		return isLoopback(u) && u.Fragment == "" && u.User == nil
	}
	return slices.Contains(c.PostLogoutRedirectURIs, raw)
}

func (s *Server) askLogout(l logout, b browser) *answer {
	q := url.Values{}
	for name, values := range l.query {
		if name != "id_token_hint" {
			q[name] = values
		}
	}
	return s.showPage("logout", pageData{
		Title: "Sign out?", Action: s.base + string(EndSessionEndpoint) + "?" + q.Encode(), CSRF: s.csrf(b),
		User: b.user, cookie: b.cookie, redirect: l.redirect,
	})
}
