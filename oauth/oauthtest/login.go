package oauthtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
)

// browserCookie holds the ID by which the server knows a browser.
const browserCookie = "oauthtest_browser"

// A browser is the person's web browser. A person signed in has a user.
type browser struct {
	id, user string
	cookie   *http.Cookie // to be set; nil if the browser has it
}

// browserOf returns the browser that sent r, under a new ID if it has none that
// we gave it.
func (s *Server) browserOf(r *http.Request) browser {
	if c, err := r.Cookie(browserCookie); err == nil {
		s.mu.Lock()
		user, known := s.browsers[c.Value]
		s.mu.Unlock()
		if known && (user == "" || s.knows(user)) {
			return browser{id: c.Value, user: user}
		}
	}
	return s.newBrowser("")
}

// newBrowser makes an ID for a browser in which user is signed in.
func (s *Server) newBrowser(user string) browser {
	id := randomID(16)
	s.mu.Lock()
	s.browsers[id] = user
	s.mu.Unlock()
	return browser{id: id, user: user, cookie: &http.Cookie{
		Name: browserCookie, Value: id, Path: s.base + "/",
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(s.URL, "https:"),
	}}
}

// csrf returns the token that forms shown to this browser carry.
func (s *Server) csrf(b browser) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte("csrf " + b.id))
	return hex.EncodeToString(mac.Sum(nil))
}

// sameForm reports whether a posted form was shown to this browser by us.
func (s *Server) sameForm(r *http.Request, b browser) bool {
	return equal(s.csrf(b), r.PostForm.Get("csrf"))
}

// strangeForm refuses a form that we did not show.
func (s *Server) strangeForm() *answer {
	return s.message(http.StatusForbidden, "This form is out of date", "Go back to where you came from and start again. Your browser must accept cookies.")
}

// askLogin shows the login page; afterwards the browser goes to next.
func (s *Server) askLogin(b browser, next, user, problem string) *answer {
	d := pageData{
		Title: "Sign in", Problem: problem, Action: s.base + string(LoginEndpoint),
		CSRF: s.csrf(b), Next: next, User: user, cookie: b.cookie,
	}
	if problem != "" {
		d.status = http.StatusForbidden
	}
	return s.showPage("login", d)
}

// serveLogin takes the login form.
func (s *Server) serveLogin(r *http.Request) *answer {
	b := s.browserOf(r)
	if !s.sameForm(r, b) {
		return s.strangeForm()
	}
	next, user := r.PostForm.Get("next"), r.PostForm.Get("username")
	if !s.isOurPage(next) {
		return s.message(http.StatusBadRequest, "Nowhere to go", "This form leads to a page that is not part of this server.")
	}
	if !s.passwordIs(user, r.PostForm.Get("password")) {
		return s.askLogin(b, next, user, "The user name or the password is wrong.")
	}
	// A new ID, so that whoever knew the old one is not signed in as well.
	s.mu.Lock()
	delete(s.browsers, b.id)
	s.mu.Unlock()
	a := seeOther(next)
	a.header.Set("Set-Cookie", s.newBrowser(user).cookie.String())
	return a
}

// isOurPage reports whether next is a page of this server that a login leads to.
func (s *Server) isOurPage(next string) bool {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return false
	}
	return u.Path == s.base+string(AuthorizeEndpoint) || u.Path == s.base+string(DeviceEndpoint)
}
