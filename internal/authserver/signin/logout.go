package signin

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/audit"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/page"
	"github.com/evertoken/evertoken/internal/authserver/site"
)

// A logout is a request to end the person's session in the browser.
type logout struct {
	user     string   // whom the ID token is about; "" without one
	redirect *url.URL // where the browser goes afterwards; nil for nowhere
	query    url.Values
}

// ServeEndSession is OpenID Connect RP-Initiated Logout 1.0. GET is the request,
// POST is the person's confirmation. It signs the person out of the browser;
// tokens live on.
func (e *Endpoints) ServeEndSession(r *http.Request) *answer.Answer {
	l, refusal := e.readLogout(r.URL.Query())
	if refusal != nil {
		return refusal
	}
	b := e.Pages.BrowserOf(r)
	switch {
	case r.Method == http.MethodPost && !e.Pages.SameForm(r, b):
		return e.Pages.StrangeForm()
	case r.Method == http.MethodGet && b.User != "" && b.User != l.user:
		// Section 2: without an ID token of this person any site could have made the
		// link, so the person is asked.
		return e.askLogout(l, b)
	}
	e.Pages.SignOut(b)
	if l.redirect == nil {
		return e.Pages.Message(http.StatusOK, "Signed out", "You are signed out of this server.")
	}
	query := l.redirect.Query()
	if l.query.Has("state") {
		query.Set("state", l.query.Get("state"))
	}
	u := *l.redirect
	u.RawQuery = query.Encode()
	return answer.SeeOther(u.String())
}

// readLogout checks who asks, and where the browser is to go.
func (e *Endpoints) readLogout(query url.Values) (logout, *answer.Answer) {
	l, clientID := logout{query: query}, query.Get("client_id")
	if form.Repeats(query) {
		return l, e.Pages.Message(http.StatusBadRequest, "Malformed request", "A parameter was sent more than once.")
	}
	if hint := query.Get("id_token_hint"); hint != "" {
		claims, err := e.Keys.VerifyID(hint)
		if err != nil {
			if _, err := e.Keys.Verify(hint); err == nil {
				e.Audit.Note(audit.TokenInURL, "id_token_hint")
			}
			return l, e.Pages.Message(http.StatusBadRequest, "Wrong token", "The program that sent you here showed a token that is not an ID token of this server.")
		}
		if clientID == "" {
			clientID = claims.Audience[0]
		}
		if !slices.Contains(claims.Audience, clientID) {
			return l, e.Pages.Message(http.StatusBadRequest, "Wrong token", "The program that sent you here showed a token of another program.")
		}
		l.user = claims.Subject
	}
	raw := query.Get("post_logout_redirect_uri")
	if raw == "" {
		return l, nil
	}
	redirect, err := url.Parse(raw)
	c, known := e.Clients.Find(clientID)
	if err != nil || !known || !c.AllowsPostLogout(raw, redirect) {
		return l, e.Pages.Message(http.StatusBadRequest, "Wrong address", "The program that sent you here wants you to return to an address that is not registered.")
	}
	l.redirect = redirect
	return l, nil
}

func (e *Endpoints) askLogout(l logout, b page.Browser) *answer.Answer {
	q := url.Values{}
	for name, values := range l.query {
		if name != "id_token_hint" {
			q[name] = values
		}
	}
	return e.Pages.Show("logout", page.Data{
		Title: "Sign out?", Action: e.Pages.Path(site.EndSession) + "?" + q.Encode(), CSRF: e.Pages.CSRF(b),
		User: b.User, Cookie: b.Cookie, Redirect: l.redirect,
	})
}
