package page

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/secret"
	"github.com/evertoken/evertoken/internal/authserver/site"
)

// browserCookie holds the ID by which the server knows a browser.
const browserCookie = "oauthtest_browser"

// A Browser is the person's web browser. A person signed in has a User.
type Browser struct {
	User   string
	Cookie *http.Cookie // to be set; nil if the browser has it
	id     string
}

// BrowserOf returns the browser that sent r, under a new ID if it has none that
// we gave it.
func (p *Pages) BrowserOf(r *http.Request) Browser {
	if c, err := r.Cookie(browserCookie); err == nil {
		p.mu.Lock()
		user, known := p.browsers[c.Value]
		p.mu.Unlock()
		if known && (user == "" || p.users.Knows(user)) {
			return Browser{id: c.Value, User: user}
		}
	}
	return p.newBrowser("")
}

// newBrowser makes an ID for a browser in which user is signed in.
func (p *Pages) newBrowser(user string) Browser {
	id := secret.New(16)
	p.mu.Lock()
	p.browsers[id] = user
	p.mu.Unlock()
	return Browser{id: id, User: user, Cookie: &http.Cookie{
		Name: browserCookie, Value: id, Path: p.Path("/"),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(p.site.Origin, "https:"),
	}}
}

// SignOut makes b a browser in which no person is signed in.
func (p *Pages) SignOut(b Browser) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.browsers[b.id] = ""
}

// CSRF returns the token that forms shown to this browser carry.
func (p *Pages) CSRF(b Browser) string {
	mac := hmac.New(sha256.New, []byte(p.secret))
	mac.Write([]byte("csrf " + b.id))
	return hex.EncodeToString(mac.Sum(nil))
}

// SameForm reports whether a posted form was shown to this browser by us.
func (p *Pages) SameForm(r *http.Request, b Browser) bool {
	return secret.Equal(p.CSRF(b), r.PostForm.Get("csrf"))
}

// StrangeForm refuses a form that we did not show.
func (p *Pages) StrangeForm() *answer.Answer {
	return p.Message(http.StatusForbidden, "This form is out of date", "Go back to where you came from and start again. Your browser must accept cookies.")
}

// AskLogin shows the login page; afterwards the browser goes to next.
func (p *Pages) AskLogin(b Browser, next string) *answer.Answer {
	return p.askLogin(b, next, "", "")
}

func (p *Pages) askLogin(b Browser, next, user, problem string) *answer.Answer {
	d := Data{
		Title: "Sign in", Problem: problem, Action: p.Path(site.Login),
		CSRF: p.CSRF(b), Next: next, User: user, Cookie: b.Cookie,
	}
	if problem != "" {
		d.Status = http.StatusForbidden
	}
	return p.Show("login", d)
}

// ServeLogin takes the login form.
func (p *Pages) ServeLogin(r *http.Request) *answer.Answer {
	b := p.BrowserOf(r)
	if !p.SameForm(r, b) {
		return p.StrangeForm()
	}
	next, user := r.PostForm.Get("next"), r.PostForm.Get("username")
	if !p.isOurPage(next) {
		return p.Message(http.StatusBadRequest, "Nowhere to go", "This form leads to a page that is not part of this server.")
	}
	if !p.users.Is(user, r.PostForm.Get("password")) {
		return p.askLogin(b, next, user, "The user name or the password is wrong.")
	}
	// A new ID, so that a party that knew the old one is not signed in as well.
	p.mu.Lock()
	delete(p.browsers, b.id)
	p.mu.Unlock()
	a := answer.SeeOther(next)
	a.Header.Set("Set-Cookie", p.newBrowser(user).Cookie.String())
	return a
}

// isOurPage reports whether next is a page of this server that a login leads to.
func (p *Pages) isOurPage(next string) bool {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return false
	}
	return u.Path == p.Path(site.Authorize) || u.Path == p.Path(site.Device)
}
